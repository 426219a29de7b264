//! Interfaces of Linux over a real port: a veth's end that af_packet drives, a client on the other
//! end. Groups, a macvlan as VRRP makes it, and a port that follows its mirror. Needs root.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod common;

use common::{Daemon, Place, text};
use std::process::Command;
use std::time::{Duration, Instant};

/// Namespaces of the port's device and of a client, and pvsd between them: pvs0 is 10.78.0.1 and
/// fd78::1, the client 10.78.0.2 and fd78::2.
struct Wire {
    place: Place,
    nic: String,
    client: String,
    daemon: Option<Daemon>,
}

impl Wire {
    fn new(name: &str) -> Self {
        let place = Place::new(name);
        let mut wire = Self {
            nic: format!("{}-n", place.netns),
            client: format!("{}-c", place.netns),
            place,
            daemon: None,
        };
        let (nic, client) = (&wire.nic, &wire.client);
        for netns in [nic, client] {
            must(&format!("ip netns add {netns}"));
        }
        must(&format!(
            "ip -n {nic} link add d0 type veth peer name eth0 netns {client}"
        ));
        must(&format!("ip -n {nic} link set d0 up"));
        let on_client = [
            "ethtool -K eth0 tx off",
            "ip link set eth0 up",
            "ip addr add 10.78.0.2/24 dev eth0",
            "ip addr add fd78::2/64 dev eth0 nodad",
        ];
        on_client.iter().for_each(|line| wire.client(line));
        let config = wire.place.config("");
        let text = std::fs::read_to_string(&config).unwrap();
        let text = text.replace("net_null0,no-rx=1", "net_af_packet0,iface=d0");
        let text = text.replace("[memory]", "[memory]\nhugepages = \"off\"");
        std::fs::write(&config, text).unwrap();
        wire.daemon = Some(Daemon::start_in(&wire.nic, &config));
        wire.place.ip("addr add 10.78.0.1/24 dev pvs0");
        wire.place.ip("addr add fd78::1/64 dev pvs0 nodad");
        wire
    }

    fn client(&self, line: &str) {
        must(&format!("ip netns exec {} {line}", self.client));
    }

    fn daemon(&self) -> &Daemon {
        self.daemon.as_ref().unwrap()
    }

    /// True if the client's ping is answered, or is not, within some seconds.
    fn pings(&self, to: &str, answered: bool) -> bool {
        let line = format!("ip netns exec {} ping -c1 -W1 {to}", self.client);
        (0..8).any(|_| {
            let is = run(&line).0;
            if is != answered {
                std::thread::sleep(Duration::from_millis(100));
            }
            is == answered
        })
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.daemon = None;
        for netns in [&self.nic, &self.client] {
            run(&format!("ip netns del {netns}"));
        }
    }
}

fn run(line: &str) -> (bool, String) {
    let mut words = line.split_whitespace();
    let done = Command::new(words.next().unwrap())
        .args(words)
        .output()
        .unwrap();
    let said = text(&done.stdout) + &text(&done.stderr);
    (done.status.success(), said)
}

fn must(line: &str) {
    let (done, said) = run(line);
    assert!(done, "{line}: {said}");
}

