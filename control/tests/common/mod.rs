//! A plane without workers, and a status with something of everything.
#![allow(dead_code, reason = "each test file uses a part")]

use pvs_control::plane::{Connection, Cursor, Lag, Plane};
use pvs_control::status::*;
use pvs_sched::{Counters, Load, ServerIndex, Snapshot};
use std::time::Duration;

/// Takes snapshots and counts nothing.
#[derive(Debug, Default)]
pub struct IdlePlane {
    pub published: Vec<Snapshot>,
    pub connections: Vec<Connection>,
    pub status: StatusView,
    pub losses: Vec<LossView>,
}

/// Connections in a page.
const PAGE: usize = 3;

impl Plane for IdlePlane {
    fn publish(&mut self, snapshot: Snapshot) {
        self.published.push(snapshot);
    }

    fn wait_seen(&mut self, _: u64, _: Duration) -> Result<(), Lag> {
        Ok(())
    }

    fn counters(&self, _: ServerIndex) -> Counters {
        Counters::default()
    }

    fn load(&self, _: ServerIndex) -> Load {
        Load::default()
    }

    fn connections(
        &mut self,
        from: Cursor,
        page: &mut Vec<Connection>,
    ) -> Result<Option<Cursor>, Lag> {
        let from = usize::try_from(from.0).unwrap();
        page.extend(self.connections.iter().skip(from).take(PAGE).cloned());
        let next = from + PAGE;
        Ok((next < self.connections.len()).then(|| Cursor(u64::try_from(next).unwrap())))
    }

    fn table_size(&self) -> u64 {
        4096
    }

    fn losses(&self) -> Vec<LossView> {
        self.losses.clone()
    }

    fn status(&self) -> StatusView {
        self.status.clone()
    }
}

/// A director with two ports, one of them down, and a bit of everything.
pub fn rich_status() -> StatusView {
    StatusView {
        version: "0.1.0".into(),
        dpdk: "DPDK 22.11.5".into(),
        uptime_secs: 3 * 86_400 + 4 * 3600 + 5 * 60 + 6,
        interval_ms: 1004,
        sample_age_ms: 321,
        steering: "alone".into(),
        ports: vec![port(0, Some(true)), port(1, Some(false))],
        workers: vec![worker()],
        tables: vec![table("ipv4", 1_000_001, 1 << 20), table("ipv6", 0, 1 << 18)],
        ends: EndsView {
            expired: 98_765_432,
            evicted: 12,
        },
        table_huge_pages: true,
        buffer_huge_pages: false,
        config: VersionView {
            published: 42,
            outstanding: 0,
        },
        services: ServicesView::default(),
        linux: linux(),
        punts: vec![punt("control", 1234, 0), punt("local", 5_678_901, 23)],
        exchange: ExchangeView {
            to_linux: 5_680_112,
            refused_by_linux: 3,
            no_tap: 0,
            from_linux: 77_777,
            inject_full: 1,
            pool_empty: 0,
            too_long: 0,
        },
        icmp_errors: Some(IcmpErrorsView {
            sent: 55,
            limited: 5,
        }),
        drops: (0..7).map(loss).collect(),
    }
}

fn port(port: u16, link_up: Option<bool>) -> PortView {
    PortView {
        port,
        device: format!("0000:3b:00.{port}"),
        driver: "net_ice".into(),
        mirror: format!("pvs{port}"),
        role: ["client", "server"][usize::from(port)].into(),
        mac: format!("02:00:00:00:00:0{port}"),
        mtu: 1500,
        queues: 1,
        link_up,
        speed_mbps: Some(25_000),
        rx_packets: 123_456_789_012,
        rx_bytes: 98_765_432_109_876,
        rx_missed: 17,
        rx_errors: 0,
        rx_no_buffer: 2,
        rx_chained: 0,
        tx_packets: 120_000_000_000,
        tx_bytes: 91_000_000_000_000,
        tx_errors: 0,
    }
}

