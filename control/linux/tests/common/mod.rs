//! Namespaces of the tests' own: made under unique names, removed also when a test panics.
#![allow(dead_code, reason = "each test file uses a part")]

use pvs_dataplane::fib::PortIndex;
use pvs_linux::mirror::InterfaceState;
use pvs_linux::{Error, MirrorTap, Namespace, TapBinding, TapConfig, Update, Watcher};
use pvs_proto::MacAddr;
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// A network namespace that ends with the value.
pub struct Lab(String);

impl Lab {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let uid = std::fs::metadata("/proc/self").unwrap().uid();
        assert_eq!(uid, 0, "this test makes network namespaces: run it as root");
        let name = format!("pvs-t{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
        run("ip", &["netns", "add", &name]);
        let lab = Self(name);
        lab.ip("link set lo up");
        lab
    }

    pub fn name(&self) -> &str {
        &self.0
    }

    pub fn open(&self) -> Namespace {
        Namespace::open(&self.0).unwrap()
    }

    /// `ip -n NAMESPACE WORDS`.
    pub fn ip(&self, words: &str) -> String {
        let words = words.split_whitespace();
        run(
            "ip",
            &["-n", &self.0].into_iter().chain(words).collect::<Vec<_>>(),
        )
    }

    /// A command inside; true if it succeeds.
    pub fn exec(&self, words: &str) -> bool {
        let words = words.split_whitespace();
        let all = ["netns", "exec", &self.0].into_iter().chain(words);
        Command::new("ip")
            .args(all)
            .output()
            .unwrap()
            .status
            .success()
    }

    /// A veth pair, one end here under `name`, the other there under `peer`;
    /// both up, checksums whole.
    pub fn veth(&self, name: &str, there: &Self, peer: &str) {
        self.ip(&format!(
            "link add {name} type veth peer name {peer} netns {}",
            there.0
        ));
        for (lab, end) in [(self, name), (there, peer)] {
            assert!(lab.exec(&format!("ethtool -K {end} tx off")));
            lab.ip(&format!("link set {end} up"));
        }
    }

    pub fn tap(&self, name: &str) -> MirrorTap {
        MirrorTap::open(&self.open(), &config(name, 1)).unwrap()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).output();
    }
}

pub fn run(command: &str, words: &[&str]) -> String {
    let output = Command::new(command).args(words).output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command} {words:?}: {complaint}");
    String::from_utf8(output.stdout).unwrap()
}

pub fn mac(last: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, last])
}

pub fn config(name: &str, last: u8) -> TapConfig {
    TapConfig {
        name: name.to_owned(),
        mac: mac(last),
        mtu: 1500,
    }
}

pub fn binding(tap: &MirrorTap, port: u16) -> TapBinding {
    TapBinding {
        ifname: tap.name().to_owned(),
        ifindex: tap.ifindex(),
        port: PortIndex(port),
    }
}

/// Waits for an update that satisfies the condition, one second at most.
pub fn until(watcher: &mut Watcher, what: &str, mut met: impl FnMut(&Update) -> bool) -> Update {
    within(watcher, Duration::from_secs(1), what, &mut met)
}

pub fn within(
    watcher: &mut Watcher,
    limit: Duration,
    what: &str,
    met: &mut dyn FnMut(&Update) -> bool,
) -> Update {
    let end = Instant::now() + limit;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        match watcher.poll(left).unwrap() {
            Some(update) if met(&update) => return update,
            Some(_) => (),
            None => assert!(!left.is_zero(), "not within {limit:?}: {what}"),
        }
    }
}

/// The first error of a watcher within some seconds.
pub fn error_of(watcher: &mut Watcher) -> Error {
    let end = Instant::now() + Duration::from_secs(3);
    while Instant::now() < end {
        if let Err(error) = watcher.poll(Duration::from_millis(100)) {
            return error;
        }
    }
    panic!("no error");
}

pub fn interface<'a>(update: &'a Update, name: &str) -> &'a InterfaceState {
    update.interfaces.iter().find(|i| i.ifname == name).unwrap()
}
