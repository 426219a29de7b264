//! The daemon as a process: what it says when it can't start, and its life from ready
//! to SIGTERM, over a port of DPDK's that receives nothing. Needs root: it makes a
//! network namespace of its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod common;

use common::{Daemon, Place, pvsd, text};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The CPUs of each thread of a process, by its name.
fn threads(pid: u32) -> Vec<(String, String)> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    tasks
        .map(|task| {
            let task = task.unwrap().path();
            let name = fs::read_to_string(task.join("comm"))
                .unwrap()
                .trim()
                .to_owned();
            let status = fs::read_to_string(task.join("status")).unwrap();
            let cpus = status
                .lines()
                .find_map(|l| l.strip_prefix("Cpus_allowed_list:"));
            (name, cpus.unwrap().trim().to_owned())
        })
        .collect()
}

/// Fails with status 1 and one line on standard error.
fn refuses(config: &Path, wanted: &str) {
    let output = pvsd(config, &[]);
    let told = text(&output.stderr);
    let last = told.lines().last().unwrap_or_default();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(
        last.starts_with("pvsd: ") && last.contains(wanted),
        "{told}"
    );
}

#[test]
fn what_is_wrong_is_told_in_one_line() {
    let place = Place::new("wrong");
    refuses(Path::new("/nonexistent/pvsd.toml"), "can't be read");
    let config = place.config("[debug]\ndrop_servce_traffic = true\n");
    refuses(&config, "unknown field `drop_servce_traffic`");
    assert_eq!(pvsd(&config, &["--check"]).status.code(), Some(1));
    let config = place.config("");
    assert_eq!(
        text(&pvsd(&config, &["--check"]).stdout),
        format!("pvsd: {}: good\n", config.display())
    );

    let with = |from: &str, to: &str| {
        let changed = fs::read_to_string(place.config(""))
            .unwrap()
            .replace(from, to);
        fs::write(&config, changed).unwrap();
    };
    with(&place.netns, "no-such-namespace");
    refuses(&config, "no-such-namespace");
    with("net_null0,no-rx=1", "net_af_packet0,iface=nosuch0");
    refuses(&config, "nosuch0");
    with("[workers]\n", "[workers]\ncores = [4096]\n");
    refuses(&config, "core 4096");
    place.config("[rules]\nfile = \"/nonexistent/rules\"\n");
    refuses(&config, "/nonexistent/rules");
    fs::write(
        place.dir.join("rules"),
        "-A -t 10.0.0.1:80 -s rr\n-a -t 10.0.0.2:80 -r 10.1.1.1\n",
    )
    .unwrap();
    place.config(&format!(
        "[rules]\nfile = \"{}\"\n",
        place.dir.join("rules").display()
    ));
    refuses(&config, "line 2: Service not defined");
    with("[table]\n", "[table]\nconnections6 = 4294967295\n");
    refuses(&config, "table.connections6 is 4294967295");
    assert!(
        !place.socket().exists(),
        "a pvsd that did not start leaves no socket"
    );
}

#[test]
fn lives_from_ready_to_sigterm_and_leaves_only_its_tap() {
    let place = Place::new("life");
    let config = place.config("");
    let daemon = Daemon::start(&config);
    assert!(place.links().contains(" pvs0: "), "{}", place.links());
    let cores = std::thread::available_parallelism().unwrap().get();
    let threads = threads(daemon.child.id());
    for (name, cpus) in &threads {
        let is_worker = name.starts_with("pvs-worker");
        let on_last_core = *cpus == (cores - 1).to_string();
        assert!(
            cores == 1 || is_worker == on_last_core,
            "{name} may run on {cpus}"
        );
    }
    for wanted in [
        "pvs-worker-0",
        "pvs-exchange",
        "pvs-mirror",
        "pvs-control",
        "eal-intr-thread",
    ] {
        assert!(
            threads.iter().any(|t| t.0 == wanted),
            "no {wanted} among {threads:?}"
        );
    }
    refuses(&config, "another pvsd is listening there");
    assert!(
        place.socket().exists(),
        "the refused one has not touched the socket"
    );

    let changed = fs::read_to_string(&config)
        .unwrap()
        .replace("connections = 1024", "connections = 2048");
    fs::write(&config, format!("{changed}[log]\nlevel = \"debug\"\n")).unwrap();
    daemon.signal("HUP");
    daemon.wait_for_log("needs a restart to take effect: [table]");
    fs::write(&config, "nonsense").unwrap();
    daemon.signal("HUP");
    daemon.wait_for_log("not reloaded, nothing has changed");
    daemon.signal("TERM");
    assert_eq!(daemon.end(), Some(0));
    assert!(!place.socket().exists());
    assert!(place.links().contains(" pvs0: "), "the tap outlives pvsd");
    let config = place.config("");
    assert!(text(&pvsd(&config, &["--remove-taps"]).stdout).contains("pvs0"));
    assert!(!place.links().contains(" pvs0: "));
}

#[test]
fn a_killed_one_is_in_nobodys_way_and_loads_its_rules_again() {
    let place = Place::new("kill");
    let rules = place.dir.join("rules");
    fs::write(
        &rules,
        "-A -t 10.0.0.1:80 -s wlc\n-a -t 10.0.0.1:80 -r 10.1.1.1:80 -m -w 3\n",
    )
    .unwrap();
    let config = place.config(&format!("[rules]\nfile = \"{}\"\n", rules.display()));
    for _ in 0..3 {
        let daemon = Daemon::start(&config);
        daemon.signal("KILL");
        assert_eq!(daemon.end(), None, "ended by the signal");
        assert!(place.socket().exists(), "a killed process can't clean up");
    }
    let daemon = Daemon::start(&config);
    daemon.signal("TERM");
    assert_eq!(daemon.end(), Some(0));
}

