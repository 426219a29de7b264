//! `pvsadm mh`: how many slots the table of an mh service has, and that
//! ipvsadm is told nothing of it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod common;
#[path = "common/director.rs"]
mod director;

use director::Director;
use serde_json::Value;

const RULES: &str = "-A -t 10.0.0.100:80 -s mh -b mh-port
-a -t 10.0.0.100:80 -r 10.0.1.1:80 -m -w 1
-a -t 10.0.0.100:80 -r 10.0.1.2:80 -m -w 1
-A -t 10.0.0.100:443 -s wlc
-A -f 3 -6 -s mh
";

fn ruled() -> Director {
    let mut director = Director::new();
    director.fed("pvsadm -R", RULES.as_bytes());
    director
}

fn value(director: &mut Director, line: &str) -> Value {
    serde_json::from_str(&director.shown(line)).unwrap()
}

#[test]
fn a_number_is_set_shown_and_explained() {
    let mut director = ruled();
    let shown = "-t 10.0.0.100:80 --slots 4093\n-f 3 -6 --slots 4093\n";
    assert_eq!(director.shown("pvsadm mh"), shown);
    assert_eq!(
        director.shown("pvsadm mh -t 10.0.0.100:80 --slots 65537"),
        ""
    );
    assert_eq!(director.shown("pvsadm mh -f 3 -6 -n 251"), "");
    let shown = "-t 10.0.0.100:80 --slots 65537\n-f 3 -6 --slots 251\n";
    assert_eq!(director.shown("pvsadm mh"), shown);
    let one = "-t 10.0.0.100:80 --slots 65537\n";
    assert_eq!(director.shown("pvsadm mh -t 10.0.0.100:80"), one);
    let told = value(&mut director, "pvsadm mh -f 3 -6 --json");
    let service = serde_json::json!({"mark": 3, "family": "ipv6"});
    let expected = serde_json::json!({"mh": [{"service": service, "slots": 251, "running": true}]});
    assert_eq!(told, expected);

    let told = value(&mut director, "pvsadm -L --json");
    let slots = |n: usize| told["services"][n].get("mh_slots").map(Value::to_string);
    let services: Vec<_> = (0..3).map(slots).collect();
    assert_eq!(services, [Some("65537".into()), None, Some("251".into())]);

    let line = "pvsadm explain -t 10.0.0.100:80 --from 10.9.0.1:4000";
    director.store.set_locality(std::sync::Arc::new(Everywhere));
    let told = director.shown(line);
    assert!(
        told.contains("TCP 10.0.0.100:80 mh with 65537 slots; "),
        "{told}"
    );
    let told = value(&mut director, &format!("{line} --json"));
    assert_eq!(told["mh_slots"], 65_537);
    let told = director.shown("pvsadm explain -t 10.0.0.100:443 --from 10.9.0.1:4000");
    assert!(told.contains("wlc; ") && !told.contains("slots"), "{told}");
}

/// Every address is local.
struct Everywhere;

impl pvs_control::Locality for Everywhere {
    fn is_local(&self, _: std::net::IpAddr) -> bool {
        true
    }
}

#[test]
fn what_can_t_be_is_refused_in_words_and_changes_nothing() {
    let mut director = ruled();
    director.store.take_snapshot();
    for (line, status, said) in [
        (
            "pvsadm mh -t 10.0.0.100:443 --slots 65537",
            255,
            "The service's scheduler is wlc: only mh has a table with slots",
        ),
        (
            "pvsadm mh -t 10.0.0.100:443",
            1,
            "The service's scheduler is wlc: only mh has a table with slots",
        ),
        (
            "pvsadm mh -t 10.0.0.9:80 --slots 65537",
            255,
            "No such service",
        ),
        (
            "pvsadm mh -t 10.0.0.100:80 --slots 65536",
            2,
            "pvsadm mh: --slots 65536: slots are one of these primes: 251, 509, 1021, 2039, 4093, \
             8191, 16381, 32749, 65521, 65537, 131071",
        ),
    ] {
        let expected = (status, String::new(), format!("{said}\n"));
        assert_eq!(director.run(line), expected, "{line}");
        assert!(director.store.take_snapshot().is_none(), "{line}");
    }
    assert!(!director.shown("pvsadm mh").contains("65537"));
}

