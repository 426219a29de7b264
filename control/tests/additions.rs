//! What pvsadm has and ipvsadm lacks: rules from a file, listings as JSON, files of /proc/net.
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
use pvs_control::cli::{Asked, FileNames, Io, Link, LinkError, run};
use pvs_control::command::Command;
use pvs_control::plane::Connection;
use pvs_control::reply::{Outcome, Refusal};
use pvs_control::{Capabilities, Store};
use pvs_sched::Method;
use serde_json::Value;

const RULES: &str = "# two services
-A -t 10.0.0.100:80 -s rr
-a -t 10.0.0.100:80 -r 10.0.1.1:80 -m -w 1
-a -t 10.0.0.100:80 -r 10.0.1.2:80 -m -w 2 -x 100 -y 50
-a -t 10.0.0.100:80 -r 10.0.1.3:80 -g
-A -u 10.0.0.100:53 -s wlc -p 60
";

#[test]
fn rules_are_applied_by_the_fewest_commands() {
    let mut director = Director::new();
    assert_eq!(
        director.fed("pvsadm apply -", RULES.as_bytes()),
        (0, String::new(), String::new())
    );
    assert_eq!(
        director.fed("pvsadm diff -", RULES.as_bytes()),
        (0, String::new(), String::new())
    );
    let order = |director: &mut Director| {
        let text = director.shown("pvsadm proc ip_vs");
        let servers = text.lines().filter(|line| line.contains("0A0001"));
        servers
            .map(|line| line[11..13].to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(order(&mut director), ["03", "02", "01"]);

    // One server edited, one gone, one new, one service edited, one gone, one new.
    let other = "-A -t 10.0.0.100:80 -s wrr
-a -t 10.0.0.100:80 -r 10.0.1.1:80 -m -w 5
-a -t 10.0.0.100:80 -r 10.0.1.3:80 -g
-a -t 10.0.0.100:80 -r 10.0.1.4:80 -m
-A -f 7
";
    let commands = "-D -u 10.0.0.100:53
-E -t 10.0.0.100:80 -s wrr
-d -t 10.0.0.100:80 -r 10.0.1.2:80
-e -t 10.0.0.100:80 -r 10.0.1.1:80 -m -w 5
-a -t 10.0.0.100:80 -r 10.0.1.4:80 -m -w 1
-A -f 7 -s wlc
";
    let before = director.shown("pvsadm proc ip_vs");
    for (line, status) in [("pvsadm diff -", 1), ("pvsadm apply --dry-run -", 0)] {
        let told = (status, commands.to_owned(), String::new());
        assert_eq!(director.fed(line, other.as_bytes()), told);
        assert_eq!(director.shown("pvsadm proc ip_vs"), before, "{line}");
    }
    assert_eq!(director.fed("pvsadm apply -", other.as_bytes()).0, 0);
    assert_eq!(
        order(&mut director),
        ["04", "03", "01"],
        "what stays keeps its place"
    );
    assert_eq!(director.fed("pvsadm diff -", other.as_bytes()).0, 0);
}

#[test]
fn the_commands_that_are_shown_can_be_typed() {
    let (mut director, mut other) = (Director::new(), Director::new());
    let rules = "-A -t [fd00::1]:80 -s sh -b sh-port -p 60 -M 64
-a -t [fd00::1]:80 -r 10.0.1.1 -i --tun-type gue --tun-port 6080 --tun-csum -x 9 -y 3
-A -f 7 -6 -s mh
-A -u 10.0.0.1:53 -o
";
    let commands = director.fed("pvsadm diff -", rules.as_bytes()).1;
    assert_eq!(
        other.fed("ipvsadm -R", commands.as_bytes()),
        (0, String::new(), String::new())
    );
    assert_eq!(
        other.fed("pvsadm diff -", rules.as_bytes()),
        (0, String::new(), String::new())
    );
}

#[test]
fn rules_are_applied_all_or_none() {
    let mut director = Director::new();
    director.fed("pvsadm apply -", RULES.as_bytes());
    let before = director.shown("ipvsadm -Ln --thresholds");
    director.store.take_snapshot();
    for (wrong, said) in [
        (
            "-A -t 10.0.0.9:80\n-A -t 10.0.0.9:80\n",
            "line 2: Service already exists",
        ),
        (
            "-A -t 10.0.0.9:80 -s nosuch\n",
            "line 1: Scheduler or persistence engine not found",
        ),
    ] {
        for line in ["pvsadm apply -", "pvsadm diff -", "pvsadm check -"] {
            let (status, output, errors) = director.fed(line, wrong.as_bytes());
            assert_eq!((status, output.as_str()), (2, ""), "{line}");
            assert_eq!(errors, format!("pvsadm: -: {said}\n"));
        }
    }
    // Refused by pvsd, since a director need not be able to do everything.
    director.store = Store::new(Capabilities::WITHOUT_MASQUERADING);
    director.fed("pvsadm apply -", b"-A -t 10.0.0.1:80 -s rr\n");
    director.store.take_snapshot();
    let (status, output, errors) = director.fed(
        "pvsadm apply -",
        b"-A -t 10.0.0.1:80 -s rr\n-a -t 10.0.0.1:80 -r 10.1.1.1:80 -m\n",
    );
    assert_eq!((status, output.as_str()), (2, ""));
    assert!(
        errors.starts_with("pvsd was started with workers.steering"),
        "{errors}"
    );
    assert!(
        director.store.take_snapshot().is_none(),
        "nothing has changed"
    );
    assert!(before.contains("10.0.1.2:80                  100        50 "));
}

#[test]
fn a_file_is_read_or_missed() {
    let mut director = Director::new();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), RULES).unwrap();
    let path = file.path().display();
    assert_eq!(director.shown(&format!("pvsadm check {path}")), "");
    assert_eq!(director.run(&format!("pvsadm diff {path}")).0, 1);
    assert_eq!(director.shown(&format!("pvsadm apply {path}")), "");
    assert_eq!(director.run(&format!("pvsadm diff {path}")).0, 0);
    let (status, _, errors) = director.run("pvsadm apply /nosuch/file");
    assert_eq!(status, 2);
    assert!(
        errors.starts_with("pvsadm: /nosuch/file: No such file"),
        "{errors}"
    );
    for line in [
        "pvsadm apply",
        "pvsadm diff a b",
        "pvsadm proc",
        "pvsadm proc ip_vs_app",
    ] {
        assert_eq!(director.run(line).0, 2, "{line}");
    }
}

