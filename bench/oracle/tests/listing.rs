//! Very many connections are listed while packets pass: in small pages, by two listings at once,
//! and with edits in between.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod common;

use common::{VIP, service, snapshot};
use pvs_control::cli::Link;
use pvs_control::client::Client;
use pvs_control::command::{Command, ServiceRequest};
use pvs_control::reply::Outcome;
use pvs_control::{Capabilities, Connection, Cursor, Lag, Plane, Server, SocketConfig, Store};
use pvs_dataplane::engine::EngineConfig;
use pvs_dataplane::port::BURST;
use pvs_dataplane::worker::{PlaceInTable, Record};
use pvs_oracle::frames::{from_client, udp};
use pvs_oracle::scenario::at;
use pvs_oracle::{Director, Side};
use pvs_sched::{Counters, Load, Method, ServerIndex, ServiceKey, Snapshot, Transport};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

/// Entries of one turn, at most.
const PAGE: usize = 64;

/// Turns until a question is answered: it is asked between two.
const TURNS: u64 = 1;

fn client(n: u32) -> SocketAddr {
    let addr = Ipv4Addr::from_bits(0xac10_0000 + (n >> 14));
    SocketAddrV4::new(addr, 1024 + (n & 0x3fff) as u16).into()
}

/// Which client it is.
fn number(client: SocketAddr) -> usize {
    let SocketAddr::V4(client) = client else {
        panic!("{client}")
    };
    let high = client.ip().to_bits() - 0xac10_0000;
    (high << 14) as usize + usize::from(client.port() - 1024)
}

/// A director with so many connections.
fn director(connections: u32) -> Director {
    let config = EngineConfig {
        connections_v4: connections + connections / 16,
        connections_v6: 16,
        ..EngineConfig::default()
    };
    let mut d = Director::with(config, &[], 256).unwrap();
    let servers = [("192.168.1.1:80", Method::Route)];
    d.configure(snapshot(1, Some(service(Transport::Udp, VIP, &servers))));
    for n in 0..connections {
        assert!(d.cable(Side::Client).send(&packet(n)));
        if n as usize % BURST == BURST - 1 {
            d.poll();
            while d.cable(Side::Server).receive().is_some() {}
        }
    }
    d.settle();
    d.drain();
    assert_eq!(
        (d.totals().connections, d.losses()),
        (connections.into(), vec![])
    );
    d
}

fn packet(n: u32) -> Vec<u8> {
    from_client(&udp(client(n), at(VIP), b""))
}

/// One page, with a packet that comes in the same turn and goes out in it.
fn page(d: &mut Director, from: PlaceInTable) -> (Vec<Record>, Option<PlaceInTable>) {
    assert!(d.cable(Side::Client).send(&packet(7)));
    let before = d.totals().polls;
    let (records, next) = d.page(from);
    assert_eq!(d.totals().polls - before, TURNS, "a turn answers");
    assert!(records.len() <= PAGE, "{} in a turn", records.len());
    assert!(
        d.cable(Side::Server).receive().is_some(),
        "a packet has waited"
    );
    (records, next)
}

/// A listing on its way.
struct Listing {
    from: Option<PlaceInTable>,
    seen: Vec<bool>,
    pages: u32,
}

impl Listing {
    fn new(connections: u32) -> Self {
        Self {
            from: Some(PlaceInTable::default()),
            seen: vec![false; connections as usize],
            pages: 0,
        }
    }

    fn go_on(&mut self, d: &mut Director) {
        let Some(from) = self.from else { return };
        let (records, next) = page(d, from);
        for record in records {
            let seen = &mut self.seen[number(record.client)];
            assert!(!std::mem::replace(seen, true), "{} twice", record.client);
        }
        self.from = next;
        self.pages += 1;
    }
}