#[test]
fn what_is_deleted_under_it_is_made_again() {
    let place = Place::new("gone");
    let daemon = Daemon::start(&place.config(""));
    let mac = place.ip("-o link show pvs0");
    let mac = mac.split("link/ether ").nth(1).unwrap()[..17].to_owned();
    place.ip("addr add 192.0.2.1/24 dev pvs0");
    place.ip("link del pvs0");
    daemon.wait_for_log("tap pvs0 is there again");
    place.wait_for_mirror(&[&mac, "mtu 1500", "LOWER_UP"]);
    assert!(!place.ip("addr show pvs0").contains("192.0.2.1"));
    let told = daemon.log();
    assert_eq!(told.matches("tap pvs0 was deleted").count(), 1, "{told}");
    assert!(told.contains("addresses and routes that it had are gone"));

    // The namespace lives on without its name; the next one of that name is moved to.
    let netns = |word| {
        let done = Command::new("ip")
            .args(["netns", word, &place.netns])
            .output()
            .unwrap();
        assert!(done.status.success());
    };
    netns("del");
    daemon.wait_for_log("was deleted while pvsd uses it");
    netns("add");
    daemon.wait_for_log("moved to the new network namespace");
    place.wait_for_mirror(&[&mac, "mtu 1500", "LOWER_UP"]);
    // It is watched there, and the exchange has its tap: a deleted one is noticed again.
    place.ip("link del pvs0");
    let until = Instant::now() + Duration::from_secs(5);
    while daemon.log().matches("tap pvs0 is there again").count() < 2 {
        assert!(Instant::now() < until, "{}", daemon.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    place.wait_for_mirror(&[&mac]);
    let told = daemon.log();
    let times = told.matches("was deleted while pvsd uses it").count();
    assert_eq!(times, 1, "{told}");
    // Nothing is missed that is there, and nothing of pvsd's own is in its way.
    let times = told.matches("tap pvs0 was deleted").count();
    assert_eq!(times, 2, "{told}");
    assert!(!told.contains("in use by"), "{told}");
    daemon.signal("TERM");
    assert_eq!(daemon.end(), Some(0));
}

#[test]
fn a_mirror_is_set_back_where_the_port_can_t_follow() {
    let place = Place::new("follow");
    let daemon = Daemon::start(&place.config(""));
    // No port has buffers for that.
    place.ip("link set pvs0 mtu 9000");
    daemon.wait_for_log("an MTU of 9000 can't be had");
    place.wait_for_mirror(&["mtu 1500"]);
    // Less is always possible.
    place.ip("link set pvs0 mtu 1400");
    std::thread::sleep(Duration::from_millis(300));
    place.wait_for_mirror(&["mtu 1400"]);
    place.ip("link set pvs0 address 02:00:00:00:00:77");
    std::thread::sleep(Duration::from_millis(500));
    // The driver of this port takes any address and keeps none.
    let told = daemon.log();
    assert!(told.contains("02:00:00:00:00:77"), "{told}");
    daemon.signal("TERM");
    assert_eq!(daemon.end(), Some(0));
}

/// Stops one thread of a process until that is killed: a debugger's means, which also has to take
/// note of its end.
const HOLD: &str = "\
import ctypes, os, sys
libc, tid = ctypes.CDLL(None, use_errno=True), int(sys.argv[1])
ATTACH, WALL = 16, 0x40000000
if libc.ptrace(ATTACH, tid, None, None):
    sys.exit(os.strerror(ctypes.get_errno()))
os.waitpid(tid, WALL)
print('held', flush=True)
os.waitpid(tid, WALL)
";

#[test]
fn a_worker_that_stands_still_is_told_of_and_does_not_keep_pvsd() {
    let place = Place::new("stuck");
    let config = place.config("");
    let daemon = Daemon::start(&config);
    let tasks = fs::read_dir(format!("/proc/{}/task", daemon.child.id())).unwrap();
    let worker = tasks.map(|task| task.unwrap()).find(|task| {
        let name = fs::read_to_string(task.path().join("comm")).unwrap();
        name.trim() == "pvs-worker-0"
    });
    let mut holder = Command::new("python3")
        .args(["-c", HOLD, worker.unwrap().file_name().to_str().unwrap()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut said = BufReader::new(holder.stdout.take().unwrap());
    said.read_line(&mut line).unwrap();
    assert_eq!(line, "held\n");
    daemon.wait_for_log("worker 0 on core");
    daemon.signal("TERM");
    let log = daemon.log.clone();
    let ended = daemon.end();
    holder.wait().unwrap();
    assert_eq!(ended, Some(1));
    let told = fs::read_to_string(log).unwrap();
    let last = "pvsd: the thread pvs-worker-0 stands still, and ends with the process";
    assert_eq!(told.lines().last(), Some(last), "{told}");
    assert!(!place.socket().exists());
    let daemon = Daemon::start(&config);
    daemon.signal("TERM");
    assert_eq!(daemon.end(), Some(0));
}
