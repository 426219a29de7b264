//! A thousand services of a hundred servers through the program pvsadm and the socket: one
//! snapshot, no worker is asked, and it takes seconds at most. Not a benchmark: the bounds leave
//! room for a build without optimisation; docs/BENCHMARKS.md has figures.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

use pvs_control::explain::{ConnectionSeen, WaySeen};
use pvs_control::plane::{Connection, Cursor, Lag};
use pvs_control::{Capabilities, Plane, Server, SocketConfig, Store};
use pvs_proto::Protocol;
use pvs_sched::{Counters, Load, ServerIndex, Snapshot};
use std::fmt::Write as _;
use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// What each command may take in any build, on a machine that is busy with other things.
const TIME_MAX: Duration = Duration::from_secs(30);

/// Counts what is published and what a worker is asked.
#[derive(Clone, Default)]
struct CountingPlane {
    published: Arc<AtomicUsize>,
    asked: Arc<AtomicUsize>,
}

impl Plane for CountingPlane {
    fn publish(&mut self, _: Snapshot) {
        self.published.fetch_add(1, Relaxed);
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

    fn connections(&mut self, _: Cursor, _: &mut Vec<Connection>) -> Result<Option<Cursor>, Lag> {
        self.asked.fetch_add(1, Relaxed);
        Ok(None)
    }

    fn connection(
        &self,
        _: Protocol,
        _: SocketAddr,
        _: SocketAddr,
    ) -> Result<(Option<u16>, Option<ConnectionSeen>), Lag> {
        self.asked.fetch_add(1, Relaxed);
        Ok((None, None))
    }

    fn way(&self, _: IpAddr) -> Result<Option<WaySeen>, Lag> {
        self.asked.fetch_add(1, Relaxed);
        Ok(None)
    }

    fn table_size(&self) -> u64 {
        4096
    }
}

/// Runs pvsadm with a file as its input; its output goes through files, so that nothing waits for
/// the test.
fn pvsadm(socket: &Path, words: &[&str], input: &Path) -> (Output, Duration) {
    let began = Instant::now();
    let ran = Command::new(env!("CARGO_BIN_EXE_pvsadm"))
        .args(words)
        .env("PVS_SOCKET", socket)
        .stdin(Stdio::from(File::open(input).unwrap()))
        .output()
        .unwrap();
    (ran, began.elapsed())
}

/// Rules as `-S -n` prints them, the latest server of a service first.
fn rules() -> String {
    let mut rules = String::new();
    for service in 0..1000 {
        let (a, b) = (service / 250, service % 250);
        writeln!(rules, "-A -t 10.0.{a}.{b}:80 -s wlc").unwrap();
        for server in 0..100 {
            let server = format!("10.{}.{b}.{server}:80", a + 1);
            writeln!(rules, "-a -t 10.0.{a}.{b}:80 -r {server} -m -w 1").unwrap();
        }
    }
    rules
}

#[test]
fn a_thousand_services_of_a_hundred_servers_are_one_snapshot_and_ask_no_worker() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("pvsd.sock");
    let (file, nothing) = (dir.path().join("rules"), Path::new("/dev/null"));
    let rules = rules();
    std::fs::write(&file, &rules).unwrap();
    let server = Server::bind(&SocketConfig {
        path: socket.clone(),
        ..SocketConfig::default()
    });
    let (server, stop) = (server.unwrap(), AtomicBool::new(false));
    let plane = CountingPlane::default();
    let ran = std::thread::scope(|scope| {
        scope.spawn(|| server.run(Store::new(Capabilities::ALL), &mut plane.clone(), &stop));
        let ran = [
            pvsadm(&socket, &["-R"], &file),
            pvsadm(&socket, &["-Ln"], nothing),
            pvsadm(&socket, &["-Sn"], nothing),
        ];
        stop.store(true, Relaxed);
        ran
    });
    for (name, (ran, took)) in ["-R", "-Ln", "-Sn"].iter().zip(&ran) {
        println!("{name} of 1,000 services with 100 servers each: {took:?}");
        assert!(*took < TIME_MAX, "{name}: {took:?}");
        let errors = String::from_utf8_lossy(&ran.stderr);
        assert_eq!((ran.status.code(), &*errors), (Some(0), ""), "{name}");
    }
    let [(restored, _), (listed, _), (saved, _)] = &ran;
    assert!(restored.stdout.is_empty());
    let listed = String::from_utf8_lossy(&listed.stdout);
    assert_eq!(listed.lines().count(), 3 + 1000 + 100_000);
    assert!(
        String::from_utf8_lossy(&saved.stdout) == rules,
        "not what was restored"
    );
    let (published, asked) = (plane.published.load(Relaxed), plane.asked.load(Relaxed));
    assert_eq!(
        (published, asked),
        (1, 0),
        "snapshots, questions to workers"
    );
}
