//! `states.jsonl`: what each packet does to a connection's state and timer.
//!
//! A sequence has a director of its own. Transitions with the same protocol, method and sysctls
//! were recorded in one director, one after the other, each with a client port of its own.

use super::case::{Case, Line};
use super::lab::Lab;
use super::ledger::Ledger;
use super::listing::{Entry, Window, load, ms};
use super::stated::Stated;
use super::sysctl;
use super::unhooked::Hooks;
use super::way::Way;
use crate::{Side, frames};
use anyhow::{Context, Result, bail};
use pvs_dataplane::reason::DropReason;
use pvs_proto::Protocol;
use pvs_proto::wire::sctp::chunk;
use pvs_proto::wire::tcp::{ACK, FIN, PSH, RST, SYN};
use serde::Deserialize;
use serde_json::Value;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

const VIP: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 100));
const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 1, 1));
/// The client of every sequence.
const CLIENT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 9, 0, 1)), 4001);

/// Payload of a recorded datagram.
const PAYLOAD: &[u8] = &[b'x'; 10];

#[derive(Deserialize)]
struct Sequence {
    name: String,
    setup: Vec<Vec<String>>,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    step: String,
    t: f64,
    t_conns: Option<(f64, f64)>,
    #[serde(default)]
    forwarded: Vec<String>,
    #[serde(default)]
    conns: Vec<Entry>,
    active: Option<u64>,
    inactive: Option<u64>,
    #[serde(default)]
    rc: i64,
    #[serde(default)]
    stdout: String,
    #[serde(default)]
    stderr: String,
}

#[derive(Deserialize)]
struct Transition {
    proto: String,
    mode: String,
    path: String,
    client: SocketAddr,
    path_t: Vec<f64>,
    t_before: (f64, f64),
    before: Option<(String, String)>,
    from: String,
    packet: String,
    t: f64,
    t_after: (f64, f64),
    after: Option<(String, String)>,
    out: Vec<String>,
}

/// A protocol with the port of its service.
#[derive(Clone, Copy)]
enum Service {
    Tcp,
    Udp,
    Sctp,
}

impl Service {
    fn named(name: &str) -> Result<Self> {
        Ok(match name {
            "tcp" => Self::Tcp,
            "udp" => Self::Udp,
            "sctp" => Self::Sctp,
            _ => bail!("{name} is no protocol"),
        })
    }

    const fn port(self) -> u16 {
        match self {
            Self::Tcp => 80,
            Self::Udp => 53,
            Self::Sctp => 3868,
        }
    }

    const fn option(self) -> &'static str {
        match self {
            Self::Tcp => "-t",
            Self::Udp => "-u",
            Self::Sctp => "--sctp-service",
        }
    }
}

/// A director for each sequence, and one for each run of transitions that had one.
pub(super) fn cases(lines: Vec<Value>) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let mut last = None;
    for value in lines {
        let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
        match text("kind") {
            "sequence" => {
                let name = format!("{} {}", text("name"), text("mode"));
                cases.push(Line::new(name, value).into());
                last = None;
            }
            "transition" => {
                let director = ["proto", "mode", "sysctl"].map(|key| value.get(key).cloned());
                let [proto, mode, path] = ["proto", "mode", "path"].map(text);
                let [from, packet] = ["from", "packet"].map(text);
                let name = format!("{proto} {mode}: {path} then {from}:{packet}");
                let same = last.as_ref() == Some(&director);
                match cases.last_mut().filter(|_| same) {
                    Some(case) => case.lines.push(Line::new(name, value)),
                    None => cases.push(Line::new(name, value).into()),
                }
                last = Some(director);
            }
            _ => {
                let name = text("kind").to_owned();
                cases.push(Case::from(Line {
                    is_case: false,
                    ..Line::new(name, value)
                }));
                last = None;
            }
        }
    }
    cases
}

pub(super) fn replay(lines: &[Line]) -> Result<Vec<Ledger>> {
    let first = lines.first().context("a case has a line")?;
    let mut lab = Lab::new()?;
    if first.value.get("values").is_some() {
        return Ok(vec![sysctl::compare_defaults(&mut lab, &first.value)?]);
    }
    sysctl::set(&mut lab, &first.value)?;
    if first.value.get("steps").is_some() {
        let sequence = Sequence::deserialize(&first.value)?;
        lab.set_up(&sequence.setup)?;
        return Ok(vec![run_sequence(&mut lab, &sequence)?]);
    }
    lab.set_up(&setup(&Transition::deserialize(&first.value)?)?)?;
    let outcome = |line: &Line| run_transition(&mut lab, &Transition::deserialize(&line.value)?);
    lines.iter().map(outcome).collect()
}

