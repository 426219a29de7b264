//! `sched.jsonl`: which server each new connection goes to, and what the listings say in the end.

use super::case::{Case, Line};
use super::lab::{Lab, Said};
use super::ledger::Ledger;
use super::listing::{Entry, Window, ms};
use super::masks::Mask;
use super::random;
use super::sysctl;
use super::way::Way;
use crate::{Side, frames};
use anyhow::{Context, Result, bail, ensure};
use pvs_proto::Protocol;
use pvs_proto::wire::tcp::{ACK, FIN, RST, SYN};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::SocketAddr;

/// Payload of a recorded datagram.
pub(super) const PAYLOAD: &[u8] = &[b'x'; 10];

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

/// How long after its start the last command of a scenario may have read what it shows: nothing
/// behind it tells. The recorder's machine took a tenth of a second for one.
const LAST_MS: u64 = 500;

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
        random: (scenario.scheduler == "twos").then(BTreeSet::new),
    };
    for (at, event) in scenario.events.iter().enumerate() {
        let next_ms = match scenario.events.get(at + 1) {
            Some(next) => next.ms(),
            None => scenario
                .connections_t
                .map_or(event.ms() + LAST_MS, |(t, _)| ms(t)),
        };
        run.event(&format!("/events/{at}"), event, next_ms)?;
    }
    run.end(&scenario)?;
    if run.random.is_some() {
        run.distribution(&scenario)?;
    }
    Ok(run.ledger)
}

struct Run {
    lab: Lab,
    ledger: Ledger,
    /// Each connection's first packet, but for those of which nothing can be said.
    picked: Vec<Option<Picked>>,
    /// The clients so far, if picks are random.
    random: Option<BTreeSet<SocketAddr>>,
}

/// Where the first packet of a connection went, and what can be said of it.
#[derive(Clone)]
struct Picked {
    to: Option<String>,
    /// The servers that were possible, if the pick was random.
    possible: Option<BTreeSet<String>>,
}

impl Picked {
    /// Compares it with what was recorded; of a random server only whether it was possible.
    fn compare(&self, ledger: &mut Ledger, field: String, recorded: Option<&String>) {
        let here = self.to.as_ref();
        let (Some(possible), Some(server), Some(_)) = (&self.possible, recorded, here) else {
            return ledger.compare(field, &recorded, &here);
        };
        let is_server = |to: &String| to.starts_with("rs");
        if !is_server(server) || !here.is_some_and(is_server) {
            return ledger.compare(field, &recorded, &here);
        }
        let impossible = |to: &&String| !possible.contains(*to);
        let wrong = [recorded, here].into_iter().flatten().find(impossible);
        ledger.mask(Mask::RandomPick);
        let number = "rs".len()..server.len();
        ledger.note_masked(
            field,
            Vec::from([number]),
            wrong.map(|to| format!("recorded {recorded:?}, here {here:?}: {to} was not possible")),
        );
    }
}

impl Run {
    fn event(&mut self, field: &str, event: &Event, next_ms: u64) -> Result<()> {
        self.lab.until(event.ms());
        match event {
            Event::Syn(p) => {
                self.first(field, p, &segment(p, SYN))?;
            }
            Event::Udp(p) => {
                self.first(field, p, &frames::udp(p.src, p.dst, PAYLOAD))?;
            }
            Event::Ack(p) => self.later(field, p, &segment(p, ACK))?,
            Event::Fin(p) => self.later(field, p, &segment(p, FIN | ACK))?,
            Event::Rst(p) => self.later(field, p, &segment(p, RST))?,
            Event::Ipvsadm(step) => self.step(field, step, next_ms)?,
            Event::Cmd(program) => {
                let said = self.lab.iptables(&program.argv)?;
                ensure!(said == Said::default(), "{:?}: {said:?}", program.argv);
            }
            Event::Sleep(_) => {}
        }
        Ok(())
    }

    /// The first packet of a connection.
    fn first(&mut self, field: &str, recorded: &Packet, sent: &[u8]) -> Result<()> {
        let known = match &mut self.random {
            Some(clients) => !clients.insert(recorded.src),
            None => false,
        };
        if known || (self.random.is_some() && random::has_thresholds(&self.lab)) {
            // Where it goes follows from where others went at random.
            self.picked.push(None);
            return self.later(field, recorded, sent);
        }
        let possible = self.random.as_ref().map(|_| random::possible(&self.lab));
        let ways = self.lab.send(Side::Client, sent, &mut self.ledger)?;
        let to = told(&ways, Way::to);
        let picked = Picked { to, possible };
        let ledger = &mut self.ledger;
        picked.compare(ledger, format!("{field}/to"), recorded.to.as_ref());
        by(ledger, field, recorded, &ways);
        self.picked.push(Some(picked));
        Ok(())
    }

