//! What `pvsadm status` and `pvsadm drops` say of a running director, over a port with real frames:
//! a client on the other end of a veth, a server that does not answer, one without a route, packets
//! for Linux and packets that are dropped. Needs root: it makes network namespaces of its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod common;

use common::{Daemon, Place, text};
use pvs_control::cli::{FileNames, Io, run};
use pvs_control::client::Client;
use serde_json::Value;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

/// Two further namespaces: of the device that is pvsd's port, and of a client,
/// 10.77.0.2, on its other end.
struct Cable {
    nic: String,
    client: String,
}

impl Cable {
    fn new(place: &Place) -> Self {
        let cable = Self {
            nic: format!("{}-n", place.netns),
            client: format!("{}-c", place.netns),
        };
        let (nic, client) = (&cable.nic, &cable.client);
        ip(&["netns", "add", nic]);
        ip(&["netns", "add", client]);
        ip(&[
            "-n", nic, "link", "add", "d0", "type", "veth", "peer", "name", "eth0", "netns", client,
        ]);
        ip(&["-n", nic, "link", "set", "d0", "up"]);
        // Nothing but what the test sends.
        cable.on_client("sysctl -qw net.ipv6.conf.all.disable_ipv6=1 && ethtool -K eth0 tx off");
        ip(&[
            "-n",
            client,
            "address",
            "add",
            "10.77.0.2/24",
            "dev",
            "eth0",
        ]);
        ip(&["-n", client, "link", "set", "eth0", "up"]);
        cable
    }

    fn on_client(&self, script: &str) {
        let done = Command::new("ip")
            .args(["netns", "exec", &self.client, "bash", "-c", script])
            .output()
            .unwrap();
        assert!(done.status.success(), "{script}: {}", text(&done.stderr));
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        for netns in [&self.nic, &self.client] {
            let _ = Command::new("ip").args(["netns", "del", netns]).output();
        }
    }
}

fn ip(arguments: &[&str]) {
    let done = Command::new("ip").args(arguments).output().unwrap();
    assert!(
        done.status.success(),
        "ip {arguments:?}: {}",
        text(&done.stderr)
    );
}

/// pvsadm's exit status and what it printed.
fn pvsadm(place: &Place, line: &str) -> (u8, String) {
    let argv: Vec<String> = format!("pvsadm {line}")
        .split(' ')
        .map(str::to_owned)
        .collect();
    let (mut output, mut errors) = (Vec::new(), Vec::new());
    let mut io = Io {
        input: &mut &b""[..],
        output: &mut output,
        errors: &mut errors,
    };
    let mut client = Client::new(place.socket());
    let status = run(&argv, &FileNames::default(), &mut client, &mut io).unwrap();
    assert!(errors.is_empty(), "{line}: {}", text(&errors));
    (status, text(&output))
}

