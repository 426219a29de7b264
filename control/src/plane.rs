//! The seam between control and forwarding: what control asks of the workers.
//!
//! pvsd implements it over the dataplane, tests over a fake. Nothing here but a listing of
//! connections touches a worker: counters are read from the workers' blocks.

use crate::explain::{ConnectionSeen, WaySeen};
use crate::status::{LossView, StatusView};
use pvs_proto::Protocol;
use pvs_sched::{Counters, Load, Method, ServerIndex, Service, Snapshot};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// What control asks of the forwarding side.
pub trait Plane: Send {
    /// Makes `snapshot` what the workers see from their next poll on. Returns at once.
    fn publish(&mut self, snapshot: Snapshot);

    /// Waits until every worker has seen the snapshot of this version, and frees
    /// what they have left behind.
    ///
    /// # Errors
    /// [`Lag`], after `limit`, naming a worker that has not.
    fn wait_seen(&mut self, version: u64, limit: Duration) -> Result<(), Lag>;

    /// A server's statistics, summed over the workers, since the start of the director.
    fn counters(&self, server: ServerIndex) -> Counters;

    /// A server's connections at this moment, summed over the workers.
    fn load(&self, server: ServerIndex) -> Load;

    /// A server's templates at this moment.
    fn templates(&self, _server: ServerIndex) -> u32 {
        0
    }

    /// A server has got these thresholds: whether it is at the upper one is judged at
    /// once, as the kernel does.
    fn judge_threshold(&self, _server: ServerIndex, _upper: u32, _lower: u32) {}

    /// The connection of a client, if there is one, and the worker that it
    /// belongs to or would belong to.
    ///
    /// # Errors
    /// [`Lag`] if a worker does not answer.
    fn connection(
        &self,
        _protocol: Protocol,
        _client: SocketAddr,
        _virtual: SocketAddr,
    ) -> Result<(Option<u16>, Option<ConnectionSeen>), Lag> {
        Ok((None, None))
    }

    /// The template that a service has for a client: its server, whole seconds until it expires,
    /// and whether one of its connections was established.
    fn template(
        &self,
        _service: &Service,
        _protocol: Protocol,
        _client: SocketAddr,
        _virtual: SocketAddr,
    ) -> Option<(ServerIndex, u32, bool)> {
        None
    }

    /// Which way packets to an address go.
    ///
    /// # Errors
    /// [`Lag`] if a worker does not answer.
    fn way(&self, _address: IpAddr) -> Result<Option<WaySeen>, Lag> {
        Ok(None)
    }

    /// The server is at its upper threshold.
    fn overloaded(&self, _server: ServerIndex) -> bool {
        false
    }

    /// Appends the next connections behind `from` to `page`, a bounded number, and returns where
    /// to go on; `None` when there are no more. A connection that lives through the whole
    /// listing appears exactly once.
    ///
    /// # Errors
    /// [`Lag`] if a worker does not answer.
    fn connections(
        &mut self,
        from: Cursor,
        page: &mut Vec<Connection>,
    ) -> Result<Option<Cursor>, Lag>;

    /// Index slots of the connection table, as `size=` in a listing's heading shows them.
    fn table_size(&self) -> u64;

    /// Every reason for which a packet can be lost, with how many were, those of a zero too. A
    /// plane without packets has none.
    fn losses(&self) -> Vec<LossView> {
        Vec::new()
    }

    /// The state of everything but the services, which are the store's.
    fn status(&self) -> StatusView {
        StatusView::default()
    }
}

/// No workers at all: rules can be judged without a director.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPlane;

impl Plane for NoPlane {
    fn publish(&mut self, _: Snapshot) {}

    fn wait_seen(&mut self, _: u64, _: Duration) -> Result<(), Lag> {
        Ok(())
    }

    fn counters(&self, _: ServerIndex) -> Counters {
        Counters::default()
    }

    fn load(&self, _: ServerIndex) -> Load {
        Load::default()
    }

    fn connections(&mut self, _: Cursor, _: &mut Vec<Connection>) -> Result<Option<Cursor>, Lag> {
        Ok(None)
    }

    fn table_size(&self) -> u64 {
        0
    }
}

/// A worker that has not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("worker {worker} has not answered")]
pub struct Lag {
    /// Its number.
    pub worker: usize,
}

/// A place in the listing of connections; the default is its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor(pub u64);

/// A connection as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The protocol's name in a listing: TCP, UDP, SCTP, or IP for a template of a mark.
    pub protocol: &'static str,
    /// Whole seconds until it expires.
    pub expires_secs: u32,
    /// The state's name.
    pub state: &'static str,
    /// The client; port 0 for a template.
    pub client: SocketAddr,
    /// The virtual address and port.
    pub virtual_: SocketAddr,
    /// The real server.
    pub server: SocketAddr,
    /// How its packets are forwarded.
    pub method: Method,
    /// The persistence engine of a template, and what it goes by.
    pub engine: Option<(&'static str, String)>,
}

/// Answers whether an address is local in the mirror's namespace: an input of the store.
pub trait Locality {
    /// True if Linux would deliver a packet to this address to itself.
    fn is_local(&self, address: IpAddr) -> bool;

    /// True if a packet to this address would be a broadcast of a subnet there.
    fn is_broadcast(&self, _address: IpAddr) -> bool {
        false
    }

    /// The MTU of a device there; `None` if there is no such device.
    fn device_mtu(&self, _name: &str) -> Option<u32> {
        None
    }
}

impl<F: Fn(IpAddr) -> bool> Locality for F {
    fn is_local(&self, address: IpAddr) -> bool {
        self(address)
    }
}
