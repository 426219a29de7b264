//! A director with its control: argument vectors and packets in, texts and ways out, in virtual
//! time.
//!
//! A command takes pvsadm's own way, but for the socket: command line, store, snapshot. What the
//! server of pvs-control does between requests (publish, wait for the workers, tick the estimator)
//! is done here on the laboratory's clock.

use super::ledger::Ledger;
use super::plane::InProcess;
use super::way::Way;
use crate::{Director, Side, frames, laboratory};
use anyhow::{Result, bail, ensure};
use pvs_control::cli::{self, Asked, FileNames, Io, Link, LinkError};
use pvs_control::command::Command;
use pvs_control::limits::{ESTIMATE_PERIOD, SEEN_TIME_MAX};
use pvs_control::reply::{ConnectionView, Feature, Outcome, Refusal};
use pvs_control::{Capabilities, Cursor, Plane, Store};
use pvs_dataplane::fib::Fib;
use pvs_dataplane::punt::PuntClass;
use pvs_proto::{V4, V6};
use pvs_sched::{Counters, ServerIndex};
use serde_json::Value;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

/// What pvsd says of this dataplane.
const CAPABILITIES: Capabilities = Capabilities::BASIC
    .with(Feature::Ipv6)
    .with(Feature::Tunnel);

/// What sysctls that are set in recordings are by default.
const SYSCTL_DEFAULTS: [(&str, i64); 7] = [
    ("/conn_reuse_mode", 1),
    ("/expire_nodest_conn", 0),
    ("/nat_icmp_send", 0),
    ("/pmtu_disc", 1),
    ("/schedule_icmp", 0),
    ("/secure_tcp", 0),
    ("/sloppy_tcp", 0),
];

/// What a command said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Its exit status.
    pub rc: i64,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
    /// What it asked for and the dataplane can't do.
    pub missing: Option<String>,
}

/// What became of a frame.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Frames that left.
    pub left: Vec<(Side, Vec<u8>)>,
    /// Frames that went to Linux.
    pub punted: Vec<(PuntClass, Side, Vec<u8>)>,
    /// The reasons for which a packet was dropped.
    pub lost: Vec<&'static str>,
}

/// Servers that a recording has, at most.
const SERVERS_MAX: u32 = 64;

/// The laboratory.
pub struct Lab {
    plane: InProcess,
    store: Store,
    fib: Arc<Fib>,
    now_ms: u64,
    next_tick_ms: u64,
}

impl Lab {
    /// A director without services, at time 0.
    ///
    /// # Errors
    /// If the engine's memory can't be had.
    pub fn new() -> Result<Self> {
        Self::at(|| laboratory(&[]))
    }

    /// The same with other forwarding information, as `fib` makes it.
    ///
    /// # Errors
    /// If there is none, or the engine's memory can't be had.
    pub fn at(fib: impl Fn() -> Result<Fib>) -> Result<Self> {
        let mut director = Director::new()?;
        director.route(fib()?);
        let fib = Arc::new(fib()?);
        let mut store = Store::new(CAPABILITIES);
        let locals = Arc::clone(&fib);
        store.set_locality(Arc::new(move |address: IpAddr| match address {
            IpAddr::V4(a) => locals.is_local::<V4>(a.into()),
            IpAddr::V6(a) => locals.is_local::<V6>(a.into()),
        }));
        Ok(Self {
            plane: InProcess { director },
            store,
            fib,
            now_ms: 0,
            next_tick_ms: period_ms(),
        })
    }

    /// Lets time pass until `ms` milliseconds after the beginning; not at all if that is over.
    pub fn until(&mut self, ms: u64) {
        while self.next_tick_ms <= ms {
            self.pass(self.next_tick_ms);
            self.store.tick(&self.plane);
            self.next_tick_ms += period_ms();
        }
        self.pass(ms);
    }

    fn pass(&mut self, ms: u64) {
        if let Some(span) = ms.checked_sub(self.now_ms).filter(|span| *span > 0) {
            self.plane.director.sleep_ms(span);
            self.now_ms = ms;
        }
    }

    /// Runs a command line; `words` are what follows the program's name.
    ///
    /// # Errors
    /// If a stream fails.
    pub fn run<S: AsRef<str>>(&mut self, words: &[S]) -> Result<Said> {
        let words = words.iter().map(|word| word.as_ref().to_owned());
        let argv: Vec<String> = std::iter::once("ipvsadm".to_owned()).chain(words).collect();
        let names = FileNames::parse("", "");
        let (mut output, mut errors) = (Vec::new(), Vec::new());
        let mut io = Io {
            input: &mut std::io::empty(),
            output: &mut output,
            errors: &mut errors,
        };
        let mut link = Direct {
            lab: self,
            missing: None,
        };
        let rc = cli::run(&argv, &names, &mut link, &mut io)?;
        Ok(Said {
            rc: rc.into(),
            missing: link.missing,
            stdout: String::from_utf8(output)?,
            stderr: String::from_utf8(errors)?,
        })
    }

    /// There is a service.
    #[must_use]
    pub fn has_services(&self) -> bool {
        self.store.snapshot().services().next().is_some()
    }

    /// Runs commands that must do something and say nothing; those that name no program are ipvsadm's.
    ///
    /// # Errors
    /// If a command fails.
    pub fn set_up<S: AsRef<str>>(&mut self, commands: &[Vec<S>]) -> Result<()> {
        for words in commands {
            if let Some(program) = words.first().filter(|word| !word.as_ref().starts_with('-')) {
                bail!("another program: {}", program.as_ref());
            }
            let said = self.run(words)?;
            if let Some(missing) = said.missing {
                bail!("not built: {missing}");
            }
            let text = words
                .iter()
                .map(AsRef::as_ref)
                .collect::<Vec<&str>>()
                .join(" ");
            ensure!(said == Said::default(), "{text}: {said:?}");
        }
        Ok(())
    }