/// Waits for a line of `ip` that contains this.
fn wait_for(line: &str, wanted: &str) {
    let until = Instant::now() + Duration::from_secs(5);
    loop {
        let (_, said) = run(line);
        if said.contains(wanted) {
            return;
        }
        assert!(Instant::now() < until, "{line}: no {wanted:?} in {said}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn groups_reach_linux() {
    let wire = Wire::new("groups");
    // Neighbour discovery asks the solicited-node group.
    assert!(wire.pings("fd78::1", true), "{}", wire.daemon().log());
    let mirror = &wire.place.netns;
    must(&format!(
        "ip netns exec {mirror} sysctl -qw net.ipv4.icmp_echo_ignore_broadcasts=0"
    ));
    assert!(wire.pings("-I eth0 224.0.0.1", true), "all hosts");
    assert!(wire.pings("ff02::1%eth0", true), "all nodes");
}

#[test]
fn a_macvlan_on_a_mirror_is_reached_by_its_own_address() {
    let wire = Wire::new("macvlan");
    let mirror = &wire.place.netns;
    // As keepalived with use_vmac sets things up.
    let vmac = "00:00:5e:00:01:33";
    for line in [
        "sysctl -qw net.ipv4.conf.pvs0.arp_ignore=1",
        "sysctl -qw net.ipv4.conf.pvs0.arp_announce=2",
        &format!("ip link add vrrp.51 link pvs0 address {vmac} type macvlan mode private"),
        "sysctl -qw net.ipv4.conf.vrrp/51.arp_ignore=1",
        "sysctl -qw net.ipv4.conf.all.rp_filter=0",
        "sysctl -qw net.ipv4.conf.vrrp/51.rp_filter=0",
        "ip link set vrrp.51 up",
        "ip addr add 10.78.0.100/32 dev vrrp.51",
    ] {
        must(&format!("ip netns exec {mirror} {line}"));
    }
    assert!(wire.pings("10.78.0.100", true), "{}", wire.daemon().log());
    let neighbour = format!("ip -n {} neigh show 10.78.0.100", wire.client);
    wait_for(&neighbour, vmac);
    // The backup again: nobody has the address.
    wire.place.ip("link set vrrp.51 down");
    wire.client("ip neigh flush dev eth0");
    assert!(wire.pings("10.78.0.100", false));
    // The rest of the mirror is as it was.
    assert!(wire.pings("10.78.0.1", true));
}

#[test]
fn a_port_follows_its_mirror() {
    let wire = Wire::new("port");
    assert!(wire.pings("10.78.0.1", true), "{}", wire.daemon().log());
    let device = format!("ip -n {} -o link show d0", wire.nic);
    wire.place.ip("link set pvs0 mtu 1400");
    wait_for(&device, "mtu 1400");
    wire.place.ip("link set pvs0 address 02:00:00:00:00:77");
    wait_for(&device, "02:00:00:00:00:77");
    wire.client("ip neigh flush dev eth0");
    assert!(wire.pings("10.78.0.1", true), "by its new address");

    wire.place.ip("link set pvs0 down");
    assert!(wire.pings("10.78.0.1", false), "a mirror that is down");
    wire.place.ip("link set pvs0 up");
    assert!(wire.pings("10.78.0.1", true), "and up again");
}

#[test]
fn a_mirror_that_was_deleted_carries_frames_again() {
    let wire = Wire::new("again");
    assert!(wire.pings("10.78.0.1", true), "{}", wire.daemon().log());
    wire.place.ip("link del pvs0");
    wire.daemon().wait_for_log("tap pvs0 is there again");
    wire.place.ip("addr add 10.78.0.1/24 dev pvs0");
    assert!(wire.pings("10.78.0.1", true), "{}", wire.daemon().log());

    // The nameless namespace still serves, until there is one of its name.
    let netns = &wire.place.netns;
    must(&format!("ip netns del {netns}"));
    wire.daemon().wait_for_log("was deleted while pvsd uses it");
    assert!(wire.pings("10.78.0.1", true), "it goes on inside");
    must(&format!("ip netns add {netns}"));
    wire.daemon()
        .wait_for_log("moved to the new network namespace");
    assert!(wire.pings("10.78.0.1", false), "nobody has the address yet");
    wire.place.ip("addr add 10.78.0.1/24 dev pvs0");
    assert!(wire.pings("10.78.0.1", true), "{}", wire.daemon().log());
}

/// What a kernel interface is like, as far as pvsd changes it: flags, IPv6, rules.
fn state_of_d0(nic: &str) -> String {
    let flags = run(&format!("ip -n {nic} -o link show d0")).1;
    let flags = flags.split(['<', '>']).nth(1).unwrap().to_owned();
    let inside = format!("ip netns exec {nic}");
    let ipv6 = run(&format!(
        "{inside} cat /proc/sys/net/ipv6/conf/d0/disable_ipv6"
    ));
    let rules = run(&format!("{inside} nft list ruleset"));
    format!("{flags} {} {}", ipv6.1.trim(), rules.1)
}

#[test]
fn of_two_that_start_at_once_one_has_the_interface_and_leaves_it_as_it_was() {
    let mut wire = Wire::new("two");
    let nic = wire.nic.clone();
    let config = wire.place.dir.join("pvsd.toml");
    wire.daemon().wait_for_log("pvs0");
    wait_for(&format!("ip -n {nic} -o link show d0"), "PROMISC");
    end(wire.daemon.take().unwrap());
    let before = state_of_d0(&nic);
    assert!(
        !before.contains("PROMISC") && before.contains(" 0"),
        "{before}"
    );

    let other = wire.place.dir.join("other.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let text = text
        .replace("pvs0", "pvs1")
        .replace("pvsd.sock", "other.sock");
    std::fs::write(&other, text).unwrap();
    for _ in 0..3 {
        let started = std::thread::scope(|scope| {
            let both = [&config, &other].map(|config| {
                let nic = &nic;
                scope.spawn(move || Daemon::try_start_in(nic, config))
            });
            both.map(|thread| thread.join().unwrap())
        });
        let told = started
            .each_ref()
            .map(|tried| tried.as_ref().err().cloned());
        let [one, two] = started.map(Result::ok);
        let (Some(daemon), Some(told)) = (one.xor(two), told.into_iter().flatten().next()) else {
            panic!("one has it");
        };
        let last = told.lines().last().unwrap_or_default();
        assert!(last.contains("d0 already is a port of process"), "{told}");
        end(daemon);
        assert_eq!(state_of_d0(&nic), before);
    }
}

fn end(daemon: Daemon) {
    daemon.signal("TERM");
    assert_eq!(daemon.end(), Some(0));
}
