//! What `status` and `drops` print, to the byte, from the argument vector through frames and the
//! store; and that no number breaks the columns.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod common;

use common::{IdlePlane, rich_status};
use proptest::prelude::*;
use pvs_control::cli::{Asked, FileNames, Io, Link, LinkError, run};
use pvs_control::command::Command;
use pvs_control::frame::{Response, VERSION, decode, encode};
use pvs_control::reply::Outcome;
use pvs_control::status::{
    HopState, HopView, InterfaceView, LossPlace, LossView, PortView, StatusView, TableView,
    WorkerView, attention,
};
use pvs_control::{Capabilities, Store, listing};

/// A store and a plane behind frames, in parts as the server sends them.
struct Loopback {
    store: Store,
    plane: IdlePlane,
}

impl Loopback {
    fn new(status: StatusView) -> Self {
        let plane = IdlePlane {
            status,
            ..IdlePlane::default()
        };
        Self {
            store: Store::new(Capabilities::ALL),
            plane,
        }
    }

    fn run(&mut self, line: &str) -> (u8, String, String) {
        let argv: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let (mut output, mut errors) = (Vec::new(), Vec::new());
        let mut io = Io {
            input: &mut &b""[..],
            output: &mut output,
            errors: &mut errors,
        };
        let status = run(&argv, &FileNames::default(), self, &mut io).unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (status, text(output), text(errors))
    }
}

impl Link for Loopback {
    fn ask(&mut self, commands: &[Command], asked: Asked<'_>) -> Result<Option<String>, LinkError> {
        for outcome in self.store.apply_all(commands, &self.plane) {
            let parts = match outcome {
                Outcome::Status { status, .. } => {
                    let parts = status.into_parts(2);
                    let last = parts.len() - 1;
                    let part = |(at, part)| Outcome::Status {
                        status: Box::new(part),
                        more: at < last,
                    };
                    parts.into_iter().enumerate().map(part).collect()
                }
                other => vec![other],
            };
            for part in parts {
                let answer = Response {
                    version: VERSION,
                    outcomes: vec![part],
                    ..Response::default()
                };
                let mut received: Response = decode(&encode(&answer)?)?;
                assert_eq!(received, answer);
                asked(received.outcomes.remove(0)).map_err(LinkError::Output)?;
            }
        }
        Ok(None)
    }
}

#[test]
fn a_rich_status_to_the_byte() {
    let mut director = Loopback::new(rich_status());
    for line in [
        "ipvsadm -A -t 192.0.2.100:80",
        "ipvsadm -A -u [2001:db8::100]:53 -s rr",
    ] {
        assert_eq!(director.run(line).0, 0);
    }
    assert_eq!(
        director
            .run("ipvsadm -a -t 192.0.2.100:80 -r 10.0.0.1 -m -w 3")
            .0,
        0
    );
    let (status, shown, errors) = director.run("pvsadm status");
    assert_eq!(
        (status, errors.as_str()),
        (1, ""),
        "something needs attention"
    );
    assert_eq!(shown, include_str!("data/status-rich.txt"), "{shown}");
    assert!(shown.lines().all(|line| line.chars().count() <= 100));
    let (_, all, _) = director.run("pvsadm status --all");
    assert!(
        all.len() > shown.len() && all.contains("10.0.20.12/24"),
        "{all}"
    );
}

#[test]
fn a_minimal_status_to_the_byte() {
    let status = StatusView {
        version: "0.1.0".into(),
        ..StatusView::default()
    };
    let shown = Loopback::new(status).run("pvsadm status");
    let wanted = include_str!("data/status-minimal.txt").to_owned();
    assert_eq!(shown, (0, wanted, String::new()), "{}", shown.1);
}

#[test]
fn json_has_every_section_and_what_needs_attention() {
    let (status, shown, _) = Loopback::new(rich_status()).run("pvsadm status --json");
    assert_eq!((status, shown.lines().count()), (1, 1));
    let json: serde_json::Value = serde_json::from_str(&shown).unwrap();
    for name in [
        "attention",
        "version",
        "dpdk",
        "uptime_secs",
        "interval_ms",
        "steering",
        "ports",
        "workers",
        "tables",
        "ends",
        "table_huge_pages",
        "buffer_huge_pages",
        "config",
        "services",
        "linux",
        "punts",
        "exchange",
        "icmp_errors",
        "drops",
    ] {
        assert!(json.get(name).is_some(), "no {name} in {shown}");
    }
    assert_eq!(
        json["attention"][0],
        "the link of port 1 (0000:3b:00.1) is down"
    );
    assert_eq!(json["linux"]["unresolved"][0]["state"], "failed");
    assert_eq!(json["ports"][0]["rx_packets"], 123_456_789_012u64);
    // The whole of it, unchanged.
    let back: StatusView = serde_json::from_str(&shown).unwrap();
    assert_eq!(back, rich_status());
}

