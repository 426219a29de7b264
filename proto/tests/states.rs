//! Replays what the kernel's IPVS was seen doing to connections against the pure state tables.
//!
//! The recordings are described in bench/oracle/data/README.md; `PVS_ORACLE` names another folder.
//! Every state, every timer and every active/inactive count of every recorded step is compared.
//! What is around the tables (which packet creates an entry, which one has it scheduled anew) is a
//! few lines of model here.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

use pvs_proto::state::{Event, NONE, SctpState, Step, TcpState, Timeouts, Variant};
use pvs_proto::state::{advance, label, template_label};
use pvs_proto::wire::{sctp, tcp};
use pvs_proto::{Protocol, Ticks};
use serde_json::Value;

/// The director as far as one client's connection shows it.
struct Director {
    protocol: Protocol,
    is_nat: bool,
    variant: Variant,
    sloppy: bool,
    reuse_mode: u64,
    one_packet: bool,
    has_service: bool,
    timeouts: Timeouts,
    entry: Option<Entry>,
    template_assured: bool,
}

/// A connection, and the time of its last packet.
struct Entry {
    step: Step,
    at: f64,
}

impl Director {
    fn new(protocol: Protocol, line: &Value) -> Self {
        let sysctl = |name: &str| line["sysctl"][format!("net/ipv4/vs/{name}")].as_u64();
        Self {
            protocol,
            is_nat: line["mode"] == "nat",
            variant: match sysctl("secure_tcp") {
                Some(3) => Variant::Secure,
                _ => Variant::Normal,
            },
            sloppy: sysctl("sloppy_tcp") == Some(1),
            reuse_mode: sysctl("conn_reuse_mode").unwrap_or(1),
            one_packet: line["opts"] == "-o",
            has_service: true,
            timeouts: Timeouts::default(),
            entry: None,
            template_assured: false,
        }
    }

    /// A step of a path: `C:SYN`, `S:ACK`, `ipvsadm ...`; `sleep` only lets time pass.
    fn step(&mut self, text: &str, at: f64) {
        if self
            .entry
            .as_ref()
            .is_some_and(|entry| entry.left(at) < 0.0)
        {
            self.entry = None;
        }
        if let Some(packet) = text.strip_prefix("C:") {
            self.packet(false, packet, at);
        } else if let Some(packet) = text.strip_prefix("S:") {
            self.packet(true, packet, at);
        } else if let Some(values) = text.strip_prefix("ipvsadm --set ") {
            let values: Vec<u32> = values.split(' ').map(|v| v.parse().unwrap()).collect();
            self.timeouts.set(values[0], values[1], values[2]);
        } else if text.starts_with("ipvsadm -D ") {
            self.has_service = false;
        } else {
            assert!(text.starts_with("sleep"), "{text}");
        }
    }

    fn packet(&mut self, from_server: bool, name: &str, at: f64) {
        if !self.has_service || self.one_packet {
            return;
        }
        let signal = signal(self.protocol, name);
        if !from_server && self.is_scheduled_anew(signal) {
            self.entry = None;
        }
        let (state, no_output) = match &self.entry {
            Some(entry) => (entry.step.state, entry.step.no_output),
            None if !from_server && self.creates(signal) => (NONE, !self.is_nat),
            None => return,
        };
        let event = Event {
            protocol: self.protocol,
            from_server,
            no_output,
            state,
            signal,
        };
        let step = advance(&self.timeouts, self.variant, event);
        self.template_assured |= step.assures;
        self.entry = Some(Entry { step, at });
    }

    fn creates(&self, signal: u8) -> bool {
        match self.protocol {
            Protocol::TCP => self.sloppy || signal & (tcp::SYN | tcp::RST) == tcp::SYN,
            Protocol::SCTP => signal == sctp::chunk::INIT,
            _ => true,
        }
    }