    /// A packet of a connection that there is.
    fn later(&mut self, field: &str, recorded: &Packet, sent: &[u8]) -> Result<()> {
        let ways = self.lab.send(Side::Client, sent, &mut self.ledger)?;
        if self.random.is_some() {
            self.ledger.mask(Mask::RandomPick);
            return Ok(());
        }
        let to = told(&ways, Way::to);
        let ledger = &mut self.ledger;
        ledger.compare(format!("{field}/to"), &recorded.to, &to);
        by(ledger, field, recorded, &ways);
        Ok(())
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
            if self.random.is_some() {
                ledger.mask(Mask::RandomPick);
                return Ok(());
            }
            let window = Window::look(&mut self.lab, ms(step.t), next_ms)?;
            self.ledger.note(field, window.wrong_text(&step.stdout));
        } else {
            self.listing(field, &step.stdout, &said.stdout);
        }
        Ok(())
    }

    /// Compares a listing of services; without counts of connections where picks are random.
    fn listing(&mut self, field: String, recorded: &str, here: &str) {
        if self.random.is_none() {
            return self.ledger.compare(field, recorded, here);
        }
        let ((recorded, masked), (here, _)) = (
            random::without_counts(recorded),
            random::without_counts(here),
        );
        let wrong = (recorded != here).then(|| format!("recorded {recorded:?}, here {here:?}"));
        if !masked.is_empty() {
            self.ledger.mask(Mask::RandomPick);
        }
        self.ledger.note_masked(field, masked, wrong);
    }

    /// Compares what is left when all events are over.
    fn end(&mut self, scenario: &Scenario) -> Result<()> {
        let ledger = &mut self.ledger;
        let count = scenario.picked.len().max(self.picked.len());
        for at in 0..count {
            let field = format!("/picked/{at}");
            match (scenario.picked.get(at), self.picked.get(at)) {
                (Some(_), Some(None)) => ledger.mask(Mask::RandomPick),
                (Some(recorded), Some(Some(here))) => {
                    here.compare(ledger, field, recorded.as_ref());
                }
                (recorded, here) => {
                    ledger.compare(field, &recorded.is_some(), &here.is_some());
                }
            }
        }
        let said = self.lab.run(&["-Ln"])?;
        self.listing("/final_Ln".to_owned(), &scenario.services, &said.stdout);
        let Some(lines) = &scenario.connections else {
            return Ok(());
        };
        if self.random.is_some() {
            self.ledger.mask(Mask::RandomPick);
            return Ok(());
        }
        let (from, to) = scenario.connections_t.context("when final_Lnc was read")?;
        let window = Window::look(&mut self.lab, ms(from), ms(to))?;
        let entries: Vec<Entry> = lines.iter().map(|line| Entry::parse(line)).collect();
        window.compare(&mut self.ledger, "/final_Lnc", &entries);
        Ok(())
    }

    /// Judges the distribution of further connections to the address of the first one.
    fn distribution(&mut self, scenario: &Scenario) -> Result<()> {
        let first = scenario.events.iter().find_map(|event| match event {
            Event::Syn(p) => Some((p.dst, Protocol::TCP)),
            Event::Udp(p) => Some((p.dst, Protocol::UDP)),
            _ => None,
        });
        let Some((to, protocol)) = first else {
            return Ok(());
        };
        let now_ms = scenario.events.last().map_or(0, Event::ms);
        random::judge(&mut self.lab, &mut self.ledger, now_ms, to, protocol)
    }
}

/// Whose answer it was, where that was recorded.
fn by(ledger: &mut Ledger, field: &str, recorded: &Packet, ways: &[Way]) {
    if let Some(by) = &recorded.by {
        let here = told(ways, |way| way.by().map(str::to_owned));
        ledger.compare(format!("{field}/by"), &Some(by), &here.as_ref());
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
pub(super) fn told(ways: &[Way], word: impl Fn(Way) -> Option<String>) -> Option<String> {
    let words: Vec<String> = ways.iter().filter_map(|way| word(*way)).collect();
    (!words.is_empty()).then(|| words.join(" and "))
}
