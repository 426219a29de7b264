//! A director with its control: argument vectors and packets in, texts and ways out, in virtual
//! time.
//!
//! A command takes pvsadm's own way, but for the socket: command line, store, snapshot. What the
//! server of pvs-control does between requests (publish, wait for the workers, tick the estimator)
//! is done here on the laboratory's clock.

use super::ledger::Ledger;
use super::link::Direct;
use super::linux::{self, Done};
use super::marks;
use super::plane::InProcess;
use super::way::{By, StandIn, Way};
use crate::{Director, Side, frames, laboratory};
use anyhow::{Context, Result, bail, ensure};
use pvs_control::cli::{self, FileNames, Io};
use pvs_control::limits::ESTIMATE_PERIOD;
use pvs_control::{Capabilities, Store};
use pvs_dataplane::fib::Fib;
use pvs_dataplane::punt::PuntClass;
use pvs_proto::{V4, V6};
use pvs_sched::{Counters, Load, ServerIndex, Snapshot};
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

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

/// A frame that left the director.
#[derive(Clone, Debug)]
pub struct Left {
    /// Where it came out.
    pub side: Side,
    /// The engine sent it of its own accord; else it is Linux's answer to a frame
    /// that the engine gave to it.
    pub by: By,
    /// Itself.
    pub frame: Vec<u8>,
}

/// What became of a frame.
#[derive(Clone, Debug, Default)]
pub struct Sent {
    /// Frames that left.
    pub left: Vec<Left>,
    /// Frames that went to Linux; what is wrong about it: another frame than
    /// came in, or another class.
    pub punted: Vec<Option<String>>,
    /// The reasons for which packets were dropped, one for each.
    pub lost: Vec<&'static str>,
}

/// Frames of which any may go to Linux: pieces wait for each other.
const RECENT: usize = 64;

/// Servers that a recording has, at most.
const SERVERS_MAX: u32 = 64;

