//! Answers that come in parts, and clients that do not read them.

use crate::support::{Running, add, pvsadm};
use pvs_control::command::Command;
use pvs_control::frame::{Request, VERSION, encode};
use pvs_control::limits::WRITE_TIME_MAX;
use pvs_control::plane::Connection;
use pvs_control::reply::Outcome;
use pvs_control::status::{AddressView, StatusView};
use pvs_sched::config::Method;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

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
