//! Control's view of the workers: [`Plane`] over the dataplane.

use crate::status::Inspector;
use crossbeam::channel::Sender;
use pvs_control::explain::{ConnectionSeen, WaySeen};
use pvs_control::status::{LossView, StatusView};
use pvs_control::{Connection, Cursor, Lag, Plane};
use pvs_dataplane::engine::{self, Handle, Servers};
use pvs_dataplane::worker::{
    Clock, MailGuard, MonotonicClock, PlaceInTable, Question, Record, WayTo,
};
use pvs_dpdk::Mbuf;
use pvs_epoch::Publisher;
use pvs_proto::{Protocol, Ticks};
use pvs_sched::{Counters, Load, Loads, ServerIndex, Service, Snapshot};
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// How often a waiting control thread looks.
const LOOK_PERIOD: Duration = Duration::from_micros(100);

/// How long a worker may take to fill a page: it does so in its next turn.
const PAGE_TIME_MAX: Duration = Duration::from_secs(1);

/// Where the worker is in a cursor; the place in its tables is below.
const WORKER_SHIFT: u32 = 40;
const _: () = assert!(WORKER_SHIFT >= PlaceInTable::BITS);

/// The dataplane, to control.
pub struct Dataplane {
    handles: Vec<Handle<Mbuf>>,
    shared: Servers,
    snapshots: Publisher<Snapshot>,
    /// Versions of the store's and of the publisher's, of what is not seen by all yet.
    versions: VecDeque<(u64, u64)>,
    servers: Sender<Vec<IpAddr>>,
    table_size: u64,
    inspector: Inspector,
}

impl Dataplane {
    /// Publishes by `snapshots`, tells the servers' addresses to whoever keeps
    /// their next hops resolved.
    pub fn new(
        handles: Vec<Handle<Mbuf>>,
        shared: Servers,
        snapshots: Publisher<Snapshot>,
        servers: Sender<Vec<IpAddr>>,
        table_size: u64,
        inspector: Inspector,
    ) -> Self {
        Self {
            handles,
            shared,
            snapshots,
            versions: VecDeque::new(),
            servers,
            table_size,
            inspector,
        }
    }
}

impl Plane for Dataplane {
    fn publish(&mut self, snapshot: Snapshot) {
        let servers = snapshot.services().flat_map(|service| service.servers());
        // Without that thread pvsd is ending.
        let _ = self
            .servers
            .send(servers.map(|server| server.config.key.address).collect());
        let version = snapshot.version;
        let published = self.snapshots.publish(snapshot);
        self.versions.push_back((version, published));
    }

    fn wait_seen(&mut self, version: u64, limit: Duration) -> Result<(), Lag> {
        let until = Instant::now() + limit;
        let newest = self
            .versions
            .iter()
            .take_while(|(store, _)| *store <= version)
            .last();
        let Some((_, published)) = newest.copied() else {
            return Ok(());
        };
        while let Some(worker) = self.snapshots.laggard(published) {
            if Instant::now() >= until {
                return Err(Lag { worker });
            }
            std::thread::sleep(LOOK_PERIOD);
        }
        self.versions.retain(|(store, _)| *store > version);
        self.snapshots.reclaim();
        Ok(())
    }

    fn counters(&self, server: ServerIndex) -> Counters {
        engine::counters(&self.handles, server)
    }

    fn load(&self, server: ServerIndex) -> Load {
        engine::load(&self.handles, server)
    }

    fn templates(&self, server: ServerIndex) -> u32 {
        self.shared.templates.of_server(server)
    }

    fn judge_threshold(&self, server: ServerIndex, upper: u32, lower: u32) {
        self.shared.loads.judge(server, upper, lower);
    }

    fn connection(
        &self,
        protocol: Protocol,
        client: SocketAddr,
        virtual_: SocketAddr,
    ) -> Result<(Option<u16>, Option<ConnectionSeen>), Lag> {
        let mut owner = None;
        for (worker, handle) in self.handles.iter().enumerate() {
            let question = Question::Connection {
                protocol,
                client,
                virtual_,
            };
            let page = answer(handle, worker, question)?;
            owner = owner.or(page.owner.map(|owner| owner.0));
            if let Some(record) = page.found() {
                return Ok((owner, Some(seen(worker, record))));
            }
        }
        Ok((owner, None))
    }

    fn template(
        &self,
        service: &Service,
        protocol: Protocol,
        client: SocketAddr,
        virtual_: SocketAddr,
    ) -> Option<(ServerIndex, u32, bool)> {
        let now = Ticks::at_nanos(MonotonicClock.nanos());
        let ends = (client, virtual_);
        self.shared.templates.look_up(service, protocol, ends, now)
    }

