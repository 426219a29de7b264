//! `sched.jsonl`: which server each new connection goes to, and what the listings say in the end.

use super::case::{Case, Line};
use super::lab::Lab;
use super::ledger::Ledger;
use super::listing::{Entry, Window, ms};
use super::sysctl;
use super::way::Way;
use crate::{Side, frames};
use anyhow::{Context, Result, bail};
use pvs_proto::Protocol;
use pvs_proto::wire::tcp::{ACK, FIN, RST, SYN};
use serde::Deserialize;
use serde_json::Value;
use std::net::SocketAddr;

/// Payload of a recorded datagram.
const PAYLOAD: &[u8] = &[b'x'; 10];

#[derive(Deserialize)]
struct Scenario {
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
    Cmd(Program),
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
struct Program {
    argv: Vec<String>,
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
            Self::Cmd(program) => program.t,
            Self::Sleep(moment) => moment.t,
        })
    }
}

/// A director for each scenario.
pub(super) fn cases(lines: Vec<Value>) -> Vec<Case> {
    let case = |value: Value| {
        let text = |key| value.get(key).and_then(Value::as_str).map(str::to_owned);
        let (name, group) = (text("scenario").unwrap_or_default(), text("scheduler"));
        Case::from(Line {
            group,
            ..Line::new(name, value)
        })
    };
    lines.into_iter().map(case).collect()
}

pub(super) fn replay(lines: &[Line]) -> Result<Vec<Ledger>> {
    lines.iter().map(|line| scenario(&line.value)).collect()
}

fn scenario(line: &Value) -> Result<Ledger> {
    let scenario = Scenario::deserialize(line)?;
    let mut lab = Lab::new()?;
    sysctl::set(&mut lab, line)?;
    lab.set_up(&scenario.setup)?;
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
        run.event(&format!("/events/{at}"), event, next_ms)?;
    }
    run.end(&scenario)?;
    Ok(run.ledger)
}

struct Run {
    lab: Lab,
    ledger: Ledger,
    picked: Vec<Option<String>>,
}

impl Run {
    fn event(&mut self, field: &str, event: &Event, next_ms: u64) -> Result<()> {
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
            Event::Ipvsadm(step) => self.step(field, step, next_ms)?,
            Event::Cmd(program) => bail!("another program: {:?}", program.argv),
            Event::Sleep(_) => {}
        }
        Ok(())
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

    fn step(&mut self, field: &str, step: &Step, next_ms: u64) -> Result<()> {
        let said = self.lab.run(&step.argv)?;
        if let Some(missing) = said.missing {
            bail!("not built: {missing}");
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
        Ok(())
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
