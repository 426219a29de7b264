//! `packets/*.jsonl`: what each frame came out as, to the byte, and what it counted.
//!
//! A scenario has a director of its own; its steps are its lines. Frames that the kernel's IPVS sent are compared but for
//! the bytes that `data/packets/README.md` says are its own at each start; of those that Linux beside it sent, only that
//! the packet went to Linux. A step for a feature that is not built is left out, by a look at its packet, and so is
//! what depends on it: connections and totals from there on.

use super::case::{Case, Line, Outcome, Suite, sysctl_rule};
use super::frame::{self, Bytes};
use super::lab::{Lab, Sent};
use super::ledger::Ledger;
use super::listing::{Entry, Window, ms};
use super::way::StandIn;
use crate::{Side, laboratory_with};
use anyhow::{Context, Result, bail};
use pvs_dataplane::fib::{Fib, FibBuilder, Target};
use pvs_dataplane::punt::PuntClass;
use pvs_proto::{Addr4, Addr6, V4, V6};
use pvs_sched::Counters;
use serde::Deserialize;
use serde_json::Value;
use std::net::{IpAddr, SocketAddrV4};

#[derive(Deserialize)]
struct Environment {
    mtu_r: u32,
}

#[derive(Deserialize)]
struct Step {
    env: Environment,
    setup: Vec<Vec<String>>,
    t: f64,
    #[serde(rename = "in")]
    packet: Option<Written>,
    #[serde(default)]
    out: Vec<Seen>,
    counted: Option<Counted>,
    conns: Option<Vec<String>>,
    t_conns: Option<(f64, f64)>,
    #[serde(default)]
    cmd: String,
    #[serde(default)]
    rc: i64,
    #[serde(default)]
    stdout: String,
    #[serde(default)]
    stderr: String,
}

/// A frame that the recorder wrote.
#[derive(Deserialize)]
struct Written {
    #[serde(rename = "if")]
    interface: String,
    hex: String,
}

/// A frame that left the director.
#[derive(Deserialize)]
struct Seen {
    #[serde(rename = "if")]
    interface: String,
    by: String,
    via: Vec<String>,
    hex: String,
}

#[derive(Deserialize)]
struct Counted {
    conns: u64,
    inpkts: u64,
    outpkts: u64,
    inbytes: u64,
    outbytes: u64,
}

impl Seen {
    fn is_ipvs(&self) -> bool {
        self.by == "ipvs"
    }

    /// An ICMP error of the director's own.
    fn is_error(&self) -> bool {
        let made = |by: &String| by == "__icmp_send" || by == "icmp6_send";
        self.via.iter().any(made)
    }
}

/// A case for each scenario, a line for each of its steps, which holds its scenario's setup too.
pub(super) fn cases(lines: Vec<Value>) -> Vec<Case> {
    lines.iter().map(case).collect()
}

fn case(scenario: &Value) -> Case {
    let text = |of: &Value, key| of.get(key).and_then(Value::as_str).map(str::to_owned);
    let name = text(scenario, "scenario").unwrap_or_default();
    let steps = scenario.get("steps").and_then(Value::as_array);
    let lines = steps.into_iter().flatten().map(|step| {
        let mut value = step.clone();
        for key in ["env", "setup", "sysctl"] {
            if let (Some(of), Some(own)) = (value.as_object_mut(), scenario.get(key)) {
                of.insert(key.to_owned(), own.clone());
            }
        }
        let label = text(step, "label").unwrap_or_default();
        let name = format!("{name}: {label}");
        Line { name, value }
    });
    Case {
        suite: Suite::Packets,
        lines: lines.collect(),
    }
}