/// Every name of a field in a value, however deep.
fn names(value: &serde_json::Value, found: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(fields) => {
            for (name, value) in fields {
                found.push(name.clone());
                names(value, found);
            }
        }
        serde_json::Value::Array(entries) => entries.iter().for_each(|entry| names(entry, found)),
        _ => {}
    }
}

#[test]
fn every_field_of_the_json_is_documented() {
    let document = include_str!("../../docs/STATUS.md");
    let (_, shown, _) = Loopback::new(rich_status()).run("pvsadm status --json");
    let mut found = Vec::new();
    names(&serde_json::from_str(&shown).unwrap(), &mut found);
    for name in found {
        assert!(
            document.contains(&format!("`{name}`")),
            "docs/STATUS.md does not mention {name}"
        );
    }
}

#[test]
fn drops_are_those_of_the_plane() {
    let mut director = Loopback::new(rich_status());
    let loss = |reason: &str, packets| LossView {
        reason: reason.into(),
        place: LossPlace::Dropped,
        packets,
        sentence: "It is so.".into(),
    };
    director.plane.losses = vec![loss("none", 0), loss("some", 2), loss("more", 30)];
    let shown =
        "Packets  Reason  Meaning\n     30  more    It is so.\n      2  some    It is so.\n";
    assert_eq!(
        director.run("pvsadm drops"),
        (0, shown.into(), String::new())
    );
    assert_eq!(
        director.run("pvsadm drops --all").1,
        format!("{shown}      0  none    It is so.\n")
    );
    let (_, json, _) = director.run("pvsadm drops --json");
    assert!(
        json.starts_with("{\"drops\":[{\"reason\":\"more\",\"place\":\"dropped\",\"packets\":30,")
    );
}

/// Numbers of every size, the largest ones often.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), Just(u64::MAX), any::<u64>(), 0..1000u64]
}

prop_compose! {
    fn port()(n in prop::collection::vec(number(), 10), link in any::<Option<bool>>(), speed in any::<Option<u32>>())
        -> PortView {
        PortView {
            port: n[9] as u16,
            device: "net_af_packet0".into(),
            link_up: link,
            speed_mbps: speed,
            rx_packets: n[0], rx_bytes: n[1], rx_missed: n[2], rx_errors: n[3], rx_no_buffer: n[4],
            rx_chained: n[5], tx_packets: n[6], tx_bytes: n[7], tx_errors: n[8],
            ..PortView::default()
        }
    }
}

prop_compose! {
    fn worker()(n in prop::collection::vec(number(), 13), seen in any::<Option<u64>>()) -> WorkerView {
        WorkerView {
            worker: n[0], core: n[1], polls: n[2], busy_polls: n[3], rx_per_sec: n[4], tx_per_sec: n[5],
            received: n[6], sent: n[7], injected: n[8], connections: n[9],
            handed_over: n[10], relayed: n[11], taken_over: n[12],
            config_seen: seen, forwarding_seen: seen,
            ..WorkerView::default()
        }
    }
}

proptest! {
    #[test]
    fn whatever_the_numbers_nothing_panics_and_columns_stay_apart(
        ports in prop::collection::vec(port(), 0..4),
        workers in prop::collection::vec(worker(), 0..4),
        n in prop::collection::vec(number(), 8),
        names in prop::collection::vec("\\PC{0,20}", 3),
        all in any::<bool>(),
    ) {
        let cells = 9 * ports.len();
        let mut view = StatusView {
            version: names[0].clone(),
            uptime_secs: n[0],
            interval_ms: n[1],
            ports,
            workers,
            ..StatusView::default()
        };
        view.tables = vec![TableView { family: names[1].clone(), used: n[2], capacity: n[3] }];
        view.linux.interfaces = vec![InterfaceView { name: names[2].clone(), ..InterfaceView::default() }];
        view.linux.unresolved = vec![HopView {
            address: "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff".parse().unwrap(),
            interface: names[2].clone(),
            state: HopState::Asked,
            for_server: true,
            secs: n[4],
        }];
        let sentences = attention(&view);
        let text = listing::status(&view, &sentences, listing::Detail { all, json: false });
        prop_assert!(!text.contains("\n\n\n") && text.ends_with('\n'));
        // The rows of received frames have seven figures each, those of sent ones four,
        // always with blanks between.
        let figures = |line: &&str| {
            let words: Vec<_> = line.split_whitespace().collect();
            words.iter().all(|w| w.parse::<u64>().is_ok()) && matches!(words.len(), 7 | 4)
        };
        let found: usize = text.lines().filter(figures).count();
        prop_assert!(found >= 2 * cells / 9, "{}", text);
    }
}
