//! `hash.jsonl`: which server each of very many clients and destinations is led to by sh, dh and
//! mh, and how many of them an edit moves.
//!
//! The stages of a name are one director's. The recording has no times: packets are sent a step
//! apart, which keeps the answers below the director's limit of ICMP errors.

use super::case::{Case, Line};
use super::lab::Lab;
use super::ledger::Ledger;
use super::sched::{PAYLOAD, told};
use super::sysctl;
use super::way::Way;
use crate::{Side, frames};
use anyhow::{Result, bail};
use pvs_proto::Protocol;
use pvs_proto::wire::tcp::SYN;
use serde::Deserialize;
use serde_json::Value;
use std::net::SocketAddr;

/// Milliseconds from one packet to the next.
const STEP_MS: u64 = 2;

#[derive(Deserialize)]
struct Stage {
    setup: Vec<Vec<String>>,
    packet: Kind,
    commands: Vec<Vec<String>>,
    rcs: Vec<i64>,
    pairs: Vec<(SocketAddr, SocketAddr, Option<String>)>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Udp,
    Syn,
}

/// A director for each name; its stages follow each other.
pub(super) fn cases(lines: Vec<Value>) -> Vec<Case> {
    let mut cases: Vec<(String, Case)> = Vec::new();
    for value in lines {
        let text = |key| value.get(key).and_then(Value::as_str).map(str::to_owned);
        let stage = value.get("stage").and_then(Value::as_u64);
        let (name, group) = (text("name").unwrap_or_default(), text("scheduler"));
        let line = format!("{name} stage {}", stage.unwrap_or_default());
        let line = Line {
            group,
            ..Line::new(line, value)
        };
        match cases.last_mut() {
            Some((last, case)) if *last == name => case.lines.push(line),
            _ => cases.push((name, Case::from(line))),
        }
    }
    cases.into_iter().map(|(_, case)| case).collect()
}

pub(super) fn replay(lines: &[Line]) -> Result<Vec<Ledger>> {
    let mut run = Run {
        lab: Lab::new()?,
        now_ms: 0,
    };
    if let Some(first) = lines.first() {
        sysctl::set(&mut run.lab, &first.value)?;
        run.lab.set_up(&Stage::deserialize(&first.value)?.setup)?;
    }
    lines.iter().map(|line| run.stage(&line.value)).collect()
}

struct Run {
    lab: Lab,
    now_ms: u64,
}

impl Run {
    fn stage(&mut self, line: &Value) -> Result<Ledger> {
        let stage = Stage::deserialize(line)?;
        let mut ledger = Ledger::default();
        for (at, (words, rc)) in stage.commands.iter().zip(&stage.rcs).enumerate() {
            let said = self.lab.run(words)?;
            if let Some(missing) = said.missing {
                bail!("not built: {missing}");
            }
            ledger.compare(format!("/rcs/{at}"), rc, &said.rc);
        }
        self.packets(&stage, &mut ledger)?;
        Ok(ledger)
    }

    fn packets(&mut self, stage: &Stage, ledger: &mut Ledger) -> Result<()> {
        for (at, (src, dst, recorded)) in stage.pairs.iter().enumerate() {
            self.now_ms += STEP_MS;
            self.lab.until(self.now_ms);
            let ways = self
                .lab
                .send(Side::Client, &stage.packet.sent(*src, *dst), ledger)?;
            let to = told(&ways, Way::to);
            ledger.compare(format!("/pairs/{at}/2"), recorded, &to);
        }
        Ok(())
    }
}

impl Kind {
    fn sent(self, src: SocketAddr, dst: SocketAddr) -> Vec<u8> {
        match self {
            Self::Udp => frames::udp(src, dst, PAYLOAD),
            Self::Syn => {
                let segment = frames::tcp_segment(src.port(), dst.port(), 1000, 0, SYN, b"");
                frames::ip(src.ip(), dst.ip(), Protocol::TCP, segment)
            }
        }
    }
}