pub(super) fn replay(lines: &[Line]) -> Result<Vec<Outcome>> {
    let first = lines.first().context("a case has a line")?;
    let step = Step::deserialize(&first.value)?;
    let (mut commands, mut unreachable, mut rule) = (vec![], vec![], sysctl_rule(&first.value));
    for words in &step.setup {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["ipvsadm", rest @ ..] => commands.push(rest.to_vec()),
            ["ip", "route", "add", "unreachable", prefix]
            | ["ip", "-6", "route", "add", "unreachable", prefix] => unreachable.push(*prefix),
            [program, ..] => rule = rule.or_else(|| Some((*program).to_owned())),
            [] => bail!("an empty command"),
        }
    }
    let fib = || fib(step.env.mtu_r, &unreachable);
    if rule.is_none() && has_local_server(&commands, &fib()?) {
        rule = Some("ICMP errors of a server that is the director".to_owned());
    }
    let mut lab = Lab::at(fib)?;
    if rule.is_none() {
        rule = lab.set_up(&commands)?;
    }
    let mut run = Run {
        lab,
        rule,
        is_whole: true,
        has_learned: false,
    };
    lines.iter().map(|line| run.step(&line.value)).collect()
}

/// A real server is the director itself: its errors come from Linux, and would count.
fn has_local_server(commands: &[Vec<&str>], fib: &Fib) -> bool {
    let servers = commands.iter().filter_map(|words| {
        let place = words.iter().position(|word| *word == "-r")?;
        words.get(place + 1)?.parse::<SocketAddrV4>().ok()
    });
    let mut servers = servers.map(|server| Addr4::from(*server.ip()));
    servers.any(|server| fib.is_local::<V4>(server))
}

/// The laboratory with another MTU towards the servers, and networks that can't be reached.
fn fib(mtu: u32, unreachable: &[&str]) -> Result<Fib> {
    let mut networks = Vec::new();
    for prefix in unreachable {
        let (address, len) = prefix.split_once('/').context("a prefix has a length")?;
        networks.push((address.parse::<IpAddr>()?, len.parse()?));
    }
    laboratory_with(&[], mtu, 1, |b: &mut FibBuilder, _| {
        for (address, len) in networks {
            match address {
                IpAddr::V4(a) => b.route::<V4>(Addr4::from(a), len, Target::Unreachable),
                IpAddr::V6(a) => b.route::<V6>(Addr6::from(a), len, Target::Unreachable),
            };
        }
    })
}

struct Run {
    lab: Lab,
    /// Leaves all further steps out.
    rule: Option<String>,
    /// Every step so far was played.
    is_whole: bool,
    /// A path MTU was told of in a step that was left out.
    has_learned: bool,
}

impl Run {
    fn step(&mut self, line: &Value) -> Result<Outcome> {
        if let Some(rule) = &self.rule {
            return Ok(Outcome::Excluded(rule.clone()));
        }
        let step = Step::deserialize(line)?;
        self.lab.until(ms(step.t));
        match &step.packet {
            Some(packet) => self.packet(&step, packet),
            None => self.command(&step),
        }
    }

    fn command(&mut self, step: &Step) -> Result<Outcome> {
        let words: Vec<&str> = step.cmd.split(' ').collect();
        let ["ipvsadm", words @ ..] = words.as_slice() else {
            return Ok(Outcome::Excluded("another program".to_owned()));
        };
        let said = self.lab.run(words)?;
        if let Some(rule) = said.missing {
            self.rule = Some(rule.clone());
            return Ok(Outcome::Excluded(rule));
        }
        if !self.lab.has_services() {
            let rule = "stated difference: last service removed".to_owned();
            self.rule = Some(rule.clone());
            return Ok(Outcome::Excluded(rule));
        }
        if !self.is_whole && !step.stdout.is_empty() {
            return Ok(Outcome::Excluded("behind a step left out".to_owned()));
        }
        let mut ledger = Ledger::default();
        ledger.compare("/rc", &step.rc, &said.rc);
        ledger.compare("/stdout", &step.stdout, &said.stdout);
        ledger.compare("/stderr", &step.stderr, &said.stderr);
        Ok(Outcome::Compared(ledger))
    }

