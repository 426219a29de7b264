//! The ingress drop against the kernel: the host is deaf on the netdev, a packet socket is not.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod common;

use common::Lab;
use pvs_linux::{Error, IngressDrop, Namespace, refuse_shared_namespace};
use std::process::{Command, Stdio};
use std::time::Duration;

/// A host and a peer on a cable; the host's end `a1` plays the port.
fn hosts() -> (Lab, Lab, Namespace) {
    let (host, peer) = (Lab::new(), Lab::new());
    host.veth("a1", &peer, "b1");
    host.ip("addr add 192.0.2.1/24 dev a1");
    peer.ip("addr add 192.0.2.2/24 dev b1");
    // An ARP request that went unanswered would spoil the next ping.
    host.ip("link set a1 address 02:00:00:00:00:01");
    peer.ip("neigh add 192.0.2.1 lladdr 02:00:00:00:00:01 dev b1 nud permanent");
    let inside = host.open();
    (host, peer, inside)
}

fn pings(peer: &Lab) -> bool {
    peer.exec("ping -c1 -W5 192.0.2.1")
}

fn is_deaf(peer: &Lab) -> bool {
    !peer.exec("ping -c1 -W1 192.0.2.1")
}

fn disable_ipv6(lab: &Lab) -> String {
    let words = [
        "netns",
        "exec",
        lab.name(),
        "cat",
        "/proc/sys/net/ipv6/conf/a1/disable_ipv6",
    ];
    common::run("ip", &words).trim().to_owned()
}

fn tables(lab: &Lab) -> String {
    common::run(
        "ip",
        &["netns", "exec", lab.name(), "nft", "list", "tables"],
    )
}

/// Puts the drop on, inside the host's namespace.
fn install(inside: &Namespace) -> Result<IngressDrop, Error> {
    inside.run(|| IngressDrop::install("a1")).unwrap()
}

/// Takes away what killed processes left on other interfaces of the host than these.
fn sweep(inside: &Namespace, kept: &[&str]) -> Vec<String> {
    inside.run(|| IngressDrop::sweep(kept)).unwrap().unwrap()
}

#[test]
fn the_host_hears_nothing_and_a_packet_socket_everything() {
    let (host, peer, inside) = hosts();
    assert!(pings(&peer));
    let guard = install(&inside).unwrap();
    assert!(is_deaf(&peer), "the host answered");
    assert_eq!(disable_ipv6(&host), "1");

    let words = [
        "netns",
        "exec",
        host.name(),
        "tcpdump",
        "-Uni",
        "a1",
        "-c1",
        "icmp",
    ];
    let mut tcpdump = Command::new("ip")
        .args(words)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut heard = false;
    for _ in 0..10 {
        peer.exec("ping -c1 -W0.2 192.0.2.1");
        std::thread::sleep(Duration::from_millis(100));
        heard |= tcpdump
            .try_wait()
            .unwrap()
            .is_some_and(|status| status.success());
        if heard {
            break;
        }
    }
    let _ = tcpdump.kill();
    let _ = tcpdump.wait();
    assert!(heard, "a packet socket comes before the drop");

    inside.run(|| guard.remove()).unwrap().unwrap();
    assert!(pings(&peer));
    assert_eq!(disable_ipv6(&host), "0");
    assert_eq!(tables(&host), "");
}

#[test]
fn it_goes_with_its_guard() {
    let (host, peer, inside) = hosts();
    let guard = install(&inside).unwrap();
    assert_eq!(tables(&host).trim(), "table netdev pvs-a1");
    inside.run(|| drop(guard)).unwrap();
    assert_eq!(tables(&host), "");
    assert!(pings(&peer));
}

