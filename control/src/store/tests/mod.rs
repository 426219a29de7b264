//! The store against a plane whose counters the tests set.

mod counting;
mod edits;

use super::*;
use crate::command::{DaemonRequest, DaemonRole, ServiceRequest};
use crate::limits::TRASH_PERIODS;
use crate::plane::{Connection, Cursor, Lag};
use crate::reply::{Feature, Figures, ServiceView};
use pvs_sched::config::{
    Method, ServerConfig, ServerKey, ServiceFlags, Transport, Tunnel, TunnelKind,
};
use pvs_sched::{Load, ServerIndex};
use std::cell::RefCell;
use std::time::Duration;

/// Counters and loads by cell.
#[derive(Default)]
struct Cells {
    counters: HashMap<ServerIndex, Counters>,
    loads: HashMap<ServerIndex, Load>,
    /// Servers that were judged, with their thresholds.
    judged: RefCell<Vec<(ServerIndex, u32, u32)>>,
}

impl Cells {
    /// A cell has counted this many packets (and half as many connections) from the beginning.
    fn count(&mut self, cell: u32, packets: u64) {
        let counters = Counters {
            connections: packets / 2,
            in_packets: packets,
            ..cells::ZERO
        };
        self.counters.insert(ServerIndex(cell), counters);
    }

    fn hold(&mut self, cell: u32, active: u32) {
        self.loads.insert(
            ServerIndex(cell),
            Load {
                active,
                inactive: 0,
            },
        );
    }
}

impl Plane for Cells {
    fn publish(&mut self, _: Snapshot) {}

    fn wait_seen(&mut self, _: u64, _: Duration) -> Result<(), Lag> {
        Ok(())
    }

    fn counters(&self, server: ServerIndex) -> Counters {
        self.counters.get(&server).copied().unwrap_or_default()
    }

    fn load(&self, server: ServerIndex) -> Load {
        self.loads.get(&server).copied().unwrap_or_default()
    }

    fn connections(&mut self, _: Cursor, _: &mut Vec<Connection>) -> Result<Option<Cursor>, Lag> {
        Ok(None)
    }

    fn judge_threshold(&self, server: ServerIndex, upper: u32, lower: u32) {
        self.judged.borrow_mut().push((server, upper, lower));
    }

    fn table_size(&self) -> u64 {
        4096
    }
}

const VIP: ServiceKey = service(100);

const fn service(last: u8) -> ServiceKey {
    let address = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, last));
    ServiceKey::Address {
        protocol: Transport::Tcp,
        address,
        port: 80,
    }
}

fn request(key: ServiceKey) -> ServiceRequest {
    let scheduler = "rr".to_owned();
    ServiceRequest {
        key,
        scheduler,
        flags: ServiceFlags::default(),
        persistence: None,
        engine: None,
    }
}

fn server(last: u8) -> ServerConfig {
    ServerConfig {
        key: ServerKey {
            address: [10, 0, 1, last].into(),
            port: 80,
        },
        method: Method::Route,
        weight: 1,
        upper_threshold: 0,
        lower_threshold: 0,
        tunnel: Tunnel::default(),
    }
}

/// A store with its cells.
struct Bench {
    store: Store,
    cells: Cells,
}

impl Bench {
    fn new() -> Self {
        let mut bench = Self {
            store: Store::new(Capabilities::ALL),
            cells: Cells::default(),
        };
        bench.done(&Command::AddService(request(VIP)));
        bench
    }

    fn apply(&mut self, command: &Command) -> Result<Outcome, Refusal> {
        self.store.apply(command, &self.cells)
    }

    fn done(&mut self, command: &Command) {
        assert_eq!(self.apply(command), Ok(Outcome::Done), "{command:?}");
    }

    fn refused(&mut self, command: &Command, refusal: &Refusal) {
        self.store.take_snapshot();
        assert_eq!(self.apply(command), Err(refusal.clone()), "{command:?}");
        assert!(
            self.store.take_snapshot().is_none(),
            "a refused command changes nothing"
        );
    }

    fn add(&mut self, key: ServiceKey, last: u8) {
        self.done(&Command::AddServer {
            service: key,
            server: server(last),
        });
    }

    fn delete(&mut self, key: ServiceKey, last: u8) {
        self.done(&Command::DeleteServer {
            service: key,
            server: server(last).key,
        });
    }

    fn cell(&self, key: &ServiceKey, last: u8) -> u32 {
        self.store
            .service(key)
            .unwrap()
            .server(server(last).key)
            .unwrap()
            .index
            .0
    }

    fn view(&mut self, key: ServiceKey) -> ServiceView {
        match self.apply(&Command::ListService(key)) {
            Ok(Outcome::Services { mut services, .. }) => services.remove(0),
            other => panic!("{other:?}"),
        }
    }

    /// Packets of the service and of its servers, in list order.
    fn packets(&mut self, key: ServiceKey) -> (u64, Vec<u64>) {
        let view = self.view(key);
        (
            view.stats.in_packets,
            view.servers.iter().map(|s| s.stats.in_packets).collect(),
        )
    }

    /// The workers have seen everything, and a second estimator period has passed.
    fn settle(&mut self, periods: u32) {
        self.store.take_snapshot();
        let version = self.store.snapshot().version;
        self.store.note_seen(version, &self.cells);
        for _ in 0..periods {
            self.store.tick(&self.cells);
        }
    }
}