/// The laboratory.
pub struct Lab {
    pub(super) plane: InProcess,
    pub(super) store: Store,
    fib: Arc<Fib>,
    /// Frames that came in last: what goes to Linux is one of them.
    recent: VecDeque<Vec<u8>>,
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
        let mut store = Store::new(Capabilities::ALL);
        let locals = Arc::clone(&fib);
        store.set_locality(Arc::new(move |address: IpAddr| match address {
            IpAddr::V4(a) => locals.is_local::<V4>(a.into()),
            IpAddr::V6(a) => locals.is_local::<V6>(a.into()),
        }));
        Ok(Self {
            plane: InProcess { director },
            store,
            fib,
            recent: VecDeque::new(),
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
        self.program("ipvsadm", words)
    }

    /// The same by the name that has pvs's own words too.
    ///
    /// # Errors
    /// If a stream fails.
    pub fn pvsadm<S: AsRef<str>>(&mut self, words: &[S]) -> Result<Said> {
        self.program("pvsadm", words)
    }

    fn program<S: AsRef<str>>(&mut self, name: &str, words: &[S]) -> Result<Said> {
        let words = words.iter().map(|word| word.as_ref().to_owned());
        let argv: Vec<String> = std::iter::once(name.to_owned()).chain(words).collect();
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

    /// The configuration.
    #[must_use]
    pub fn snapshot(&self) -> &Snapshot {
        self.store.snapshot()
    }

    /// A server's connections.
    #[must_use]
    pub fn load(&self, server: ServerIndex) -> Load {
        self.plane.director.load(server)
    }

    /// Runs a command of iptables or ip6tables, as mark rules.
    ///
    /// # Errors
    /// If it can't be translated, or a stream fails.
    pub fn iptables<S: AsRef<str>>(&mut self, words: &[S]) -> Result<Said> {
        let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
        self.pvsadm(&marks::words(&words)?)
    }

    /// There is a service.
    #[must_use]
    pub fn has_services(&self) -> bool {
        self.store.snapshot().services().next().is_some()
    }

    /// Runs commands that must do something and say nothing; those that name
    /// no program are ipvsadm's.
    ///
    /// # Errors
    /// If a command fails.
    pub fn set_up<S: AsRef<str>>(&mut self, commands: &[Vec<S>]) -> Result<()> {
        for words in commands {
            let said = match words.first() {
                Some(program) if !program.as_ref().starts_with('-') => self.iptables(words)?,
                _ => self.run(words)?,
            };
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

    /// Sends a frame in by a side. What goes to Linux is answered as Linux would.
    ///
    /// # Errors
    /// If the director's buffers are exhausted.
    pub fn send_frame(&mut self, side: Side, frame: &[u8], ledger: &mut Ledger) -> Result<Sent> {
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(frame.to_vec());
        let director = &mut self.plane.director;
        let before: HashMap<&str, u64> = director.losses().into_iter().collect();
        // A packet that was lost and answered is told by its answer.
        let mut answered = director.totals().icmp_sent;
        let own = director.send(side, frame)?;
        answered = director.totals().icmp_sent - answered;
        let mut sent = Sent::default();
        let left = |by| move |(side, frame)| Left { side, by, frame };
        sent.left.extend(own.into_iter().map(left(By::Ipvs)));
        for (class, _, punted) in director.punted() {
            let done = linux::take(&self.fib, &punted);
            sent.punted.push(odd(class, &punted, &done, &self.recent));
            let (stand_in, by) = match done.is_local {
                true => (StandIn::Stack, By::Stack),
                false => (StandIn::Router, By::Route),
            };
            ledger.stand_in(stand_in);
            if let Some((port, frame)) = done.sends {
                let out = Side::of(port).context("a port")?;
                ensure!(director.inject(out, &frame), "no room for Linux's answer");
                sent.left
                    .extend(director.collect().into_iter().map(left(by)));
            }
        }
        for (label, after) in director.losses() {
            for _ in before.get(label).copied().unwrap_or_default()..after {
                match answered {
                    0 => sent.lost.push(label),
                    _ => answered -= 1,
                }
            }
        }
        Ok(sent)
    }

    /// What all servers have counted.
    #[must_use]
    pub fn counted(&self) -> Counters {
        let cells = (0..SERVERS_MAX).map(ServerIndex);
        let each = cells.map(|cell| self.plane.director.counters(cell));
        each.fold(Counters::default(), Counters::plus)
    }

    /// The interfaces that a packet leaves by where there is only Linux.
    pub(super) fn without_hooks(&self, side: Side, packet: &[u8]) -> Vec<String> {
        let left = self.linux_alone(&frame_of(side, packet)).into_iter();
        left.map(|left| left.side.interface().to_owned()).collect()
    }

    /// What Linux alone does with a frame.
    pub(super) fn linux_alone(&self, frame: &[u8]) -> Vec<Left> {
        let done = linux::take(&self.fib, frame);
        let by = if done.is_local { By::Stack } else { By::Route };
        let left = |(port, frame)| {
            Some(Left {
                side: Side::of(port)?,
                by,
                frame,
            })
        };
        done.sends.and_then(left).into_iter().collect()
    }

    /// Sends a packet in by a side and tells what became of it; the stand-ins go into the ledger.
    ///
    /// # Errors
    /// If the director's buffers are exhausted.
    pub fn send(&mut self, side: Side, packet: &[u8], ledger: &mut Ledger) -> Result<Vec<Way>> {
        let frame = frame_of(side, packet);
        let sent = self.send_frame(side, &frame, ledger)?;
        let ways = sent.left.iter();
        let mut ways: Vec<Way> = ways
            .map(|left| Way::of_frame(side, left.side, &left.frame, left.by))
            .collect();
        for odd in sent.punted.iter().flatten() {
            ledger.fail(odd.clone());
        }
        ways.extend(sent.lost.into_iter().map(Way::Dropped));
        if ways.is_empty() {
            ways.push(match sent.punted.as_slice() {
                [] => Way::Dropped("uncounted"),
                _ => Way::Absorbed,
            });
        }
        Ok(ways)
    }
}

/// A client's packet, or one of server 1, in a frame.
fn frame_of(side: Side, packet: &[u8]) -> Vec<u8> {
    match side {
        Side::Client => frames::from_client(packet),
        Side::Server => frames::from_server(1, packet),
    }
}

/// What is wrong about a frame that went to Linux: it is none that came in (only a packet for a
/// server that is the director itself is translated), or it is in the class of others.
fn odd(
    class: PuntClass,
    frame: &Vec<u8>,
    done: &Done,
    recent: &VecDeque<Vec<u8>>,
) -> Option<String> {
    let in_class = match class {
        PuntClass::Local | PuntClass::Refused => done.is_local,
        PuntClass::Forwarded => !done.is_local,
        PuntClass::Neighbour | PuntClass::Control | PuntClass::Session => true,
    };
    let is_same = recent.contains(frame) || class == PuntClass::Local;
    match (in_class, is_same) {
        (false, _) => Some(format!("went to Linux as {}", class.label())),
        (_, false) => Some("went to Linux changed".to_owned()),
        _ => None,
    }
}

const fn period_ms() -> u64 {
    ESTIMATE_PERIOD.as_millis() as u64
}