#[test]
fn what_a_killed_process_left_is_taken_over() {
    let (host, peer, inside) = hosts();
    // A process of that number and age does not exist: pid 1 was started at boot, not then.
    let stale = "table netdev pvs-a1 { chain of_1_99999999999_disable_ipv6_0 { }; \
                 chain ingress { type filter hook ingress device \"a1\" priority -500; policy drop; }; }";
    let nft = |ruleset: &str| {
        common::run("ip", &["netns", "exec", host.name(), "nft", ruleset]);
    };
    nft(stale);
    assert!(host.exec("sysctl -qw net.ipv6.conf.a1.disable_ipv6=1"));
    assert!(is_deaf(&peer));
    let guard = install(&inside).unwrap();
    assert!(is_deaf(&peer));
    inside.run(|| guard.remove()).unwrap().unwrap();
    assert!(pings(&peer));
    assert_eq!(
        disable_ipv6(&host),
        "0",
        "what it was before the killed process"
    );

    // On an interface that is a port no longer.
    nft(stale);
    assert!(host.exec("sysctl -qw net.ipv6.conf.a1.disable_ipv6=1"));
    let swept = sweep(&inside, &["a1"]);
    assert!(swept.is_empty() && is_deaf(&peer), "not for a moment");
    assert_eq!(sweep(&inside, &[]), ["a1"]);
    assert!(pings(&peer));
    assert_eq!(disable_ipv6(&host), "0");
    assert!(sweep(&inside, &[]).is_empty());
}

#[test]
fn what_somebody_has_flushed_is_no_error() {
    let (host, peer, inside) = hosts();
    let guard = install(&inside).unwrap();
    common::run(
        "ip",
        &["netns", "exec", host.name(), "nft", "flush", "ruleset"],
    );
    inside.run(|| guard.remove()).unwrap().unwrap();
    assert!(pings(&peer));
    assert_eq!(disable_ipv6(&host), "0");
}

#[test]
fn what_another_process_has_taken_over_stays_its_own() {
    let (host, peer, inside) = hosts();
    let guard = install(&inside).unwrap();
    let nft = |ruleset: &str| {
        common::run("ip", &["netns", "exec", host.name(), "nft", ruleset]);
    };
    nft("delete table netdev pvs-a1");
    nft(
        "table netdev pvs-a1 { chain of_1_99999999999_disable_ipv6_0 { }; \
         chain ingress { type filter hook ingress device \"a1\" priority -500; policy drop; }; }",
    );
    inside.run(|| guard.remove()).unwrap().unwrap();
    assert!(is_deaf(&peer));
    assert!(tables(&host).contains("pvs-a1"));
}

#[test]
fn a_living_process_keeps_its_port() {
    let (host, _peer, inside) = hosts();
    let stat = std::fs::read_to_string("/proc/1/stat").unwrap();
    let started = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .nth(19)
        .unwrap();
    let owned = format!("table netdev pvs-a1 {{ chain of_1_{started}_disable_ipv6_0 {{ }}; }}");
    common::run("ip", &["netns", "exec", host.name(), "nft", &owned]);
    assert_eq!(
        install(&inside).unwrap_err().to_string(),
        "a1 already is a port of process 1: stop that one, or use another interface"
    );
    assert!(sweep(&inside, &[]).is_empty());
    assert!(tables(&host).contains("pvs-a1"));
}

#[test]
fn the_mirror_s_namespace_is_refused() {
    let (host, peer, inside) = hosts();
    let error = inside
        .run(|| refuse_shared_namespace("a1", &host.open()))
        .unwrap()
        .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("a1 is in network namespace pvs-t"),
        "{error}"
    );
    inside
        .run(|| refuse_shared_namespace("a1", &peer.open()))
        .unwrap()
        .unwrap();
    let error = inside
        .run(|| refuse_shared_namespace("a9", &peer.open()))
        .unwrap()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "interface a9 does not exist in pvsd's network namespace"
    );
    let error = inside
        .run(|| IngressDrop::install("a9"))
        .unwrap()
        .unwrap_err();
    assert!(matches!(error, Error::NoInterface { .. }));
}