    /// Sets the sysctls of a recording, paths under /proc/sys.
    ///
    /// # Errors
    /// If one can't be set.
    pub fn sysctls(&mut self, recording: &Value) -> Result<()> {
        let set = recording.get("sysctl").and_then(Value::as_object);
        for (path, value) in set.into_iter().flatten() {
            let is_default = SYSCTL_DEFAULTS
                .iter()
                .any(|(name, default)| path.ends_with(name) && Some(*default) == value.as_i64());
            ensure!(is_default, "not built: sysctl {path}");
        }
        Ok(())
    }

    /// Sends a frame in by a side.
    ///
    /// # Errors
    /// If the director's buffers are exhausted.
    pub fn send_frame(&mut self, side: Side, frame: &[u8]) -> Result<Sent> {
        let director = &mut self.plane.director;
        let before: HashMap<&str, u64> = director.losses().into_iter().collect();
        let left = director.send(side, frame)?;
        let mut lost = director.losses();
        lost.retain(|(label, n)| before.get(label) != Some(n));
        Ok(Sent {
            left,
            punted: director.punted(),
            lost: lost.into_iter().map(|(label, _)| label).collect(),
        })
    }

    /// What all servers have counted.
    #[must_use]
    pub fn counted(&self) -> Counters {
        let cells = (0..SERVERS_MAX).map(ServerIndex);
        let each = cells.map(|cell| self.plane.director.counters(cell));
        each.fold(Counters::default(), Counters::plus)
    }

    /// Sends a packet in by a side and tells what became of it; the stand-ins go into the ledger.
    ///
    /// # Errors
    /// If the director's buffers are exhausted.
    pub fn send(&mut self, side: Side, packet: &[u8], ledger: &mut Ledger) -> Result<Vec<Way>> {
        let frame = match side {
            Side::Client => frames::from_client(packet),
            Side::Server => frames::from_server(1, packet),
        };
        let director = &mut self.plane.director;
        let before: HashMap<&str, u64> = director.losses().into_iter().collect();
        let answered = director.totals().icmp_sent;
        let left = director.send(side, &frame)?;
        // A packet that was lost and answered is told by its answer.
        let mut answered = director.totals().icmp_sent - answered;
        let mut ways: Vec<Way> = left
            .iter()
            .map(|(out, frame)| Way::of_frame(side, *out, frame))
            .collect();
        for (class, _, frame) in director.punted() {
            let (way, stand_in) = Way::of_punted(class, &frame, &self.fib);
            ledger.stand_in(stand_in);
            ways.push(way);
        }
        for (label, after) in director.losses() {
            for _ in before.get(label).copied().unwrap_or_default()..after {
                match answered {
                    0 => ways.push(Way::Dropped(label)),
                    _ => answered -= 1,
                }
            }
        }
        if ways.is_empty() {
            ways.push(Way::Dropped("uncounted"));
        }
        Ok(ways)
    }
}

/// The store itself in place of a socket, with what the control server does around it.
struct Direct<'a> {
    lab: &'a mut Lab,
    missing: Option<String>,
}

impl Link for Direct<'_> {
    fn ask(&mut self, commands: &[Command], asked: Asked<'_>) -> Result<Option<String>, LinkError> {
        let Lab { store, plane, .. } = &mut *self.lab;
        let outcomes = store.apply_all(commands, plane);
        if let Some(snapshot) = store.take_snapshot() {
            let version = snapshot.version;
            plane.publish(snapshot);
            if plane.wait_seen(version, SEEN_TIME_MAX).is_ok() {
                store.note_seen(version);
            }
        }
        for (command, outcome) in commands.iter().zip(outcomes) {
            match outcome {
                Outcome::Connections { .. } => pages(plane, asked)?,
                Outcome::Refused(refusal) => {
                    self.missing = self.missing.take().or_else(|| missing(command, &refusal));
                    asked(Outcome::Refused(refusal)).map_err(LinkError::Output)?;
                }
                other => asked(other).map_err(LinkError::Output)?,
            }
        }
        Ok(None)
    }
}

/// A listing of connections, page by page.
fn pages(plane: &mut dyn Plane, asked: Asked<'_>) -> Result<(), LinkError> {
    let mut from = Cursor::default();
    loop {
        let mut page = Vec::new();
        let next = plane.connections(from, &mut page);
        let entries = page.iter().map(ConnectionView::from).collect();
        let (outcome, next) = match next {
            Ok(next) => {
                let more = next.is_some();
                (Outcome::Connections { entries, more }, next)
            }
            Err(lag) => {
                let worker = lag.worker;
                (Outcome::Refused(Refusal::Silent { worker }), None)
            }
        };
        asked(outcome).map_err(LinkError::Output)?;
        match next {
            Some(next) => from = next,
            None => return Ok(()),
        }
    }
}

/// What a refusal says that the dataplane can't do.
fn missing(command: &Command, refusal: &Refusal) -> Option<String> {
    match (refusal, command) {
        (Refusal::Unsupported(feature), _) => match serde_json::to_value(feature) {
            Ok(Value::String(name)) => Some(name),
            _ => Some("feature".to_owned()),
        },
        (
            Refusal::SchedulerUnknown,
            Command::AddService(request) | Command::EditService(request),
        ) => Some(format!("scheduler {}", request.scheduler)),
        _ => None,
    }
}

const fn period_ms() -> u64 {
    ESTIMATE_PERIOD.as_millis() as u64
}
