//! Control's view of the director of this process: a [`Plane`] without threads.
//!
//! The worker polls whenever control wants something of it, so a snapshot is seen as soon as it is
//! published and a question is answered as soon as it is asked.

use crate::Director;
use pvs_control::{Connection, Cursor, Lag, Plane};
use pvs_dataplane::worker::{PlaceInTable, Record};
use pvs_proto::{Protocol, Ticks};
use pvs_sched::{Counters, Load, Loads, ServerIndex, Service, Snapshot};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Index slots of the recorded kernel's connection table (`CONFIG_IP_VS_TAB_BITS=12`).
const TABLE_SIZE: u64 = 4096;

/// The director, to control.
pub struct InProcess {
    /// Itself.
    pub director: Director,
}

impl Plane for InProcess {
    fn publish(&mut self, snapshot: Snapshot) {
        self.director.configure(snapshot);
    }

    fn wait_seen(&mut self, _: u64, _: Duration) -> Result<(), Lag> {
        Ok(())
    }

    fn counters(&self, server: ServerIndex) -> Counters {
        self.director.counters(server)
    }

    fn load(&self, server: ServerIndex) -> Load {
        self.director.load(server)
    }

    fn templates(&self, server: ServerIndex) -> u32 {
        self.director.servers().templates.of_server(server)
    }

    fn judge_threshold(&self, server: ServerIndex, upper: u32, lower: u32) {
        self.director.servers().loads.judge(server, upper, lower);
    }

    fn template(
        &self,
        service: &Service,
        protocol: Protocol,
        client: SocketAddr,
        virtual_: SocketAddr,
    ) -> Option<(ServerIndex, u32, bool)> {
        let templates = &self.director.servers().templates;
        let now = Ticks::at_nanos(self.director.nanos());
        templates.look_up(service, protocol, (client, virtual_), now)
    }

    fn overloaded(&self, server: ServerIndex) -> bool {
        self.director.servers().loads.overloaded(server)
    }

    fn connections(
        &mut self,
        from: Cursor,
        page: &mut Vec<Connection>,
    ) -> Result<Option<Cursor>, Lag> {
        let (records, next) = self.director.page(PlaceInTable::unpacked(from.0));
        page.extend(records.iter().map(connection));
        Ok(next.map(|next| Cursor(next.packed())))
    }

    fn table_size(&self) -> u64 {
        TABLE_SIZE
    }
}

/// The director, shared with a control server in a thread of its own.
#[derive(Clone)]
pub struct Shared(Arc<Mutex<InProcess>>);

impl Shared {
    /// Shares a director.
    #[must_use]
    pub fn new(plane: InProcess) -> Self {
        Self(Arc::new(Mutex::new(plane)))
    }

    /// Does something with the director while nobody else does.
    pub fn with<R>(&self, work: impl FnOnce(&mut InProcess) -> R) -> R {
        // Whoever panicked with it has been told of; the director is in one piece all the same.
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Plane for Shared {
    fn publish(&mut self, snapshot: Snapshot) {
        self.with(|plane| plane.publish(snapshot));
    }

    fn wait_seen(&mut self, version: u64, limit: Duration) -> Result<(), Lag> {
        self.with(|plane| plane.wait_seen(version, limit))
    }

    fn counters(&self, server: ServerIndex) -> Counters {
        self.with(|plane| plane.counters(server))
    }

    fn load(&self, server: ServerIndex) -> Load {
        self.with(|plane| plane.load(server))
    }

    fn templates(&self, server: ServerIndex) -> u32 {
        self.with(|plane| plane.templates(server))
    }

    fn judge_threshold(&self, server: ServerIndex, upper: u32, lower: u32) {
        self.with(|plane| plane.judge_threshold(server, upper, lower));
    }

    fn connections(
        &mut self,
        from: Cursor,
        page: &mut Vec<Connection>,
    ) -> Result<Option<Cursor>, Lag> {
        self.with(|plane| plane.connections(from, page))
    }

    fn table_size(&self) -> u64 {
        self.with(|plane| plane.table_size())
    }
}

/// The kernel's only engine is SIP's.
fn engine(record: &Record) -> Option<(&'static str, String)> {
    let data = record.engine.bytes();
    (!data.is_empty()).then(|| ("sip", String::from_utf8_lossy(data).into_owned()))
}

fn connection(record: &Record) -> Connection {
    Connection {
        protocol: record.protocol.name(),
        expires_secs: record.expires_secs,
        state: record.state,
        client: record.client,
        virtual_: record.virtual_,
        server: record.server,
        method: record.method,
        engine: engine(record),
    }
}
