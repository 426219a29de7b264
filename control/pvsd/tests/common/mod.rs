//! A namespace and a pvsd in it, gone at the end of a test whatever happens.
#![allow(dead_code, reason = "each test file uses a part")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

pub const PVSD: &str = env!("CARGO_BIN_EXE_pvsd");

/// A folder and a namespace, gone at the end whatever happens.
pub struct Place {
    pub dir: PathBuf,
    pub netns: String,
}

impl Place {
    pub fn new(name: &str) -> Self {
        let netns = format!("pvs-t{}-{name}", std::process::id());
        let dir = std::env::temp_dir().join(&netns);
        fs::create_dir_all(&dir).unwrap();
        let made = Command::new("ip")
            .args(["netns", "add", &netns])
            .output()
            .unwrap();
        assert!(
            made.status.success(),
            "this test needs root: {}",
            text(&made.stderr)
        );
        Self { dir, netns }
    }

    pub fn config(&self, more: &str) -> PathBuf {
        let path = self.dir.join("pvsd.toml");
        let socket = self.socket();
        let socket = socket.display();
        let text = format!(
            "[[port]]\ndevice = \"net_null0,no-rx=1\"\nmirror = \"pvs0\"\nnamespace = \"{}\"\n\
             [workers]\nidle = \"adaptive\"\n[memory]\nmegabytes = 128\nbuffers = 8192\n\
             [table]\nconnections = 1024\n[control]\nsocket = \"{socket}\"\n{more}",
            self.netns
        );
        fs::write(&path, text).unwrap();
        path
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.join("pvsd.sock")
    }

    pub fn links(&self) -> String {
        self.ip("-o link")
    }

    /// `ip -n NAMESPACE WORDS`, and what it says.
    pub fn ip(&self, words: &str) -> String {
        let words = words.split_whitespace();
        let said = Command::new("ip")
            .args(["-n", &self.netns].into_iter().chain(words))
            .output()
            .unwrap();
        text(&said.stdout)
    }

    /// Waits for a mirror whose line contains all of these.
    pub fn wait_for_mirror(&self, wanted: &[&str]) {
        let until = Instant::now() + Duration::from_secs(5);
        loop {
            let line = self.ip("-o link show pvs0");
            if wanted.iter().all(|part| line.contains(part)) {
                return;
            }
            assert!(Instant::now() < until, "no {wanted:?} in {line}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = Command::new("ip")
            .args(["netns", "del", &self.netns])
            .output();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub fn pvsd(config: &Path, more: &[&str]) -> Output {
    Command::new(PVSD)
        .arg("--config")
        .arg(config)
        .args(more)
        .output()
        .unwrap()
}

/// A running pvsd, ended by its own pid.
pub struct Daemon {
    pub child: Child,
    pub log: PathBuf,
}

impl Daemon {
    pub fn start(config: &Path) -> Self {
        Self::spawn(config, Command::new(PVSD))
    }

    /// In a network namespace, which `ip` moves to before it becomes pvsd.
    pub fn start_in(netns: &str, config: &Path) -> Self {
        Self::try_start_in(netns, config).unwrap_or_else(|log| panic!("{log}"))
    }

    fn spawn(config: &Path, command: Command) -> Self {
        Self::try_spawn(config, command).unwrap_or_else(|log| panic!("{log}"))
    }

    /// As [`start_in`](Self::start_in); the log of one that does not start.
    pub fn try_start_in(netns: &str, config: &Path) -> Result<Self, String> {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", netns, PVSD]);
        Self::try_spawn(config, command)
    }

    fn try_spawn(config: &Path, mut command: Command) -> Result<Self, String> {
        let log = config.with_extension("log");
        let mut child = command
            .arg("--config")
            .arg(config)
            .stdout(Stdio::piped())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let daemon = Self { child, log };
        match line.as_str() {
            "pvsd: ready\n" => Ok(daemon),
            _ => Err(daemon.log()),
        }
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", name, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    pub fn wait_for_log(&self, wanted: &str) {
        let until = Instant::now() + Duration::from_secs(5);
        while !self.log().contains(wanted) {
            assert!(Instant::now() < until, "no {wanted:?} in {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Its exit status, within ten seconds.
    pub fn end(mut self) -> Option<i32> {
        let until = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < until, "pvsd does not end: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