#[test]
fn ipvsadm_shows_and_takes_nothing_of_it() {
    let mut director = ruled();
    let lines = [
        "ipvsadm -S -n",
        "ipvsadm -Ln",
        "ipvsadm -Ln --stats",
        "pvsadm -S -n",
        "pvsadm proc ip_vs",
    ];
    let before = lines.map(|line| director.shown(line));
    director.shown("pvsadm mh -t 10.0.0.100:80 --slots 65537");
    assert_eq!(lines.map(|line| director.shown(line)), before);
    assert_eq!(director.run("ipvsadm mh").0, 255);
    for line in [
        "ipvsadm -A -t 10.0.0.7:80 -s mh --slots 65537",
        "pvsadm -L --slots 251",
    ] {
        let (status, output, errors) = director.run(line);
        assert_eq!((status, output.as_str()), (255, ""), "{line}");
        assert_eq!(errors, "--slots: unknown option\n");
    }
}

#[test]
fn a_name_keeps_its_number_whatever_becomes_of_its_service() {
    let mut director = ruled();
    let one = "pvsadm mh -t 10.0.0.100:80";
    director.shown(&format!("{one} --slots 65537"));
    let kept = "-t 10.0.0.100:80 --slots 65537\n";
    director.shown("pvsadm -E -t 10.0.0.100:80 -s mh -b mh-fallback");
    assert_eq!(director.shown(one), kept);
    director.shown("pvsadm -E -t 10.0.0.100:80 -s rr");
    assert_eq!(director.run(one).0, 1);
    let absent =
        "-f 3 -6 --slots 4093\n-t 10.0.0.100:80 --slots 65537  # no mh service has this name now\n";
    assert_eq!(director.shown("pvsadm mh"), absent);
    director.shown("pvsadm -E -t 10.0.0.100:80 -s mh");
    assert_eq!(director.shown(one), kept);
    // As a keepalived that starts anew does it.
    director.shown("pvsadm -C");
    let told = value(&mut director, "pvsadm mh --json");
    assert_eq!(
        (
            &told["mh"][0]["running"],
            told["mh"].as_array().unwrap().len()
        ),
        (&false.into(), 1)
    );
    director.fed("pvsadm -R", RULES.as_bytes());
    assert_eq!(director.shown(one), kept);
    assert_eq!(
        director.fed("pvsadm diff -", RULES.as_bytes()),
        (0, String::new(), String::new())
    );
    assert_eq!(director.fed("pvsadm apply -", RULES.as_bytes()).0, 0);
    assert_eq!(director.shown(one), kept);
    // Until it is told the kernel's.
    director.shown(&format!("{one} --slots 4093"));
    director.shown("pvsadm -C");
    assert_eq!(
        director.shown("pvsadm mh"),
        "There is no service of scheduler mh.\n"
    );
}

#[test]
fn workers_get_the_table_that_was_asked_for() {
    let mut director = ruled();
    let slots = |director: &mut Director| {
        let snapshot = director.store.take_snapshot().unwrap();
        let sizes: Vec<u32> = snapshot.services().map(|s| s.slots().get()).collect();
        sizes
    };
    assert_eq!(slots(&mut director), [4093, 4093, 4093]);
    director.shown("pvsadm mh -t 10.0.0.100:80 --slots 131071");
    assert_eq!(slots(&mut director), [131_071, 4093, 4093]);
    director.shown("pvsadm mh -t 10.0.0.100:80 --slots 131071");
    assert!(director.store.take_snapshot().is_none(), "it has them");
}