/// The service and the server of a run of transitions.
fn setup(transition: &Transition) -> Result<[Vec<String>; 2]> {
    let service = Service::named(&transition.proto)?;
    let method = match transition.mode.as_str() {
        "nat" => "-m",
        "dr" => "-g",
        "tun" => "-i",
        mode => bail!("{mode} is no mode"),
    };
    let (option, port) = (service.option(), service.port());
    let words = |line: String| line.split(' ').map(str::to_owned).collect();
    Ok([
        words(format!("-A {option} {VIP}:{port} -s rr")),
        words(format!(
            "-a {option} {VIP}:{port} -r {SERVER}:{port} {method}"
        )),
    ])
}

fn run_sequence(lab: &mut Lab, sequence: &Sequence) -> Result<Ledger> {
    let (protocol, _) = sequence.name.split_once('/').unwrap_or_default();
    let service = Service::named(protocol)?;
    let (mut ledger, mut hooks) = (Ledger::default(), Hooks::default());
    for (at, step) in sequence.steps.iter().enumerate() {
        let field = format!("/steps/{at}");
        lab.until(ms(step.t));
        let mut words = step.step.split(' ');
        if words.next() == Some("ipvsadm") {
            let said = lab.run(&words.collect::<Vec<_>>())?;
            if let Some(missing) = said.missing {
                bail!("not built: {missing}");
            }
            ledger.compare(format!("{field}/rc"), &step.rc, &said.rc);
            ledger.compare(format!("{field}/stdout"), &step.stdout, &said.stdout);
            ledger.compare(format!("{field}/stderr"), &step.stderr, &said.stderr);
            hooks.look(lab);
            continue;
        }
        let mut left = Vec::new();
        if let Some((from, packet)) = step.step.split_once(':') {
            let (side, bytes) = packet_of(service, CLIENT, from, packet)?;
            let alone = lab.without_hooks(side, &bytes);
            let ways = lab.send(side, &bytes, &mut ledger)?;
            let dropped = [Way::Dropped(DropReason::ServerRemoved.label())];
            left = ways.iter().filter_map(|way| way.interface()).collect();
            if hooks.are_gone() && ways == dropped && left != alone {
                ledger.excuse(Stated::LastService);
                left = alone;
            }
        }
        ledger.compare(format!("{field}/forwarded"), &step.forwarded, &left);
        let (from, to) = step.t_conns.context("when the connections were read")?;
        let window = Window::look(lab, ms(from), ms(to))?;
        let conns = format!("{field}/conns");
        window.compare_hooked(&mut ledger, &conns, &step.conns, &hooks);
        hooks.remember(&step.conns, ms(from), ms(to));
        let here = load(lab, &SERVER.to_string())?;
        let (active, inactive) = (here.map(|(a, _)| a), here.map(|(_, i)| i));
        ledger.compare(format!("{field}/active"), &step.active, &active);
        ledger.compare(format!("{field}/inactive"), &step.inactive, &inactive);
    }
    Ok(ledger)
}

fn run_transition(lab: &mut Lab, transition: &Transition) -> Result<Ledger> {
    let service = Service::named(&transition.proto)?;
    let client = transition.client;
    let mut ledger = Ledger::default();
    for (step, t) in transition.path.split_whitespace().zip(&transition.path_t) {
        lab.until(ms(*t));
        let (from, packet) = step.split_once(':').context("a step is side and packet")?;
        let (side, bytes) = packet_of(service, client, from, packet)?;
        lab.send(side, &bytes, &mut ledger)?;
    }
    state(
        lab,
        &mut ledger,
        "/before",
        transition.t_before,
        client,
        &transition.before,
    )?;
    lab.until(ms(transition.t));
    let (side, bytes) = packet_of(service, client, &transition.from, &transition.packet)?;
    let ways = lab.send(side, &bytes, &mut ledger)?;
    let told = match service {
        Service::Sctp => Way::interface,
        _ => Way::kind,
    };
    let out: Vec<String> = ways.into_iter().filter_map(told).collect();
    ledger.compare("/out", &transition.out, &out);
    state(
        lab,
        &mut ledger,
        "/after",
        transition.t_after,
        client,
        &transition.after,
    )?;
    Ok(ledger)
}