    fn is_scheduled_anew(&self, signal: u8) -> bool {
        let Some(Entry { step, .. }) = &self.entry else {
            return false;
        };
        let is = |state: TcpState| step.state == state as u8;
        match self.protocol {
            _ if self.reuse_mode == 0 => false,
            Protocol::TCP => {
                let is_over = is(TcpState::TimeWait) || is(TcpState::Close);
                let is_half = is(TcpState::FinWait) && step.no_output && self.reuse_mode & 2 != 0;
                signal & tcp::SYN != 0 && (is_over || is_half)
            }
            Protocol::SCTP => signal == sctp::chunk::INIT && step.state == SctpState::Closed as u8,
            _ => false,
        }
    }

    /// The entry as a listing between two instants may show it: its state, and the MM:SS that are
    /// left. A timer may fire late; till then 00:00 is shown.
    fn assert_listed(&self, listed: Option<(&str, &str)>, between: &Value, case: &str) {
        let (earliest, latest) = (between[0].as_f64().unwrap(), between[1].as_f64().unwrap());
        let Some((state, expire)) = listed else {
            let is_due = self
                .entry
                .as_ref()
                .is_none_or(|entry| entry.left(latest) <= 0.0);
            assert!(is_due, "{case}: the kernel has no entry");
            return;
        };
        let entry = self
            .entry
            .as_ref()
            .unwrap_or_else(|| panic!("{case}: no entry"));
        assert_eq!(label(self.protocol, entry.step.state), state, "{case}");
        let (minutes, seconds) = expire.split_once(':').unwrap();
        let shown = minutes.parse::<f64>().unwrap() * 60.0 + seconds.parse::<f64>().unwrap();
        let (least, most) = (entry.left(latest).floor(), entry.left(earliest).floor());
        assert!(
            least <= shown && shown <= most.max(0.0),
            "{case}: {expire}, not {least} to {most}"
        );
    }
}

impl Entry {
    fn left(&self, now: f64) -> f64 {
        let timeout = f64::from(self.step.timeout.0) / f64::from(Ticks::PER_SECOND);
        // A packet is applied up to 2 ms after it was written.
        self.at + 0.002 + timeout - now
    }
}

/// The signal of a packet of the recordings, by its name.
fn signal(protocol: Protocol, name: &str) -> u8 {
    use sctp::chunk;
    match (protocol, name) {
        (Protocol::UDP, "x") => 0,
        (Protocol::TCP, "SYN") => tcp::SYN,
        (Protocol::TCP, "SYNACK") => tcp::SYN | tcp::ACK,
        (Protocol::TCP, "ACK") => tcp::ACK,
        (Protocol::TCP, "FIN") => tcp::FIN,
        (Protocol::TCP, "FINACK") => tcp::FIN | tcp::ACK,
        (Protocol::TCP, "RST") => tcp::RST,
        (Protocol::TCP, "RSTACK") => tcp::RST | tcp::ACK,
        (Protocol::TCP, "DATA") => tcp::PSH | tcp::ACK,
        (Protocol::TCP, "NONE") => 0,
        (Protocol::TCP, "SYNFIN") => tcp::SYN | tcp::FIN,
        (Protocol::TCP, "SYNRST") => tcp::SYN | tcp::RST,
        (Protocol::SCTP, "DATA") => chunk::DATA,
        (Protocol::SCTP, "INIT") => chunk::INIT,
        (Protocol::SCTP, "INIT_ACK") => chunk::INIT_ACK,
        (Protocol::SCTP, "SACK") => 3,
        (Protocol::SCTP, "HEARTBEAT") => 4,
        (Protocol::SCTP, "HEARTBEAT_ACK") => 5,
        (Protocol::SCTP, "ABORT") => chunk::ABORT,
        (Protocol::SCTP, "SHUTDOWN") => chunk::SHUTDOWN,
        (Protocol::SCTP, "SHUTDOWN_ACK") => chunk::SHUTDOWN_ACK,
        (Protocol::SCTP, "ERROR") => chunk::ERROR,
        (Protocol::SCTP, "COOKIE_ECHO") => chunk::COOKIE_ECHO,
        (Protocol::SCTP, "COOKIE_ACK") => chunk::COOKIE_ACK,
        (Protocol::SCTP, "SHUTDOWN_COMPLETE") => chunk::SHUTDOWN_COMPLETE,
        _ => panic!("{name}"),
    }
}

