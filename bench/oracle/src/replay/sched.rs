//! `sched.jsonl`: which server each new connection goes to, and what the listings say in the end.

use super::case::{Case, Line, Outcome, Suite, sysctl_rule};
use super::lab::Lab;
use super::ledger::Ledger;
use super::listing::{Entry, Window, ms};
use super::way::Way;
use crate::{Side, frames};
use anyhow::{Context, Result};
use pvs_proto::Protocol;
use pvs_proto::wire::tcp::{ACK, FIN, RST, SYN};
use pvs_sched::SchedulerName;
use serde::Deserialize;
use serde_json::Value;
use std::net::SocketAddr;

/// Payload of a recorded datagram.
const PAYLOAD: &[u8] = &[b'x'; 10];

#[derive(Deserialize)]
struct Scenario {
    scheduler: String,
    setup: Vec<Vec<String>>,
    events: Vec<Event>,
    picked: Vec<Option<String>>,
    #[serde(rename = "final_Ln")]
    services: String,
    #[serde(rename = "final_Lnc")]
    connections: Option<Vec<String>>,
    #[serde(rename = "t_final_Lnc")]
    connections_t: Option<(f64, f64)>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Event {
    Syn(Packet),
    Ack(Packet),
    Fin(Packet),
    Rst(Packet),
    Udp(Packet),
    Ipvsadm(Step),
    Cmd(Moment),
    Sleep(Moment),
}

#[derive(Deserialize)]
struct Packet {
    src: SocketAddr,
    dst: SocketAddr,
    to: Option<String>,
    by: Option<String>,
    t: f64,
}

#[derive(Deserialize)]
struct Step {
    argv: Vec<String>,
    rc: i64,
    #[serde(default)]
    stdout: String,
    #[serde(default)]
    stderr: String,
    t: f64,
}

#[derive(Deserialize)]
struct Moment {
    t: f64,
}

impl Event {
    fn ms(&self) -> u64 {
        ms(match self {
            Self::Syn(p) | Self::Ack(p) | Self::Fin(p) | Self::Rst(p) | Self::Udp(p) => p.t,
            Self::Ipvsadm(step) => step.t,
            Self::Cmd(moment) | Self::Sleep(moment) => moment.t,
        })
    }
}

/// A director for each scenario.
pub(super) fn cases(lines: Vec<Value>) -> Vec<Case> {
    let case = |value: Value| {
        let name = value.get("scenario").and_then(Value::as_str);
        Case::single(Suite::Sched, name.unwrap_or("?").to_owned(), value)
    };
    lines.into_iter().map(case).collect()
}

pub(super) fn replay(lines: &[Line]) -> Result<Vec<Outcome>> {
    lines.iter().map(|line| scenario(&line.value)).collect()
}

fn scenario(line: &Value) -> Result<Outcome> {
    let scenario = Scenario::deserialize(line)?;
    let rule = excluded(&scenario).or_else(|| sysctl_rule(line));
    if let Some(rule) = rule {
        return Ok(Outcome::Excluded(rule));
    }
    let mut lab = Lab::new()?;
    if let Some(rule) = lab.set_up(&scenario.setup)? {
        return Ok(Outcome::Excluded(rule));
    }
    let mut run = Run {
        lab,
        ledger: Ledger::default(),
        picked: Vec::new(),
    };
    for (at, event) in scenario.events.iter().enumerate() {
        let next_ms = match scenario.events.get(at + 1) {
            Some(next) => next.ms(),
            None => scenario.connections_t.map_or(event.ms(), |(t, _)| ms(t)),
        };
        if let Some(rule) = run.event(&format!("/events/{at}"), event, next_ms)? {
            return Ok(Outcome::Excluded(rule));
        }
    }
    run.end(&scenario)?;
    Ok(Outcome::Compared(run.ledger))
}

/// The rule that leaves a scenario out before anything is done.
fn excluded(scenario: &Scenario) -> Option<String> {
    if SchedulerName::named(&scenario.scheduler).is_none() {
        return Some(format!("scheduler {}", scenario.scheduler));
    }
    let program = |words: &Vec<String>| words.first().filter(|w| !w.starts_with('-')).cloned();
    if let Some(other) = scenario.setup.iter().find_map(program) {
        return Some(other);
    }
    let command = |event: &Event| matches!(event, Event::Cmd(_));
    let commands = scenario.events.iter().any(command);
    commands.then(|| "another program".to_owned())
}

struct Run {
    lab: Lab,
    ledger: Ledger,
    picked: Vec<Option<String>>,
}

impl Run {
    /// Plays an event; returns the rule that leaves the scenario out, if it meets one.
    fn event(&mut self, field: &str, event: &Event, next_ms: u64) -> Result<Option<String>> {
        self.lab.until(event.ms());
        match event {
            Event::Syn(p) => {
                let to = self.packet(field, p, &segment(p, SYN))?;
                self.picked.push(to);
            }
            Event::Udp(p) => {
                let to = self.packet(field, p, &frames::udp(p.src, p.dst, PAYLOAD))?;
                self.picked.push(to);
            }
            Event::Ack(p) => drop(self.packet(field, p, &segment(p, ACK))?),
            Event::Fin(p) => drop(self.packet(field, p, &segment(p, FIN | ACK))?),
            Event::Rst(p) => drop(self.packet(field, p, &segment(p, RST))?),
            Event::Ipvsadm(step) => return self.step(field, step, next_ms),
            Event::Cmd(_) | Event::Sleep(_) => {}
        }
        Ok(None)
    }