    fn way(&self, address: IpAddr) -> Result<Option<WaySeen>, Lag> {
        let Some(handle) = self.handles.first() else {
            return Ok(None);
        };
        let page = answer(handle, 0, Question::Way(address))?;
        Ok(page.way.map(|way| way_seen(way, &page.interface)))
    }

    fn overloaded(&self, server: ServerIndex) -> bool {
        self.shared.loads.overloaded(server)
    }

    fn connections(
        &mut self,
        from: Cursor,
        page: &mut Vec<Connection>,
    ) -> Result<Option<Cursor>, Lag> {
        let worker = (from.0 >> WORKER_SHIFT) as usize;
        let Some(handle) = self.handles.get(worker) else {
            return Ok(None);
        };
        let question = Question::Page(PlaceInTable::unpacked(from.0));
        let answer = answer(handle, worker, question)?;
        page.extend(answer.records.iter().map(connection));
        Ok(match answer.next {
            Some(next) => Some(Cursor((worker as u64) << WORKER_SHIFT | next.packed())),
            None if worker + 1 < self.handles.len() => {
                Some(Cursor((worker as u64 + 1) << WORKER_SHIFT))
            }
            None => None,
        })
    }

    fn table_size(&self) -> u64 {
        self.table_size
    }

    fn losses(&self) -> Vec<LossView> {
        self.inspector.losses()
    }

    fn status(&self) -> StatusView {
        self.inspector.status(&self.snapshots)
    }
}

/// Asks a worker, which answers in its next turn.
fn answer(handle: &Handle<Mbuf>, worker: usize, question: Question) -> Result<MailGuard<'_>, Lag> {
    handle.mailbox.ask(question);
    let until = Instant::now() + PAGE_TIME_MAX;
    loop {
        if let Some(answer) = handle.mailbox.answer() {
            return Ok(answer);
        }
        if Instant::now() >= until {
            return Err(Lag { worker });
        }
        std::thread::sleep(LOOK_PERIOD);
    }
}

fn seen(worker: usize, record: &Record) -> ConnectionSeen {
    ConnectionSeen {
        worker: worker as u16,
        state: record.state.to_owned(),
        server: record.server,
        expires_secs: record.expires_secs,
        idle_secs: record.idle_secs,
        packets: record.packets,
    }
}

fn way_seen(way: WayTo, interface: &str) -> WaySeen {
    match way {
        WayTo::Local => WaySeen::Local,
        WayTo::Unreachable => WaySeen::Unreachable,
        WayTo::Elsewhere => WaySeen::Elsewhere,
        WayTo::Neighbour {
            address,
            mac,
            failed,
            ..
        } => WaySeen::Neighbour {
            address,
            interface: interface.to_owned(),
            mac: mac.map(|mac| mac.to_string()),
            failed,
        },
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::tests::inspector;
    use pvs_control::status::WorkerState;
    use pvs_dataplane::engine::EngineConfig;

    #[test]
    fn a_worker_that_stands_still_is_named_after_the_time_for_it_and_holds_up_no_longer() {
        let (snapshots, mut readers) = pvs_epoch::channel(Snapshot::default(), 2);
        for reader in &mut readers {
            reader.poll();
        }
        let (tell, _heard) = crossbeam::channel::unbounded();
        let inspector = inspector(&[1000, 0]);
        let handles = inspector.handles.clone();
        let shared = Servers::new(&EngineConfig::default(), []);
        let mut plane = Dataplane::new(handles, shared, snapshots, tell, 4096, inspector);
        let mut snapshot = Snapshot::default();
        snapshot.version = 7;
        plane.publish(snapshot);
        readers[0].poll();
        // The other one never turns again.
        let (limit, began) = (Duration::from_secs(1), Instant::now());
        assert_eq!(plane.wait_seen(7, limit), Err(Lag { worker: 1 }));
        let waited = began.elapsed();
        assert!(waited >= limit && waited < 3 * limit, "{waited:?}");
        // Nor does it answer for its connections; everything else is as ever.
        let its_first = Cursor(1 << WORKER_SHIFT);
        let asked = plane.connections(its_first, &mut vec![]);
        assert_eq!(asked, Err(Lag { worker: 1 }));
        let status = plane.status();
        let states: Vec<_> = status.workers.iter().map(|w| w.state).collect();
        assert_eq!(states, [WorkerState::Polling, WorkerState::Stuck]);
        assert_eq!(plane.counters(ServerIndex(0)), Counters::default());
        // It is back.
        readers[1].poll();
        assert_eq!(plane.wait_seen(7, Duration::ZERO), Ok(()));
        assert_eq!(plane.snapshots.outstanding(), 0);
    }
}
