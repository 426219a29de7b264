//! `packets/*.jsonl`: what each frame came out as, to the byte, and what it counted.
//!
//! A scenario has a director of its own. Frames that the kernel's IPVS sent are compared but for
//! the bytes that `data/packets/README.md` says are its own at each start; of those that Linux
//! beside it sent, only that the packet went to Linux.

use super::case::{Case, Line};
use super::frame::{self, Bytes};
use super::lab::{Lab, Left, Sent};
use super::ledger::Ledger;
use super::listing::{Entry, Window, ms};
use super::stated::Stated;
use super::sysctl;
use super::tunnel::Ports;
use super::unhooked::{self, Hooks};
use super::way::By;
use crate::{Side, laboratory_with};
use anyhow::{Context, Result, bail};
use pvs_dataplane::fib::{Fib, FibBuilder, Target};
use pvs_proto::{Addr4, Addr6, V4, V6};
use pvs_sched::Counters;
use serde::Deserialize;
use serde_json::Value;
use std::net::IpAddr;

#[derive(Deserialize)]
struct Environment {
    mtu_r: u32,
}

#[derive(Deserialize)]
struct Scenario {
    env: Environment,
    setup: Vec<Vec<String>>,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
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
pub(super) struct Seen {
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
    /// Linux's stack beside IPVS made it.
    pub(super) fn is_stacks(&self) -> bool {
        self.by == "stack"
    }

    /// It went into a tunnel of GUE or GRE, or of IP in IP.
    pub(super) fn is_tunnel(&self) -> bool {
        let into = |by: &String| by.starts_with("ip_vs_tunnel_xmit");
        self.via.iter().any(into) && !self.is_error()
    }

    fn is_ipvs(&self) -> bool {
        self.by == "ipvs"
    }

    /// An ICMP error of the director's own.
    pub(super) fn is_error(&self) -> bool {
        let made = |by: &String| by == "__icmp_send" || by == "icmp6_send";
        self.via.iter().any(made)
    }
}

/// A director for each scenario.
pub(super) fn cases(lines: Vec<Value>) -> Vec<Case> {
    let case = |value: Value| {
        let name = value.get("scenario").and_then(Value::as_str);
        Line::new(name.unwrap_or_default().to_owned(), value).into()
    };
    lines.into_iter().map(case).collect()
}

pub(super) fn replay(lines: &[Line]) -> Result<Vec<Ledger>> {
    lines.iter().map(|line| scenario(&line.value)).collect()
}

fn scenario(line: &Value) -> Result<Ledger> {
    let scenario = Scenario::deserialize(line)?;
    let (mut commands, mut unreachable) = (vec![], vec![]);
    for words in &scenario.setup {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["ipvsadm", rest @ ..] => commands.push(rest.to_vec()),
            ["ip", "route", "add", "unreachable", prefix]
            | ["ip", "-6", "route", "add", "unreachable", prefix] => unreachable.push(*prefix),
            _ => commands.push(words),
        }
    }
    let mut lab = Lab::at(|| fib(scenario.env.mtu_r, &unreachable))?;
    sysctl::set(&mut lab, line)?;
    lab.set_up(&commands)?;
    let mut run = Run {
        lab,
        ledger: Ledger::default(),
        ports: Ports::new(),
        hooks: Hooks::default(),
        field: String::new(),
    };
    for (at, step) in scenario.steps.iter().enumerate() {
        run.field = format!("/steps/{at}");
        run.step(step).with_context(|| run.field.clone())?;
    }
    Ok(run.ledger)
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
    ledger: Ledger,
    ports: Ports,
    hooks: Hooks,
    /// The step that is played.
    field: String,
}

impl Run {
    fn step(&mut self, step: &Step) -> Result<()> {
        self.lab.until(ms(step.t));
        match &step.packet {
            Some(packet) => self.packet(step, packet),
            None => self.command(step),
        }
    }