    fn packet(&mut self, field: &str, recorded: &Packet, sent: &[u8]) -> Result<Option<String>> {
        let ways = self.lab.send(Side::Client, sent, &mut self.ledger)?;
        let to = told(&ways, Way::to);
        self.ledger
            .compare(format!("{field}/to"), &recorded.to, &to);
        if let Some(by) = &recorded.by {
            let here = told(&ways, |way| way.by().map(str::to_owned));
            self.ledger
                .compare(format!("{field}/by"), &Some(by), &here.as_ref());
        }
        Ok(to)
    }

    fn step(&mut self, field: &str, step: &Step, next_ms: u64) -> Result<Option<String>> {
        let said = self.lab.run(&step.argv)?;
        if said.missing.is_some() {
            return Ok(said.missing);
        }
        let ledger = &mut self.ledger;
        ledger.compare(format!("{field}/rc"), &step.rc, &said.rc);
        ledger.compare(format!("{field}/stderr"), &step.stderr, &said.stderr);
        let field = format!("{field}/stdout");
        if step.argv.iter().any(|word| word == "-Lnc") {
            let window = Window::look(&mut self.lab, ms(step.t), next_ms)?;
            self.ledger.note(field, window.wrong_text(&step.stdout));
        } else {
            ledger.compare(field, &step.stdout, &said.stdout);
        }
        Ok(None)
    }

    /// Compares what is left when all events are over.
    fn end(&mut self, scenario: &Scenario) -> Result<()> {
        let count = scenario.picked.len().max(self.picked.len());
        for at in 0..count {
            let (recorded, here) = (scenario.picked.get(at), self.picked.get(at));
            self.ledger
                .compare(format!("/picked/{at}"), &recorded, &here);
        }
        let said = self.lab.run(&["-Ln"])?;
        self.ledger
            .compare("/final_Ln", &scenario.services, &said.stdout);
        if let Some(lines) = &scenario.connections {
            let (from, to) = scenario.connections_t.context("when final_Lnc was read")?;
            let window = Window::look(&mut self.lab, ms(from), ms(to))?;
            let entries: Vec<Entry> = lines.iter().map(|line| Entry::parse(line)).collect();
            window.compare(&mut self.ledger, "/final_Lnc", &entries);
        }
        Ok(())
    }
}

/// A client's segment: the SYN has number 1000, all others come after it.
fn segment(packet: &Packet, signal: u8) -> Vec<u8> {
    let seq = if signal == SYN { 1000 } else { 1001 };
    let (src, dst) = (packet.src, packet.dst);
    let segment = frames::tcp_segment(src.port(), dst.port(), seq, 0, signal, b"");
    frames::ip(src.ip(), dst.ip(), Protocol::TCP, segment)
}

/// What all ways of a packet say together: one word, if all is well.
fn told(ways: &[Way], word: impl Fn(Way) -> Option<String>) -> Option<String> {
    let words: Vec<String> = ways.iter().filter_map(|way| word(*way)).collect();
    (!words.is_empty()).then(|| words.join(" and "))
}