fn protocol(name: &str) -> Protocol {
    match name {
        "tcp" => Protocol::TCP,
        "udp" => Protocol::UDP,
        "sctp" => Protocol::SCTP,
        _ => panic!("{name}"),
    }
}

/// The recorded lines of one kind.
fn recordings(kind: &str) -> Vec<Value> {
    let folder = std::env::var("PVS_ORACLE")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../bench/oracle/data").into());
    let text = std::fs::read_to_string(format!("{folder}/states.jsonl")).expect("recordings");
    let lines = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["kind"] == kind).collect()
}

#[test]
fn every_recorded_transition() {
    let lines = recordings("transition");
    assert!(lines.len() >= 712, "{} transitions", lines.len());
    for line in &lines {
        let protocol = protocol(line["proto"].as_str().unwrap());
        let (path, packet) = (
            line["path"].as_str().unwrap(),
            line["packet"].as_str().unwrap(),
        );
        let from = line["from"].as_str().unwrap();
        let sysctl = &line["sysctl"];
        let case = format!(
            "{protocol:?} {} {sysctl}: {path} {from}:{packet}",
            line["mode"]
        );
        let listed = |when: &Value| {
            let pair = when.as_array()?.clone();
            Some((pair[0].as_str()?.to_owned(), pair[1].as_str()?.to_owned()))
        };
        let mut director = Director::new(protocol, line);
        let check = |director: &Director, what: &str| {
            let shown = listed(&line[what]);
            let shown = shown
                .as_ref()
                .map(|(state, expire)| (state.as_str(), expire.as_str()));
            director.assert_listed(shown, &line[format!("t_{what}")], &format!("{case} {what}"));
        };
        for (step, at) in path
            .split_whitespace()
            .zip(line["path_t"].as_array().unwrap())
        {
            director.step(step, at.as_f64().unwrap());
        }
        check(&director, "before");
        director.step(&format!("{from}:{packet}"), line["t"].as_f64().unwrap());
        check(&director, "after");
    }
}

#[test]
fn every_recorded_sequence() {
    let lines = recordings("sequence");
    assert!(lines.len() >= 87, "{} sequences", lines.len());
    for line in &lines {
        let name = line["name"].as_str().unwrap();
        let protocol = protocol(name.split('/').next().unwrap());
        let mut director = Director::new(protocol, line);
        for (number, step) in line["steps"].as_array().unwrap().iter().enumerate() {
            let text = step["step"].as_str().unwrap();
            let case = format!(
                "{name} {} {} step {number} {text}",
                line["mode"], line["sysctl"]
            );
            director.step(text, step["t"].as_f64().unwrap());
            if let Some(listed) = step["conns"].as_array() {
                compare(&director, step, listed, &case);
            }
        }
    }
}

/// Compares the table and the server's counts after a step of a sequence.
fn compare(director: &Director, step: &Value, listed: &[Value], case: &str) {
    let is_template = |conn: &&Value| conn["src"].as_str().unwrap().ends_with(":0");
    let text = |conn: &'_ Value, key: &str| conn[key].as_str().unwrap().to_owned();
    let entry = listed.iter().find(|conn| !is_template(conn));
    let shown = entry.map(|conn| (text(conn, "state"), text(conn, "expire")));
    let shown = shown
        .as_ref()
        .map(|(state, expire)| (state.as_str(), expire.as_str()));
    director.assert_listed(shown, &step["t_conns"], case);
    if let Some(template) = listed.iter().find(is_template) {
        let expected = template_label(director.template_assured);
        assert_eq!(template["state"], expected, "{case}");
    }
    if let (Some(active), Some(inactive)) = (step["active"].as_u64(), step["inactive"].as_u64()) {
        let counts = match (&director.entry, entry) {
            (Some(entry), Some(_)) if entry.step.is_active => (1, 0),
            (Some(_), Some(_)) => (0, 1),
            _ => (0, 0),
        };
        assert_eq!((active, inactive), counts, "{case}");
    }
}
