//! Replays the recordings of the real ipvsadm, from the argument vector through frames and the store
//! to the text, and compares to the byte.
//!
//! What cannot be replayed without a dataplane, or needs a scheduler that does not exist yet, is
//! left out by rule, counted and printed; everything else must be equal.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod common;

use common::IdlePlane;
use pvs_control::cli::{Asked, FileNames, Io, Link, LinkError, run};
use pvs_control::command::Command;
use pvs_control::frame::{Request, Response, VERSION, decode, encode};
use pvs_control::{Capabilities, Locality, Store};
use pvs_sched::SchedulerName;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

/// Cases that passed when this was last written; there may only be more.
const PASSED_MIN: usize = 420;

/// The schedulers that the recorded kernel had, `none` included.
const SCHEDULERS: &[&str] = &[
    "rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh", "twos",
    "none",
];

const HOSTS: &str = "127.0.0.1 localhost
10.1.2.3 web1.example web1
10.1.2.4 web2.example web2
10.1.2.100 vip.example
10.1.2.101 averyveryverylongservername.with.many.labels.example
fd00:2::1 six.example
";

#[derive(Debug, Deserialize)]
struct Case {
    case: String,
    steps: Vec<Step>,
    #[serde(default)]
    net: bool,
    mtu: Option<u32>,
}

#[derive(Debug, Deserialize)]
struct Step {
    argv: Option<Vec<String>>,
    stdin: Option<String>,
    stdout: Option<String>,
    stderr: Option<String>,
    rc: Option<i32>,
    #[serde(default)]
    volatile: bool,
}

/// The namespace of the recordings: loopback, and in some a dummy device of this MTU; no VIP local.
struct Recorder(Option<u32>);

impl Locality for Recorder {
    fn is_local(&self, address: IpAddr) -> bool {
        address.is_loopback()
    }

    fn device_mtu(&self, name: &str) -> Option<u32> {
        match name {
            "lo" => Some(65_536),
            "dummy0" => self.0,
            _ => None,
        }
    }
}

/// A store behind frames, as behind the socket.
struct Loopback {
    store: Store,
    plane: IdlePlane,
}

impl Link for Loopback {
    fn ask(&mut self, commands: &[Command], asked: Asked<'_>) -> Result<Option<String>, LinkError> {
        let sent = encode(&Request {
            version: VERSION,
            commands: commands.to_vec(),
        })?;
        let request: Request = decode(&sent)?;
        assert_eq!(request.commands, commands);
        let outcomes = self.store.apply_all(&request.commands, &self.plane);
        if let Some(snapshot) = self.store.take_snapshot() {
            self.plane.published.push(snapshot);
        }
        let answer = Response {
            version: VERSION,
            outcomes,
            last: true,
            ..Response::default()
        };
        let received: Response = decode(&encode(&answer)?)?;
        assert_eq!(received, answer);
        for outcome in received.outcomes {
            asked(outcome).map_err(LinkError::Output)?;
        }
        Ok(None)
    }
}

fn cases() -> Vec<Case> {
    let recorded = concat!(env!("CARGO_MANIFEST_DIR"), "/../bench/oracle/data");
    let folder = std::env::var_os("PVS_ORACLE").map_or_else(|| recorded.into(), PathBuf::from);
    let text = std::fs::read_to_string(folder.join("cli.jsonl")).expect("the recordings");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("a case a line"))
        .collect()
}

/// Why a case is left out; `None` if it must pass.
fn excluded(case: &Case) -> Option<&'static str> {
    for step in &case.steps {
        let Some(argv) = &step.argv else {
            return Some("traffic");
        };
        let input = step.stdin.iter().flat_map(|s| s.split_ascii_whitespace());
        let words: Vec<&str> = argv.iter().map(String::as_str).chain(input).collect();
        let missing =
            |name: &str| SCHEDULERS.contains(&name) && SchedulerName::named(name).is_none();
        let names = |pair: &[&str]| {
            let long = pair[0]
                .strip_prefix("--scheduler=")
                .or(pair[0].strip_prefix("-s"));
            long.is_some_and(missing)
                || (matches!(pair[0], "-s" | "--scheduler") && missing(pair[1]))
        };
        if words.windows(2).any(names) {
            return Some("scheduler");
        }
    }
    None
}

/// What differs in a step, in words.
fn difference(step: &Step, argv: &[String], link: &mut Loopback) -> Option<String> {
    let services = std::fs::read_to_string("/etc/services").expect("netbase's services");
    let names = FileNames::parse(HOSTS, &services);
    let mut input = step.stdin.as_deref().unwrap_or_default().as_bytes();
    let (mut output, mut errors) = (Vec::new(), Vec::new());
    let mut io = Io {
        input: &mut input,
        output: &mut output,
        errors: &mut errors,
    };
    let status = run(argv, &names, link, &mut io).unwrap();
    let (output, errors) = (
        String::from_utf8(output).unwrap(),
        String::from_utf8(errors).unwrap(),
    );
    let mut said = String::new();
    let mut compare = |what: &str, recorded: &str, here: &str| {
        if recorded != here {
            said += &format!("  {what} was {recorded:?}\n  {what} is  {here:?}\n");
        }
    };
    compare(
        "status",
        &step.rc.unwrap().to_string(),
        &i32::from(status).to_string(),
    );
    for (what, recorded, here) in [
        ("stdout", &step.stdout, &output),
        ("stderr", &step.stderr, &errors),
    ] {
        match recorded {
            Some(recorded) if !step.volatile => compare(what, recorded, here),
            Some(_) => {}
            // A text that each program has in its own words.
            None => compare(
                what,
                "some text",
                if here.is_empty() { "" } else { "some text" },
            ),
        }
    }
    (!said.is_empty()).then(|| format!("  {argv:?}\n{said}"))
}

#[test]
fn every_recorded_case_but_those_left_out_by_rule() {
    let mut left_out: BTreeMap<&str, usize> = BTreeMap::new();
    let mut passed = 0;
    let mut failed = Vec::new();
    for case in cases() {
        if let Some(reason) = excluded(&case) {
            *left_out.entry(reason).or_default() += 1;
            continue;
        }
        let mut store = Store::new(Capabilities::ALL);
        let mtu = case.net.then(|| case.mtu.unwrap_or(1500));
        store.set_locality(Arc::new(Recorder(mtu)));
        let mut link = Loopback {
            store,
            plane: IdlePlane::default(),
        };
        let differences: Vec<String> = case
            .steps
            .iter()
            .filter_map(|step| difference(step, step.argv.as_deref()?, &mut link))
            .collect();
        if differences.is_empty() {
            passed += 1;
        } else {
            failed.push(format!("{}\n{}", case.case, differences.concat()));
        }
    }
    println!(
        "passed {passed}, not yet {left_out:?}, failed {}",
        failed.len()
    );
    assert!(failed.is_empty(), "{}", failed.concat());
    assert!(passed >= PASSED_MIN, "only {passed} cases passed");
}
