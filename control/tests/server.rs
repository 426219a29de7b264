//! The control server over a real Unix socket: what it understands, what it does not, and that no
//! client can hold up another.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod common;

use common::IdlePlane;
use pvs_control::cli::{Link, LinkError, SystemNames, run};
use pvs_control::client::Client;
use pvs_control::command::{Command, ServiceRequest};
use pvs_control::frame::{Request, Response, VERSION, decode, encode};
use pvs_control::limits::{CLIENTS_MAX, FRAME_BYTES_MAX, FRAME_TIME_MAX, WRITE_TIME_MAX};
use pvs_control::plane::{Connection, Lag};
use pvs_control::reply::{Outcome, Refusal};
use pvs_control::status::{AddressView, StatusView};
use pvs_control::{BindError, Capabilities, Cursor, Plane, Server, SocketConfig, Store};
use pvs_sched::config::{Method, ServiceKey, Transport};
use pvs_sched::{Counters, Load, ServerIndex, Snapshot};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// A plane that the test looks into, and whose worker may lag.
#[derive(Clone, Default)]
struct SharedPlane {
    inner: Arc<Mutex<IdlePlane>>,
    lags: Arc<AtomicBool>,
}

impl Plane for SharedPlane {
    fn publish(&mut self, snapshot: Snapshot) {
        self.inner.lock().unwrap().publish(snapshot);
    }

    fn wait_seen(&mut self, _: u64, limit: Duration) -> Result<(), Lag> {
        if self.lags.load(Ordering::Relaxed) {
            thread::sleep(limit.min(Duration::from_millis(10)));
            return Err(Lag { worker: 2 });
        }
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
        self.inner.lock().unwrap().connections(from, page)
    }

    fn table_size(&self) -> u64 {
        4096
    }

    fn status(&self) -> StatusView {
        self.inner.lock().unwrap().status()
    }
}

/// A running server, stopped when dropped.
struct Running {
    path: PathBuf,
    plane: SharedPlane,
    handle: pvs_control::Handle,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    _dir: tempfile::TempDir,
}

impl Running {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pvsd.sock");
        let config = SocketConfig {
            path: path.clone(),
            ..SocketConfig::default()
        };
        let server = Server::bind(&config).unwrap();
        let (plane, stop) = (SharedPlane::default(), Arc::new(AtomicBool::new(false)));
        let handle = server.handle();
        let thread = thread::spawn({
            let (mut plane, stop) = (plane.clone(), Arc::clone(&stop));
            move || server.run(Store::new(Capabilities::ALL), &mut plane, &stop)
        });
        Self {
            path,
            plane,
            handle,
            stop,
            thread: Some(thread),
            _dir: dir,
        }
    }

    fn ask(&self, commands: &[Command]) -> (Vec<Outcome>, Option<String>) {
        let mut outcomes = Vec::new();
        let warning = Client::new(&self.path).ask(commands, &mut |outcome| {
            outcomes.push(outcome);
            Ok(())
        });
        (outcomes, warning.unwrap())
    }

    fn published(&self) -> usize {
        self.plane.inner.lock().unwrap().published.len()
    }

    /// Sends bytes and reads the answer to its end.
    fn say(&self, bytes: &[u8]) -> Response {
        let mut stream = UnixStream::connect(&self.path).unwrap();
        // The server may stop reading before the end.
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        BufReader::new(stream)
            .read_until(b'\n', &mut answer)
            .unwrap();
        decode(&answer).unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
        assert!(!self.path.exists(), "the socket is gone");
    }
}

fn add(last: u16) -> Command {
    let [high, low] = last.to_be_bytes();
    let key = ServiceKey::Address {
        protocol: Transport::Tcp,
        address: [10, 0, high, low].into(),
        port: 80,
    };
    Command::AddService(ServiceRequest {
        key,
        scheduler: "rr".into(),
        flags: Default::default(),
        persistence: None,
        engine: None,
    })
}