    fn packet(&mut self, step: &Step, packet: &Written) -> Result<Outcome> {
        let frame = frame::bytes(&packet.hex).context("a frame in hexadecimal")?;
        let counted = step.counted.as_ref().context("a packet has its counts")?;
        if let Some(rule) = not_built(&frame, &step.out) {
            let changes = counted.conns + counted.inpkts + counted.outpkts > 0;
            self.is_whole &= !changes;
            self.has_learned |= frame::tells_mtu(&frame);
            if counted.conns > 0 {
                // Whatever belongs to its connection would begin one here.
                self.rule = Some("behind a connection left out".to_owned());
            }
            return Ok(Outcome::Excluded(rule.to_owned()));
        }
        if self.has_learned && step.out.iter().any(Seen::is_error) {
            return Ok(Outcome::Excluded("behind a path MTU learned".to_owned()));
        }
        let mut ledger = Ledger::default();
        let before = self.lab.counted();
        let sent = self.lab.send_frame(side(&packet.interface)?, &frame)?;
        let here = self.lab.counted().since(before);
        compare_counts(&mut ledger, counted, here);
        compare_frames(&mut ledger, &step.out, sent)?;
        if let (Some(conns), Some((from, to)), true) = (&step.conns, step.t_conns, self.is_whole) {
            let window = Window::look(&mut self.lab, ms(from), ms(to))?;
            let entries: Vec<Entry> = conns.iter().map(|line| Entry::parse(line)).collect();
            window.compare(&mut ledger, "/conns", &entries);
        }
        Ok(Outcome::Compared(ledger))
    }
}

fn side(interface: &str) -> Result<Side> {
    Ok(match interface {
        "c0" => Side::Client,
        "r0" => Side::Server,
        _ => bail!("{interface} is no interface of the laboratory"),
    })
}

/// The feature that a packet needs and that there is not yet.
fn not_built(packet: &[u8], out: &[Seen]) -> Option<&'static str> {
    let cut = |seen: &Seen| frame::bytes(&seen.hex).is_some_and(|f| frame::is_fragment(&f));
    if frame::is_fragment(packet) {
        Some("fragments")
    } else if out.iter().any(cut) {
        Some("fragmentation")
    } else if frame::is_icmp_error(packet) {
        Some("ICMP errors")
    } else if frame::records_route(packet) {
        Some("record route")
    } else {
        None
    }
}

fn compare_counts(ledger: &mut Ledger, recorded: &Counted, here: Counters) {
    for (name, recorded, here) in [
        ("conns", recorded.conns, here.connections),
        ("inpkts", recorded.inpkts, here.in_packets),
        ("outpkts", recorded.outpkts, here.out_packets),
        ("inbytes", recorded.inbytes, here.in_bytes),
        ("outbytes", recorded.outbytes, here.out_bytes),
    ] {
        ledger.compare(format!("/counted/{name}"), &recorded, &here);
    }
}

/// Frames of one side are compared in their order.
fn compare_frames(ledger: &mut Ledger, out: &[Seen], mut sent: Sent) -> Result<()> {
    // Where the kernel's router judges a reply before its hook sees it, the director does too.
    let is_own = |seen: &Seen| seen.is_ipvs() || (seen.is_error() && sent.punted.is_empty());
    let (own, linux): (Vec<_>, Vec<_>) = out.iter().enumerate().partition(|(_, s)| is_own(s));
    for (at, seen) in own {
        let field = format!("/out/{at}/hex");
        let recorded = frame::bytes(&seen.hex);
        let side = side(&seen.interface)?;
        let Some(place) = sent.left.iter().position(|(left, _)| *left == side) else {
            let lost = &sent.lost;
            ledger.note(field, Some(format!("recorded {}, here {lost:?}", seen.hex)));
            continue;
        };
        let (_, here) = sent.left.remove(place);
        let recorded = Bytes::of(recorded.unwrap_or_default(), seen.is_error());
        // A changed byte under the mask could not be told: such a field is none that a test may alter.
        let masked = if recorded.is_masked() { " masked" } else { "" };
        ledger.note(format!("{field}{masked}"), recorded.wrong(&here));
    }
    for (class, ..) in &sent.punted {
        let stand_in = match class {
            PuntClass::Forwarded => StandIn::Router,
            _ => StandIn::Stack,
        };
        *ledger.stand_ins.entry(stand_in).or_default() += 1;
    }
    let missed = (!linux.is_empty() && sent.punted.is_empty())
        .then(|| format!("not Linux's: {:?}", sent.lost));
    let sides: Vec<Side> = sent.left.iter().map(|(side, _)| *side).collect();
    let extra = (!sides.is_empty()).then(|| format!("frames that were not recorded: {sides:?}"));
    ledger.note("/out as a whole", missed.or(extra));
    Ok(())
}
