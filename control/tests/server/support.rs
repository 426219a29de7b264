//! A server that runs, and those who talk to it.

use crate::common::IdlePlane;
use pvs_control::cli::{Link, SystemNames, run};
use pvs_control::client::Client;
use pvs_control::command::{Command, ServiceRequest};
use pvs_control::frame::{Response, decode};
use pvs_control::plane::{Connection, Lag};
use pvs_control::reply::Outcome;
use pvs_control::status::StatusView;
use pvs_control::{Capabilities, Cursor, Plane, Server, SocketConfig, Store};
use pvs_sched::config::{ServiceKey, Transport};
use pvs_sched::{Counters, Load, ServerIndex, Snapshot};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// A plane that the test looks into, and whose worker may lag.
#[derive(Clone, Default)]
pub struct SharedPlane {
    pub inner: Arc<Mutex<IdlePlane>>,
    pub lags: Arc<AtomicBool>,
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
pub struct Running {
    pub path: PathBuf,
    pub plane: SharedPlane,
    pub handle: pvs_control::Handle,
    pub stop: Arc<AtomicBool>,
    pub thread: Option<JoinHandle<()>>,
    _dir: tempfile::TempDir,
}

impl Running {
    pub fn start() -> Self {
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

    pub fn ask(&self, commands: &[Command]) -> (Vec<Outcome>, Option<String>) {
        let mut outcomes = Vec::new();
        let warning = Client::new(&self.path).ask(commands, &mut |outcome| {
            outcomes.push(outcome);
            Ok(())
        });
        (outcomes, warning.unwrap())
    }

    pub fn published(&self) -> usize {
        self.plane.inner.lock().unwrap().published.len()
    }

    /// The latest snapshot, once there are so many, or after five seconds.
    pub fn last_of(&self, count: usize) -> Snapshot {
        let deadline = Instant::now() + Duration::from_secs(5);
        while self.published() < count && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        let plane = self.plane.inner.lock().unwrap();
        plane.published.last().unwrap().clone()
    }

    /// Sends bytes and reads the answer to its end.
    pub fn say(&self, bytes: &[u8]) -> Response {
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

pub fn add(last: u16) -> Command {
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

/// pvsadm, or by another of its names, asking at a socket: status, output and errors.
pub fn pvsadm(path: &std::path::Path, line: &[&str], input: &str) -> (u8, String, String) {
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