#[test]
fn commands_of_one_request_are_one_snapshot() {
    let running = Running::start();
    let (outcomes, warning) = running.ask(&[add(1), add(1), add(2), Command::ListServices]);
    assert_eq!(
        outcomes[..3],
        [
            Outcome::Done,
            Outcome::Refused(Refusal::ServiceExists),
            Outcome::Done
        ]
    );
    assert!(
        matches!(&outcomes[3], Outcome::Services { services, table_size: 4096, .. } if services.len() == 2)
    );
    assert_eq!((running.published(), warning), (1, None));
}

#[test]
fn what_is_not_understood_is_answered_in_a_sentence() {
    let running = Running::start();
    let error = |bytes: &[u8]| running.say(bytes).error.unwrap();
    assert!(error(b"GET / HTTP/1.1\n").starts_with("the frame is not JSON"));
    assert!(error(b"{\"version\":2,\"commands\":[]}\n").contains("version 2"));
    assert!(
        error(b"{\"version\":1,\"commands\":[],\"more\":0}\n").contains("unknown field `more`")
    );
    assert!(
        error(b"{\"version\":1,\"commands\":[\"dance\"]}\n").contains("unknown variant `dance`")
    );
    let long = vec![b' '; FRAME_BYTES_MAX + 100_000];
    assert!(error(&long).contains("longer than"));
    assert_eq!(running.published(), 0);
}

#[test]
fn a_frame_may_come_in_pieces_and_two_at_once() {
    let running = Running::start();
    let frame = encode(&Request {
        version: VERSION,
        commands: vec![Command::ListTimeouts],
    })
    .unwrap();
    let mut stream = UnixStream::connect(&running.path).unwrap();
    let (first, second) = frame.split_at(frame.len() / 2);
    stream.write_all(first).unwrap();
    thread::sleep(Duration::from_millis(50));
    stream.write_all(&[second, &frame].concat()).unwrap();
    let mut lines = BufReader::new(stream).lines();
    for _ in 0..2 {
        let response: Response = decode(lines.next().unwrap().unwrap().as_bytes()).unwrap();
        assert!(response.last && matches!(response.outcomes[..], [Outcome::Timeouts { .. }]));
    }
}

#[test]
fn silent_clients_hold_up_nobody_and_are_hung_up_on() {
    let running = Running::start();
    let silent: Vec<_> = (0..20)
        .map(|_| {
            let mut stream = UnixStream::connect(&running.path).unwrap();
            stream.write_all(b"{\"version\":1,\"comm").unwrap();
            stream
        })
        .collect();
    let began = Instant::now();
    running.ask(&[add(1)]);
    assert!(began.elapsed() < Duration::from_secs(1));
    for mut stream in silent {
        let mut said = String::new();
        stream.set_read_timeout(Some(2 * FRAME_TIME_MAX)).unwrap();
        stream.read_to_string(&mut said).unwrap();
        assert!(said.contains("not complete within 5 seconds"), "{said}");
    }
}

#[test]
fn silent_clients_cannot_take_all_places() {
    let running = Running::start();
    let silent: Vec<_> = (0..CLIENTS_MAX + 30)
        .map(|_| {
            let mut stream = UnixStream::connect(&running.path).unwrap();
            stream.write_all(b"{\"version\":1,\"comm").unwrap();
            stream
        })
        .collect();
    let began = Instant::now();
    running.ask(&[add(1)]);
    assert!(began.elapsed() < FRAME_TIME_MAX, "{:?}", began.elapsed());
    drop(silent);
}

#[test]
fn two_hundred_clients_at_once() {
    let running = Running::start();
    thread::scope(|scope| {
        for last in 0..200 {
            let running = &running;
            scope.spawn(move || assert_eq!(running.ask(&[add(last)]).0, [Outcome::Done]));
        }
    });
    let (outcomes, _) = running.ask(&[Command::ListServices]);
    let Outcome::Services { services, .. } = &outcomes[0] else {
        panic!()
    };
    assert_eq!((services.len(), running.published()), (200, 200));
}