fn worker() -> WorkerView {
    WorkerView {
        worker: 0,
        core: 31,
        state: WorkerState::Polling,
        polls: 1_000_000,
        busy_polls: 123_456,
        rx_per_sec: 1_234_567,
        tx_per_sec: 1_234_566,
        received: 246_913_578_024,
        sent: 240_000_000_000,
        injected: 77_777,
        handed_over: 123_456_789,
        relayed: 0,
        taken_over: 123_456_700,
        connections: 1_000_001,
        config_seen: Some(42),
        forwarding_seen: None,
    }
}

fn table(family: &str, used: u64, capacity: u64) -> TableView {
    let family = family.into();
    TableView {
        family,
        used,
        capacity,
    }
}

fn punt(class: &str, passed: u64, dropped: u64) -> PuntView {
    let class = class.into();
    PuntView {
        class,
        passed,
        dropped,
        waiting: dropped,
        limit: 1024,
    }
}

fn loss(at: u64) -> LossView {
    let sentence = [
        "It is short.",
        "It is long enough to pass the end of the page, so that it has to go on below, where it began above.",
    ];
    LossView {
        reason: format!("reason_{at}"),
        place: LossPlace::Dropped,
        packets: at * at * 1000,
        sentence: sentence[usize::from(at == 5)].into(),
    }
}

fn linux() -> LinuxView {
    let address = |interface: &str, address: &str, prefix_len| AddressView {
        interface: interface.into(),
        address: address.parse().unwrap(),
        prefix_len,
    };
    let interface = |name: &str, kind, port, vlan, gone| InterfaceView {
        name: name.into(),
        kind,
        port,
        vlan,
        ifindex: 12,
        mac: "02:00:00:00:00:00".into(),
        mtu: 1500,
        up: true,
        carrier: port == 0,
        gone,
    };
    let hop = |address: &str, state, for_server, secs| HopView {
        address: address.parse().unwrap(),
        interface: "pvs0".into(),
        state,
        for_server,
        secs,
    };
    let astray = |server: &str, interface: Option<&str>, has_route| AstrayView {
        server: server.parse().unwrap(),
        interface: interface.map(str::to_owned),
        has_route,
    };
    let mut addresses = vec![
        address("pvs0", "192.0.2.2", 24),
        address("pvs0", "2001:db8::1234:5678:9abc:def0", 64),
        address("pvs0.100", "10.0.10.1", 24),
    ];
    addresses.extend((1..=12).map(|last| address("pvs1", &format!("10.0.20.{last}"), 24)));
    LinuxView {
        namespace: "director".into(),
        nameless: false,
        recovery_error: None,
        age_ms: 99,
        interfaces: vec![
            interface("pvs0", InterfaceKind::Tap, 0, None, false),
            interface("pvs1", InterfaceKind::Tap, 1, None, false),
            interface("pvs0.100", InterfaceKind::Vlan, 0, Some(100), false),
            interface("vrrp.51", InterfaceKind::Macvlan, 0, None, false),
        ],
        addresses,
        routes_v4: 900_123,
        routes_v6: 150_456,
        neighbours: 321,
        hops_for_servers: 40,
        hops_for_clients: 2,
        hops_refused: 0,
        refusing_hops: false,
        overruns: 0,
        unread: 0,
        unresolved: vec![
            hop("10.0.20.99", HopState::Failed, true, 61),
            hop("2001:db8::ffff:ffff:ffff:99", HopState::Asked, false, 1),
        ],
        astray: vec![
            astray("10.99.0.1", Some("eth0"), true),
            astray("10.99.0.2", None, false),
            astray("2001:db8:99::1", None, true),
        ],
        unsupported: vec![
            "the IPv4 rule of priority 100 (table 7) is not followed: pvs knows `local` and `main`"
                .into(),
        ],
        forwarding: VersionView {
            published: 1077,
            outstanding: 1,
        },
    }
}
