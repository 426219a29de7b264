//! The threads that talk to Linux: one mirrors what it knows, one carries
//! frames to and from its taps.

use crate::hands::Reach;
use crate::recovery::Mirrors;
use crate::repeats::Repeats;
use crate::report::{Reporter, Seen};
use crate::watch::News;
use crossbeam::channel::{Receiver, Sender};
use crossbeam::queue::ArrayQueue;
use pvs_control::Locality;
use pvs_control::server::Handle;
use pvs_dataplane::fib::Fib;
use pvs_dataplane::worker::ResolveRequest;
use pvs_epoch::Publisher;
use pvs_linux::neighbour::LOOK_AFTER;
use pvs_linux::{Error, InterfaceState, LocalAddresses, NeighbourKeeper, NewTap, Watcher};
use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

/// How long the mirror sleeps at most: what a worker's wish for a neighbour may wait.
const TURN: Duration = Duration::from_millis(5);

/// A pause after a failure.
const FAILURE_PAUSE: Duration = Duration::from_millis(100);

/// Forwarding information that workers may still be using, at most: with more only the newest is
/// kept for them. One that stands still lets go of nothing.
const OUTSTANDING_MAX: usize = 8;

/// How often it is thought over which neighbours are managed.
const TICK: Duration = Duration::from_secs(1);

/// Local addresses and the devices of pvs, to the store.
struct Local {
    addresses: LocalAddresses,
    devices: Vec<(String, u32)>,
}

impl Local {
    fn of(addresses: &LocalAddresses, interfaces: &[InterfaceState]) -> Self {
        let devices = interfaces.iter().map(|i| (i.ifname.clone(), i.mtu));
        Self {
            addresses: addresses.clone(),
            devices: devices.collect(),
        }
    }
}

impl Locality for Local {
    fn is_local(&self, address: IpAddr) -> bool {
        self.addresses.is_local(address)
    }

    fn is_broadcast(&self, address: IpAddr) -> bool {
        self.addresses.is_broadcast(address)
    }

    fn device_mtu(&self, name: &str) -> Option<u32> {
        let device = self.devices.iter().find(|(device, _)| device == name);
        device.map(|(_, mtu)| *mtu)
    }
}

/// What the mirror's thread works with.
pub struct MirrorThread {
    /// The taps, and what becomes of them.
    pub mirrors: Mirrors,
    /// Where new taps go.
    pub taps: mpsc::Sender<NewTap>,
    /// Netlink.
    pub watcher: Watcher,
    /// Managed neighbours.
    pub keeper: NeighbourKeeper,
    /// Where forwarding information goes.
    pub fibs: Publisher<Fib>,
    /// Where locality goes.
    pub store: Handle,
    /// Where the interfaces' states go.
    pub news: Sender<News>,
    /// The servers' addresses, at each change.
    pub servers: Receiver<Vec<IpAddr>>,
    /// What workers want resolved.
    pub resolve: Arc<ArrayQueue<ResolveRequest>>,
    /// Tells what is known.
    pub reporter: Reporter,
}

impl MirrorThread {
    /// Mirrors until `stop`; sets `ready` when the workers have been told for the first time.
    pub fn run(&mut self, ready: &AtomicBool, stop: &AtomicBool) {
        let (mut told, mut failures) = (HashSet::new(), Repeats::default());
        let (mut local, mut interfaces, mut next) = (None, Vec::new(), None);
        let mut ticked = Instant::now();
        let mut looked = ticked;
        while !stop.load(Relaxed) {
            match self.watcher.poll(TURN) {
                Ok(Some(update)) => {
                    failures.end();
                    self.reporter.note(&update.unsupported);
                    for sentence in update.unsupported {
                        if told.insert(sentence.clone()) {
                            tracing::warn!("{sentence}");
                        }
                    }
                    next = Some(update.fib);
                    self.hand_on(&mut next);
                    if local.as_ref() != Some(&update.local) || interfaces != update.interfaces {
                        self.store
                            .set_locality(Arc::new(Local::of(&update.local, &update.interfaces)));
                        local = Some(update.local);
                    }
                    if interfaces != update.interfaces {
                        interfaces.clone_from(&update.interfaces);
                        // Without main pvsd is ending.
                        let _ = self.news.send(News::Interfaces(update.interfaces));
                    }
                    self.keeper.tick(self.watcher.mirror(), Instant::now());
                    ready.store(true, Relaxed);
                }
                Ok(None) => {}
                Err(error) if self.mirrors.hear(&error) => {}
                Err(error) => {
                    failures.tell(&error);
                    std::thread::sleep(FAILURE_PAUSE);
                }
            }
            let mut hands = Reach {
                watcher: &mut self.watcher,
                keeper: &mut self.keeper,
                exchange: &self.taps,
                news: &self.news,
            };
            self.mirrors.tend(&mut hands, Instant::now());
            self.hand_on(&mut next);
            self.serve_wishes();
            self.reporter.look(&Seen {
                watcher: &self.watcher,
                keeper: &self.keeper,
                mirrors: &self.mirrors,
                fibs: &self.fibs,
            });
            if ticked.elapsed() >= TICK {
                ticked = Instant::now();
                self.keeper.tick(self.watcher.mirror(), ticked);
            }
            if looked.elapsed() >= LOOK_AFTER {
                looked = Instant::now();
                self.keeper.look_after(self.watcher.mirror(), looked);
            }
        }
        self.keeper.release_all(self.watcher.mirror());
    }

    /// Frees what no worker uses any more, and publishes what is to be published.
    fn hand_on(&mut self, next: &mut Option<Fib>) {
        self.fibs.reclaim();
        if self.fibs.outstanding() < OUTSTANDING_MAX {
            if let Some(fib) = next.take() {
                self.fibs.publish(fib);
            }
        }
    }

    fn serve_wishes(&mut self) {
        let now = Instant::now();
        if let Some(servers) = self.servers.try_iter().last() {
            self.keeper.set_servers(servers);
            self.keeper.tick(self.watcher.mirror(), now);
        }
        // As many as there can be: new ones wait for the next turn.
        for _ in 0..self.resolve.capacity() {
            let Some(wish) = self.resolve.pop() else {
                break;
            };
            self.keeper
                .want(self.watcher.mirror(), wish.interface, wish.address, now);
        }
    }
}

/// Carries frames until `stop`; where a tap was deleted, the others are served on.
pub fn carry<P: pvs_dataplane::port::Pool>(
    exchange: &mut pvs_linux::Exchange<P>,
    stop: &AtomicBool,
) {
    let mut failures = Repeats::default();
    while !stop.load(Relaxed) {
        match exchange.run(stop) {
            Ok(()) => return,
            // The mirror's thread tells, and makes another.
            Err(Error::TapGone { .. }) => (),
            Err(error) => {
                failures.tell(&error);
                std::thread::sleep(TURN);
            }
        }
    }
}