#[test]
fn a_thousand_bad_clients_harm_nobody() {
    let running = Running::start();
    let bad: [&[u8]; 5] = [
        b"\xff\xfe\x00\n",
        b"{}\n",
        b"{\"version\":1,\"commands\":[{\"flush\":1}]}\n",
        b"[1,2\n",
        b"{\"version\":1,\"comm",
    ];
    let done = [Outcome::Done];
    thread::scope(|scope| {
        for first in 0..40u16 {
            let running = &running;
            scope.spawn(move || {
                for number in 0..25 {
                    let mut stream = UnixStream::connect(&running.path).unwrap();
                    stream.write_all(bad[number % bad.len()]).unwrap();
                    // Those that would be answered do not wait for it, the half frame ends here.
                }
                assert_eq!(running.ask(&[add(first)]).0, [Outcome::Done]);
            });
        }
    });
    assert_eq!(running.ask(&[Command::Flush]).0, done);
    assert_eq!(running.published(), 41);
}

#[test]
fn a_script_of_a_few_lines_drives_it() {
    let running = Running::start();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/control.py");
    let ran = std::process::Command::new("python3")
        .arg(script)
        .env("PVS_SOCKET", &running.path)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    assert_eq!(
        (text(ran.stderr), ran.status.code()),
        (String::new(), Some(0))
    );
    let printed =
        "done done\n{'protocol': 'tcp', 'address': '192.0.2.100', 'port': 80} ['10.0.0.1']\ndone\n";
    assert_eq!(text(ran.stdout), printed);
    assert_eq!(running.published(), 2);
}

#[test]
fn a_lagging_worker_is_named_and_edits_merge_until_it_has_caught_up() {
    let running = Running::start();
    running.plane.lags.store(true, Ordering::Relaxed);
    for last in 0..12 {
        let (outcomes, warning) = running.ask(&[add(last)]);
        assert_eq!(outcomes, [Outcome::Done]);
        assert!(warning.unwrap().contains("worker 2 lags"));
    }
    assert_eq!(running.published(), 8, "no more are outstanding");
    assert_eq!(
        running.ask(&[Command::ListTimeouts]).1,
        None,
        "a listing does not wait"
    );
    running.plane.lags.store(false, Ordering::Relaxed);
    let deadline = Instant::now() + Duration::from_secs(5);
    while running.published() < 9 && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(20));
    }
    let last = running
        .plane
        .inner
        .lock()
        .unwrap()
        .published
        .last()
        .unwrap()
        .clone();
    assert_eq!((last.version, last.services().count()), (9, 12));
}

#[test]
fn locality_is_an_input_like_a_command() {
    let running = Running::start();
    running.ask(&[add(1)]);
    running
        .handle
        .set_locality(Arc::new(|_: std::net::IpAddr| true));
    let deadline = Instant::now() + Duration::from_secs(5);
    while running.published() < 2 && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(5));
    }
    let last = running
        .plane
        .inner
        .lock()
        .unwrap()
        .published
        .last()
        .unwrap()
        .clone();
    assert!(last.services().all(|s| s.local));
}

#[test]
fn a_living_socket_is_not_taken_over() {
    let running = Running::start();
    let config = SocketConfig {
        path: running.path.clone(),
        ..SocketConfig::default()
    };
    assert!(matches!(Server::bind(&config), Err(BindError::InUse(_))));
    running.ask(&[add(1)]);
}

fn pvsadm(path: &std::path::Path, line: &[&str], input: &str) -> (u8, String, String) {
    let argv: Vec<String> = line.iter().map(|w| (*w).to_owned()).collect();
    let (mut output, mut errors) = (Vec::new(), Vec::new());
    let mut io = pvs_control::cli::Io {
        input: &mut input.as_bytes(),
        output: &mut output,
        errors: &mut errors,
    };
    let status = run(&argv, &SystemNames::new(), &mut Client::new(path), &mut io).unwrap();
    (
        status,
        String::from_utf8(output).unwrap(),
        String::from_utf8(errors).unwrap(),
    )
}