    fn command(&mut self, step: &Step) -> Result<()> {
        if step.cmd == "ip route show cache" {
            self.ledger.excuse(Stated::RouteCache);
            return Ok(());
        }
        let words: Vec<&str> = step.cmd.split(' ').collect();
        let ["ipvsadm", words @ ..] = words.as_slice() else {
            bail!("another program: {}", step.cmd);
        };
        let said = self.lab.run(words)?;
        if let Some(missing) = said.missing {
            bail!("not built: {missing}");
        }
        self.hooks.look(&self.lab);
        let Self { ledger, field, .. } = self;
        ledger.compare(format!("{field}/rc"), &step.rc, &said.rc);
        ledger.compare(format!("{field}/stdout"), &step.stdout, &said.stdout);
        ledger.compare(format!("{field}/stderr"), &step.stderr, &said.stderr);
        Ok(())
    }

    fn packet(&mut self, step: &Step, packet: &Written) -> Result<()> {
        let frame = frame::bytes(&packet.hex).context("a frame in hexadecimal")?;
        let counted = step.counted.as_ref().context("a packet has its counts")?;
        let came = side(&packet.interface)?;
        let before = self.lab.counted();
        let mut sent = self.lab.send_frame(came, &frame, &mut self.ledger)?;
        let mut here = self.lab.counted().since(before);
        if self.hooks.are_gone() && unhooked::is_as_hooked(came, &sent) {
            // As recorded it must be what Linux alone does, which counts nowhere.
            self.ledger.excuse(Stated::LastService);
            sent.left = self.lab.linux_alone(&frame);
            here = Counters::default();
        }
        self.compare_counts(counted, here);
        self.compare_frames(&step.out, sent)?;
        if let (Some(conns), Some((from, to))) = (&step.conns, step.t_conns) {
            let window = Window::look(&mut self.lab, ms(from), ms(to))?;
            let entries: Vec<Entry> = conns.iter().map(|line| Entry::parse(line)).collect();
            let field = format!("{}/conns", self.field);
            window.compare_hooked(&mut self.ledger, &field, &entries, &self.hooks);
            self.hooks.remember(&entries, ms(from), ms(to));
        }
        Ok(())
    }

    fn compare_counts(&mut self, recorded: &Counted, here: Counters) {
        for (name, recorded, here) in [
            ("conns", recorded.conns, here.connections),
            ("inpkts", recorded.inpkts, here.in_packets),
            ("outpkts", recorded.outpkts, here.out_packets),
            ("inbytes", recorded.inbytes, here.in_bytes),
            ("outbytes", recorded.outbytes, here.out_bytes),
        ] {
            let field = format!("{}/counted/{name}", self.field);
            self.ledger.compare(field, &recorded, &here);
        }
    }

    /// Frames of one side are compared in their order.
    fn compare_frames(&mut self, out: &[Seen], mut sent: Sent) -> Result<()> {
        let Self { ledger, ports, .. } = self;
        for (at, seen) in out.iter().enumerate() {
            let field = format!("{}/out/{at}/hex", self.field);
            let recorded = frame::bytes(&seen.hex).context("a frame in hexadecimal")?;
            let side = side(&seen.interface)?;
            // Where the kernel's router judges a reply before its hook sees
            // it, the director does too.
            let by = |by| match by {
                By::Ipvs => seen.is_ipvs() || seen.is_error(),
                By::Stack => seen.by == "stack",
                By::Route => seen.by == "route" || (seen.by == "stack" && seen.is_error()),
            };
            let here = |left: &Left| left.side == side && by(left.by);
            let Some(place) = sent.left.iter().position(here) else {
                let bytes = recorded.len();
                let lost = &sent.lost;
                let text = format!(
                    "recorded {bytes} bytes on {}, here {lost:?}",
                    seen.interface
                );
                ledger.note(field, Some(text));
                continue;
            };
            let here = sent.left.remove(place).frame;
            Bytes::of(recorded, seen).compare(ledger, ports, field, &here);
        }
        let sides: Vec<(Side, By)> = sent.left.iter().map(|left| (left.side, left.by)).collect();
        let extra =
            (!sides.is_empty()).then(|| format!("frames that were not recorded: {sides:?}"));
        let odd = sent.punted.into_iter().flatten().next();
        ledger.note(format!("{}/out", self.field), extra.or(odd));
        Ok(())
    }
}

fn side(interface: &str) -> Result<Side> {
    Ok(match interface {
        "c0" => Side::Client,
        "r0" => Side::Server,
        _ => bail!("{interface} is no interface of the laboratory"),
    })
}