/// Compares state and time left of a client's connection between two moments.
fn state(
    lab: &mut Lab,
    ledger: &mut Ledger,
    field: &str,
    (from, to): (f64, f64),
    client: SocketAddr,
    recorded: &Option<(String, String)>,
) -> Result<()> {
    let window = Window::look(lab, ms(from), ms(to))?;
    let here = window.of_client(&client.to_string());
    let wrong = match (recorded, here) {
        (None, None) => None,
        (None, Some(here)) => Some(format!("here, not recorded: {here}")),
        (Some(recorded), None) => Some(format!("recorded {recorded:?}, not here")),
        (Some((state, expire)), Some(here)) => window.wrong(&Entry {
            state: state.clone(),
            expire: expire.clone(),
            ..here.clone()
        }),
    };
    ledger.note(field, wrong);
    Ok(())
}

/// A packet by its recorded name, and the side that it comes from.
fn packet_of(
    service: Service,
    client: SocketAddr,
    from: &str,
    packet: &str,
) -> Result<(Side, Vec<u8>)> {
    let port = service.port();
    let (side, src, dst, seq, ack) = match from {
        "C" => (Side::Client, client, SocketAddr::new(VIP, port), 1000, 0),
        "S" => (
            Side::Server,
            SocketAddr::new(SERVER, port),
            client,
            5000,
            1001,
        ),
        _ => bail!("{from} is no side"),
    };
    let bytes = match service {
        Service::Tcp => {
            let signal = signal(packet)?;
            let segment = frames::tcp_segment(src.port(), dst.port(), seq, ack, signal, b"");
            frames::ip(src.ip(), dst.ip(), Protocol::TCP, segment)
        }
        Service::Udp => frames::udp(src, dst, PAYLOAD),
        Service::Sctp => {
            let (tag, kind) = match (from, packet) {
                ("C", "INIT") => (0, chunk::INIT),
                ("C", _) => (1, chunk_type(packet)?),
                _ => (2, chunk_type(packet)?),
            };
            let body: &[u8] = match kind {
                chunk::INIT | chunk::INIT_ACK => INIT_BODY,
                _ => &[0; 12],
            };
            let chunk = frames::sctp_chunk(src.port(), dst.port(), tag, kind, body);
            frames::ip(src.ip(), dst.ip(), Protocol::SCTP, chunk)
        }
    };
    Ok((side, bytes))
}

/// Of INIT and INIT ACK: initiate tag 7, window 65535, a stream each way, TSN 9.
const INIT_BODY: &[u8] = &[0, 0, 0, 7, 0, 0, 0xff, 0xff, 0, 1, 0, 1, 0, 0, 0, 9];

fn chunk_type(packet: &str) -> Result<u8> {
    Ok(match packet {
        "DATA" => chunk::DATA,
        "INIT" => chunk::INIT,
        "INIT_ACK" => chunk::INIT_ACK,
        "SACK" => 3,
        "HEARTBEAT" => 4,
        "HEARTBEAT_ACK" => 5,
        "ABORT" => chunk::ABORT,
        "SHUTDOWN" => chunk::SHUTDOWN,
        "SHUTDOWN_ACK" => chunk::SHUTDOWN_ACK,
        "ERROR" => chunk::ERROR,
        "COOKIE_ECHO" => chunk::COOKIE_ECHO,
        "COOKIE_ACK" => chunk::COOKIE_ACK,
        "SHUTDOWN_COMPLETE" => chunk::SHUTDOWN_COMPLETE,
        _ => bail!("{packet} is no SCTP packet"),
    })
}

fn signal(packet: &str) -> Result<u8> {
    Ok(match packet {
        "SYN" => SYN,
        "SYNACK" => SYN | ACK,
        "ACK" => ACK,
        "FIN" => FIN,
        "FINACK" => FIN | ACK,
        "RST" => RST,
        "RSTACK" => RST | ACK,
        "DATA" => PSH | ACK,
        "NONE" => 0,
        "SYNFIN" => SYN | FIN,
        "SYNRST" => SYN | RST,
        _ => bail!("{packet} is no TCP packet"),
    })
}