fn connection() -> Connection {
    Connection {
        protocol: "TCP",
        expires_secs: 59,
        state: "SYN_RECV",
        client: "10.0.0.1:4001".parse().unwrap(),
        virtual_: "10.0.0.100:80".parse().unwrap(),
        server: "10.0.1.1:80".parse().unwrap(),
        method: Method::Masquerade,
        engine: Some(("sip", "call".to_owned())),
    }
}

/// Every key of a value, at any depth.
fn keys(value: &Value, all: &mut Vec<String>) {
    match value {
        Value::Array(list) => list.iter().for_each(|v| keys(v, all)),
        Value::Object(members) => {
            for (key, value) in members {
                all.push(key.clone());
                keys(value, all);
            }
        }
        _ => {}
    }
}

#[test]
fn every_key_of_the_json_is_documented() {
    let page = include_str!("../../docs/CONTROL.md");
    let mut director = Director::new();
    let rules = format!("{RULES}-A -f 1 -s mh\n");
    director.fed("pvsadm apply -", rules.as_bytes());
    director.plane.connections.push(connection());
    for line in [
        "pvsadm -L --json",
        "pvsadm -Ln --stats --json",
        "pvsadm -L -t 10.0.0.100:80 --json",
        "pvsadm -Lc --json",
        "pvsadm -L --timeout --json",
        "pvsadm -L --daemon --json",
        "pvsadm mh --json",
    ] {
        let text = director.shown(line);
        assert_eq!(text.lines().count(), 1, "{line}");
        let mut all = Vec::new();
        keys(&serde_json::from_str(&text).unwrap(), &mut all);
        assert!(!all.is_empty());
        for key in all {
            let documented =
                page.contains(&format!("`{key}`")) || page.contains(&format!("\"{key}\""));
            assert!(documented, "{line}: {key}");
        }
    }
}

#[test]
fn ipvsadm_has_none_of_it() {
    let mut director = Director::new();
    let unknown = |line: &str| (255, String::new(), format!("{line}: unknown option\n"));
    assert_eq!(director.run("ipvsadm -L --json"), unknown("--json"));
    assert_eq!(director.run("ipvsadm -L --json=x"), unknown("--json=x"));
    assert_eq!(director.fed("pvsadm -R", b"-L --json\n"), unknown("--json"));
    for word in ["apply", "diff", "check", "proc", "mh"] {
        assert_eq!(director.run(&format!("ipvsadm {word}")).0, 255);
    }
    let (status, _, errors) = director.run("pvsadm -S --json");
    assert_eq!(
        (status, errors.as_str()),
        (2, "Illegal 'json' option with the 'save' command\n")
    );
}

/// A worker that does not answer to `-Lnc` in the middle of `-R`.
struct Silent(Director);

impl Link for Silent {
    fn ask(&mut self, commands: &[Command], asked: Asked<'_>) -> Result<Option<String>, LinkError> {
        self.0.ask(commands, &mut |outcome| match outcome {
            Outcome::Connections { .. } => asked(Outcome::Refused(Refusal::Silent { worker: 1 })),
            other => asked(other),
        })
    }
}

#[test]
fn a_listing_that_fails_ends_restore_with_its_status() {
    let (mut output, mut errors) = (Vec::new(), Vec::new());
    let mut io = Io {
        input: &mut "-Lnc\n-Ln\n".as_bytes(),
        output: &mut output,
        errors: &mut errors,
    };
    let argv = ["ipvsadm", "-R"].map(str::to_owned);
    let mut link = Silent(Director::new());
    let status = run(&argv, &FileNames::default(), &mut link, &mut io).unwrap();
    let output = String::from_utf8(output).unwrap();
    assert_ne!(status, 0);
    assert!(!output.contains("Prot LocalAddress"), "{output}");
    assert_eq!(String::from_utf8(errors).unwrap().lines().count(), 1);
}