#[test]
fn two_listings_of_a_million_take_turns_and_no_packet_waits() {
    let connections = 1_000_000;
    let mut d = director(connections);
    let mut listings = [Listing::new(connections), Listing::new(connections)];
    // The second one begins later.
    for _ in 0..1000 {
        listings[0].go_on(&mut d);
    }
    while listings.iter().any(|listing| listing.from.is_some()) {
        for listing in &mut listings {
            listing.go_on(&mut d);
        }
    }
    for listing in &listings {
        assert!(
            listing.seen.iter().all(|seen| *seen),
            "a connection is missing"
        );
        assert!(listing.pages as usize >= connections as usize / PAGE);
    }
}

/// Control's view of a director that turns when it is asked something.
struct Turning {
    director: Director,
    pages: Arc<AtomicU64>,
}

impl Plane for Turning {
    /// The director keeps the service of its connections, which the store knows nothing of.
    fn publish(&mut self, _: Snapshot) {
        self.director.poll();
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

    fn connections(
        &mut self,
        from: Cursor,
        into: &mut Vec<Connection>,
    ) -> Result<Option<Cursor>, Lag> {
        let (records, next) = page(&mut self.director, PlaceInTable::unpacked(from.0));
        into.extend(records.iter().map(|record| Connection {
            protocol: record.protocol.name(),
            expires_secs: record.expires_secs,
            state: record.state,
            client: record.client,
            virtual_: record.virtual_,
            server: record.server,
            method: record.method,
            engine: None,
        }));
        self.pages.fetch_add(1, SeqCst);
        Ok(next.map(|next| Cursor(next.packed())))
    }

    fn table_size(&self) -> u64 {
        4096
    }
}

/// All clients of a listing over the socket.
fn list(path: &Path, connections: u32) {
    let mut seen = vec![false; connections as usize];
    let asked = &mut |outcome| {
        let Outcome::Connections { entries, .. } = outcome else {
            panic!("{outcome:?}")
        };
        assert!(entries.len() <= PAGE);
        for entry in entries {
            assert!(!std::mem::replace(&mut seen[number(entry.client)], true));
        }
        Ok(())
    };
    Client::new(path)
        .ask(&[Command::ListConnections], asked)
        .unwrap();
    assert!(seen.iter().all(|seen| *seen), "a connection is missing");
}

/// Ends the server, also if the test fails.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// A service that has nothing to do with the connections.
fn other(n: u8) -> Command {
    Command::AddService(ServiceRequest {
        key: ServiceKey::Address {
            protocol: Transport::Tcp,
            address: [10, 0, 1, n].into(),
            port: 80,
        },
        scheduler: "rr".into(),
        flags: Default::default(),
        persistence: None,
        engine: None,
    })
}

#[test]
fn edits_do_not_wait_for_listings() {
    let connections = 100_000;
    let pages = Arc::new(AtomicU64::new(0));
    let mut plane = Turning {
        director: director(connections),
        pages: Arc::clone(&pages),
    };
    let path = std::env::temp_dir().join(format!("pvs-listing-{}.sock", std::process::id()));
    let config = SocketConfig {
        path: path.clone(),
        ..SocketConfig::default()
    };
    let server = Server::bind(&config).unwrap();
    let stop = AtomicBool::new(false);
    let (path, stop) = (&path, &stop);
    thread::scope(|scope| {
        let _ends = Ends(stop);
        scope.spawn(move || server.run(Store::new(Capabilities::ALL), &mut plane, stop));
        let listings = [(); 2].map(|()| scope.spawn(move || list(path, connections)));
        let mut between = Vec::new();
        for n in 0..50 {
            let before = pages.load(SeqCst);
            let done = Client::new(path).ask(&[other(n)], &mut |outcome| {
                assert_eq!(outcome, Outcome::Done);
                Ok(())
            });
            assert_eq!(done.unwrap(), None, "no warning");
            let both_go_on = listings.iter().all(|listing| !listing.is_finished());
            between.extend(both_go_on.then(|| pages.load(SeqCst) - before));
        }
        for listing in listings {
            listing.join().unwrap();
        }
        // Of the edits during both listings, half waited for a few pages; the machine may be busy.
        between.sort_unstable();
        assert!(
            between.len() >= 5,
            "the listings were over before the edits"
        );
        let median = between[between.len() / 2];
        assert!(
            median < 200,
            "an edit waits for {median} pages of {connections} connections"
        );
    });
}
