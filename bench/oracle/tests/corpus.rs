//! The corpus of frames through the memory port: each has one fate, and is
//! counted under its reason alone.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

#[path = "../../../proto/tests/corpus/mod.rs"]
mod corpus;

use pvs_dataplane::punt::PuntClass;
use pvs_oracle::{Director, Side, scenario};
use pvs_sched::Method;
use std::collections::BTreeMap;

/// What became of one frame.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Sent,
    Punted(PuntClass),
    /// Or lost, and its sender was told: then the error leaves in its buffer.
    Lost(&'static str),
    /// It waited for the other pieces of its datagram, which did not come.
    Waited,
}

fn director() -> Director {
    scenario::director(&[("192.168.1.1:8080", Method::Masquerade)]).unwrap()
}

/// Every way of forwarding, and none.
fn directors() -> [Director; 5] {
    [
        &[("192.168.1.1:8080", Method::Masquerade)][..],
        &[("192.168.1.1:80", Method::Route)],
        &[("192.168.1.1:80", Method::Tunnel)],
        &[("[fd01::1]:80", Method::Tunnel)],
        &[],
    ]
    .map(|servers| scenario::director(servers).unwrap())
}

/// Sends a frame and says what became of it: one thing, and no counter moved but its own.
fn fate(d: &mut Director, side: Side, name: &str, frame: &[u8]) -> Fate {
    let before: BTreeMap<_, _> = d.losses().into_iter().collect();
    let free = d.free_buffers();
    let told = d.totals().icmp_sent;
    let mut out = d.send(side, frame).unwrap();
    let punted = d.punted();
    let waits = d.free_buffers() == free - 1;
    if waits {
        // The longest that a piece waits, and a second.
        d.sleep_ms(61_000);
        out.extend(d.collect());
    }
    let told = (d.totals().icmp_sent - told) as usize;
    let lost: Vec<&'static str> = d
        .losses()
        .into_iter()
        .flat_map(|(label, n)| vec![label; (n - before.get(label).copied().unwrap_or(0)) as usize])
        .collect();
    assert_eq!(
        out.len() - told + punted.len() + lost.len(),
        1,
        "{name}: {out:?} {punted:?} {lost:?}"
    );
    assert_eq!(d.free_buffers(), free, "{name}: a buffer is missing");
    if let Some((class, from, bytes)) = punted.into_iter().next() {
        assert_eq!(
            (from, bytes.as_slice()),
            (side, frame),
            "{name}: Linux gets what came, unchanged"
        );
        return Fate::Punted(class);
    }
    if waits {
        assert_eq!(lost, ["fragment_timeout"], "{name}");
        return Fate::Waited;
    }
    lost.first().map_or(Fate::Sent, |label| Fate::Lost(label))
}

#[test]
fn every_malformed_frame_is_counted_under_its_reason() {
    let mut d = director();
    let mut reasons = BTreeMap::new();
    for case in corpus::cases() {
        let Some(reason) = case.verdict.strip_prefix("malformed ") else {
            continue;
        };
        for side in [Side::Client, Side::Server] {
            let got = fate(&mut d, side, case.name, &case.frame);
            assert!(
                matches!(got, Fate::Lost(label) if label == reason),
                "{}: {got:?}",
                case.name
            );
            *reasons.entry(reason).or_insert(0u64) += 1;
        }
    }
    let counted: BTreeMap<_, _> = d.losses().into_iter().collect();
    assert_eq!(counted, reasons);
    assert_eq!(
        reasons.len(),
        pvs_proto::Malformed::ALL.len(),
        "every reason there is"
    );
}

#[test]
fn every_other_frame_has_one_fate() {
    let mut d = director();
    let mut fates = BTreeMap::new();
    for case in corpus::cases()
        .into_iter()
        .filter(|c| !c.verdict.starts_with("malformed"))
    {
        let got = fate(&mut d, Side::Client, case.name, &case.frame);
        let vlan = case.verdict.contains(" vlan ");
        match &got {
            Fate::Lost("unknown_vlan") => assert!(vlan, "{}", case.name),
            Fate::Punted(class) if case.verdict.starts_with("other") => {
                let arp = case.verdict.ends_with(" arp");
                let expected = if arp {
                    PuntClass::Neighbour
                } else {
                    PuntClass::Local
                };
                assert_eq!(*class, expected, "{}", case.name);
            }
            _ => assert!(
                case.verdict.starts_with("ok") && !vlan,
                "{}: {got:?}",
                case.name
            ),
        }
        if case.verdict.contains(" first ") || case.verdict.contains(" later ") {
            // Only what has ports may be balanced once it is whole, or be an error about what has. A
            // later piece behind which options are (60) does not say.
            let may_be = [
                " tcp ",
                " udp ",
                " sctp ",
                " icmp ",
                " icmpv6 ",
                " proto 60 ",
            ];
            let may_be = may_be.iter().any(|p| case.verdict.contains(p));
            let wanted = match may_be {
                true => got == Fate::Waited,
                false => matches!(got, Fate::Punted(_)),
            };
            assert!(wanted || vlan, "{}: {got:?}", case.name);
        }
        *fates.entry(format!("{got:?}")).or_insert(0) += 1;
    }
    println!("{fates:#?}");
    assert!(fates.len() >= 6, "{fates:?}");
}

/// A frame cut anywhere, and one with any byte changed, is forwarded, punted or counted: never two
/// of these, never a panic, never a lost buffer.
#[test]
fn damaged_frames_have_one_fate_too() {
    for mut d in directors() {
        for case in corpus::cases().iter().filter(|c| c.frame.len() < 150) {
            for len in 0..case.frame.len() {
                fate(&mut d, Side::Client, case.name, &case.frame[..len]);
            }
            for at in 12..case.frame.len() {
                let mut frame = case.frame.clone();
                frame[at] ^= 0x55;
                fate(&mut d, Side::Client, case.name, &frame);
            }
        }
    }
}