#[test]
fn a_status_with_long_lists_comes_in_parts() {
    let running = Running::start();
    let address = |n: u32| AddressView {
        interface: "pvs0".into(),
        address: std::net::Ipv4Addr::from_bits(0x0a00_0000 + n).into(),
        prefix_len: 32,
    };
    let mut status = StatusView::default();
    status.linux.addresses = (0..2000).map(address).collect();
    running.plane.inner.lock().unwrap().status = status.clone();
    let (outcomes, warning) = running.ask(&[Command::ListTimeouts, Command::Status, add(1)]);
    let parts = |outcome: &Outcome| matches!(outcome, Outcome::Status { more: true, .. });
    assert_eq!(
        outcomes.iter().filter(|o| parts(o)).count(),
        3,
        "2000 by 512"
    );
    assert_eq!(
        (outcomes.len(), outcomes.last(), warning),
        (6, Some(&Outcome::Done), None)
    );
    let (code, shown, _) = pvsadm(&running.path, &["pvsadm", "status", "--json"], "");
    let back: StatusView = serde_json::from_str(&shown).unwrap();
    assert_eq!((code, back.linux), (0, status.linux));
    assert_eq!(back.services.waiting.len(), 1, "no address is local here");
}

/// Connections of one client, by its ports from 1 on.
fn connections(count: u16) -> Vec<Connection> {
    (1..=count)
        .map(|port| Connection {
            protocol: "TCP",
            expires_secs: 899,
            state: "ESTABLISHED",
            client: ([10, 9, 0, 1], port).into(),
            virtual_: "10.0.0.100:80".parse().unwrap(),
            server: "192.168.1.1:80".parse().unwrap(),
            method: Method::Route,
            engine: None,
        })
        .collect()
}

#[test]
fn a_client_that_stops_reading_a_listing_holds_up_nobody_and_is_hung_up_on() {
    let running = Running::start();
    running.plane.inner.lock().unwrap().connections = connections(20_000);
    let request = encode(&Request {
        version: VERSION,
        commands: vec![Command::ListConnections],
    })
    .unwrap();
    let mut slow = UnixStream::connect(&running.path).unwrap();
    slow.write_all(&request).unwrap();
    // Its socket is full long before the listing's end.
    thread::sleep(Duration::from_millis(300));
    let began = Instant::now();
    running.ask(&[add(1)]);
    let (status, whole, _) = pvsadm(&running.path, &["ipvsadm", "-Lnc"], "");
    assert_eq!((status, whole.lines().count()), (0, 2 + 20_000));
    assert!(began.elapsed() < WRITE_TIME_MAX, "{:?}", began.elapsed());
    thread::sleep(WRITE_TIME_MAX);
    // What was under way is still there, and then the end.
    let mut said = Vec::new();
    slow.set_read_timeout(Some(WRITE_TIME_MAX)).unwrap();
    slow.read_to_end(&mut said).unwrap();
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains("10.9.0.1:1\"") && !said.contains("10.9.0.1:20000\""));
}

#[test]
fn connections_come_in_pages() {
    let running = Running::start();
    running.plane.inner.lock().unwrap().connections = connections(7);
    let (status, output, _) = pvsadm(&running.path, &["ipvsadm", "-Lnc"], "");
    assert_eq!((status, output.lines().count()), (0, 2 + 7));
    assert!(output.ends_with(
        "TCP 14:59  ESTABLISHED 10.9.0.1:7         10.0.0.100:80      192.168.1.1:80\n"
    ));
}

#[test]
fn without_pvsd_there_is_one_clear_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("nobody.sock");
    let (status, output, errors) = pvsadm(&path, &["ipvsadm", "-Ln"], "");
    assert_eq!(
        (status, output.as_str(), errors.lines().count()),
        (2, "", 1)
    );
    assert!(
        errors.starts_with("ipvsadm: cannot reach pvsd at "),
        "{errors}"
    );
    assert_eq!(
        pvsadm(&path, &["ipvsadm", "-h"], "").0,
        0,
        "help needs no pvsd"
    );
    let refused = Client::new(&path).ask(&[], &mut |_| Ok(())).unwrap_err();
    assert!(matches!(refused, LinkError::Unreachable { .. }));
}

#[test]
fn a_report_does_not_wait_long_for_a_pvsd_that_is_stuck() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("stuck.sock");
    // Connections are taken by the kernel, and nobody reads.
    let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let began = std::time::Instant::now();
    let (status, output, errors) = pvsadm(&path, &["pvsadm", "status"], "");
    assert_eq!((status, output.as_str()), (2, ""));
    let said = "pvsadm: pvsd has not answered for 5 seconds: is it stopped, or stuck?\n";
    assert_eq!(errors, said);
    assert!(began.elapsed().as_secs() < 10);
}