/// What `--json` says, once it fits; at most ten seconds later.
fn json(place: &Place, line: &str, fits: impl Fn(&Value) -> bool) -> Value {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let (_, shown) = pvsadm(place, line);
        let value = serde_json::from_str(&shown).unwrap();
        if fits(&value) {
            return value;
        }
        assert!(Instant::now() < until, "{line} goes on to say {shown}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A director at 10.77.0.1, with the services of this test.
fn start(place: &Place, cable: &Cable) -> Daemon {
    let config = place.config("");
    let changed = fs::read_to_string(&config)
        .unwrap()
        .replace("net_null0,no-rx=1", "net_af_packet0,iface=d0");
    fs::write(&config, changed).unwrap();
    let daemon = Daemon::start_in(&cable.nic, &config);
    ip(&[
        "-n",
        &place.netns,
        "address",
        "add",
        "10.77.0.1/24",
        "dev",
        "pvs0",
    ]);
    for line in [
        "-A -u 10.77.0.1:53 -s rr",
        "-A -u 10.77.0.1:54 -s rr",
        "-a -u 10.77.0.1:54 -r 10.77.0.99:54 -m",
        "-a -u 10.77.0.1:54 -r 10.88.0.1:54 -m",
        "-A -t 10.99.0.1:80 -s rr",
    ] {
        assert_eq!(pvsadm(place, line), (0, String::new()), "{line}");
    }
    daemon
}

/// All that the test has brought about is in the status.
fn looks_right(status: &Value) {
    let punt = |class: usize| status["punts"][class]["passed"].as_u64().unwrap();
    assert_eq!(
        (&status["punts"][3]["class"], punt(3)),
        (&Value::from("local"), 3),
        "{status}"
    );
    assert!(punt(0) >= 1, "the client's ARP: {status}");
    assert_eq!(status["linux"]["unresolved"][0]["address"], "10.77.0.99");
    assert_eq!(status["linux"]["unresolved"][0]["interface"], "pvs0");
    assert_eq!(status["linux"]["astray"][0]["server"], "10.88.0.1");
    assert_eq!(status["linux"]["astray"][0]["has_route"], false);
    assert_eq!(status["services"]["services"], 3);
    assert_eq!(status["services"]["waiting"][0]["address"], "10.99.0.1");
    let tap = &status["linux"]["interfaces"][0];
    assert_eq!(
        (&tap["name"], &tap["up"], &tap["carrier"]),
        (&"pvs0".into(), &true.into(), &true.into())
    );
    assert!(
        status["linux"]["addresses"]
            .to_string()
            .contains("10.77.0.1")
    );
    let worker = &status["workers"][0];
    assert_eq!(worker["state"], "napping");
    assert!(
        worker["polls"].as_u64() > Some(0) && worker["received"].as_u64() >= Some(8),
        "{status}"
    );
    assert_eq!(status["tables"][0]["capacity"], 1024);
    let attention = status["attention"].to_string();
    assert!(attention.contains("10.77.0.99 on pvs0"), "{attention}");
    assert!(
        attention.contains("no route to the server 10.88.0.1"),
        "{attention}"
    );
}

#[test]
fn status_and_drops_say_what_happened() {
    let place = Place::new("status");
    let cable = Cable::new(&place);
    let daemon = start(&place, &cable);
    // The address is mirrored when the service is local: all but the one at 10.99.0.1.
    json(&place, "status --json", |s| {
        s["services"]["waiting"].as_array().unwrap().len() == 1
    });
    let quiet = json(&place, "status --json", |s| {
        s["interval_ms"].as_u64() >= Some(1000)
    });
    assert_eq!(quiet["drops"], Value::Array(vec![]), "{quiet}");

    // Four datagrams to a service without servers, and three pings to the director itself.
    cable.on_client("for n in 1 2 3 4; do echo x >/dev/udp/10.77.0.1/53; done 2>/dev/null");
    cable.on_client("ping -q -c 3 -i 0.05 -W 2 10.77.0.1");

    let drops = json(&place, "drops --json", |d| d["drops"][0]["packets"] == 4);
    assert_eq!(drops["drops"][0]["reason"], "no_server");
    assert_eq!(drops["drops"].as_array().unwrap().len(), 1, "{drops}");
    let (code, shown) = pvsadm(&place, "drops");
    assert_eq!(code, 0);
    assert!(
        shown.starts_with("Packets  Reason     Meaning\n      4  no_server  "),
        "{shown}"
    );
    assert!(pvsadm(&place, "drops --all").1.lines().count() > 30);

    let failed = |s: &Value| s["linux"]["unresolved"][0]["state"] == "failed";
    let status = json(&place, "status --json", |s| {
        failed(s) && s["ports"][0]["rx_packets"].as_u64() >= Some(8)
    });
    looks_right(&status);

    let (code, shown) = pvsadm(&place, "status");
    assert_eq!(code, 1, "something needs attention");
    for line in [
        "attention: 10.77.0.99 on pvs0",
        "  server 10.88.0.1: no route",
        "    TCP 10.99.0.1:80",
    ] {
        assert!(shown.contains(line), "no {line:?} in {shown}");
    }

    // What was wrong is put right, and the director is well.
    pvsadm(&place, "-d -u 10.77.0.1:54 -r 10.77.0.99:54");
    pvsadm(&place, "-d -u 10.77.0.1:54 -r 10.88.0.1:54");
    let well = json(&place, "status --json", |s| {
        s["attention"].as_array().unwrap().is_empty()
    });
    assert_eq!(well["linux"]["hops_for_servers"], 0);
    assert_eq!(pvsadm(&place, "status").0, 0);
    daemon.signal("TERM");
    assert_eq!(daemon.end(), Some(0));
}

#[test]
fn an_interface_that_is_down_needs_attention() {
    let place = Place::new("down");
    let cable = Cable::new(&place);
    let daemon = start(&place, &cable);
    for line in ["-C", "-A -u 10.77.0.1:53 -s rr"] {
        pvsadm(&place, line);
    }
    json(&place, "status --json", |s| {
        s["attention"].as_array().unwrap().is_empty()
    });
    ip(&["-n", &place.netns, "link", "set", "pvs0", "down"]);
    let status = json(&place, "status --json", |s| {
        s["linux"]["interfaces"][0]["up"] == false
    });
    assert!(
        status["attention"]
            .to_string()
            .contains("the interface pvs0 is down"),
        "{status}"
    );
    assert_eq!(pvsadm(&place, "status").0, 1);
    ip(&["-n", &place.netns, "link", "set", "pvs0", "up"]);
    json(&place, "status --json", |s| {
        s["attention"].as_array().unwrap().is_empty()
    });
    daemon.signal("TERM");
    assert_eq!(daemon.end(), Some(0));
}
