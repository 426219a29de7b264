//! The control server over a real Unix socket: what it understands, what it does not, and that no
//! client can hold up another.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

#[path = "../common/mod.rs"]
mod common;

mod clients;
mod listing;
mod support;

use crate::support::{Running, add, pvsadm};
use pvs_control::cli::{Link, LinkError};
use pvs_control::client::Client;
use pvs_control::command::Command;
use pvs_control::limits::FRAME_BYTES_MAX;
use pvs_control::reply::{Outcome, Refusal};
use pvs_control::{BindError, Server, SocketConfig};
use std::sync::atomic::Ordering;

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
    let last = running.last_of(9);
    assert_eq!((last.version, last.services().count()), (9, 12));
}

#[test]
fn locality_is_an_input_like_a_command() {
    let running = Running::start();
    running.ask(&[add(1)]);
    running
        .handle
        .set_locality(std::sync::Arc::new(|_: std::net::IpAddr| true));
    let last = running.last_of(2);
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
