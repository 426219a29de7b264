//! The control server: one owner of the store, a bounded number of clients.
//!
//! Each client has a thread that reads frames, asks the owner, and writes the answer; it
//! may be slow or silent without anybody else noticing. The owner alone applies commands,
//! publishes snapshots, waits for the workers, and ticks the estimators. pvsd feeds it
//! other inputs by a [`Handle`].

use crate::clients::Clients;
use crate::clock::{Clock, SystemClock};
use crate::limits::{CLIENTS_MAX, ESTIMATE_PERIOD, SEEN_TIME_MAX, SNAPSHOTS_OUTSTANDING_MAX};
use crate::plane::{Cursor, Lag, Locality, Plane};
use crate::reply::{ConnectionView, Outcome};
use crate::session;
use crate::socket::{BindError, Socket, SocketConfig};
use crate::{command::Command, store::Store};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::VecDeque;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel};
use std::thread;
use std::time::Duration;

/// How often the owner and the listener look whether to stop.
const LOOK_PERIOD: Duration = Duration::from_millis(100);

/// How long a newcomer waits for a place before the slowest client may have to go.
const PLACE_PERIOD: Duration = Duration::from_millis(10);

/// What the owner is asked.
pub(crate) enum Job {
    /// Commands that take effect as one snapshot.
    Commands {
        commands: Vec<Command>,
        answer: SyncSender<Answer>,
    },
    /// A page of connections.
    Page {
        from: Cursor,
        answer: SyncSender<Result<Page, Lag>>,
    },
    /// An input from Linux.
    Locality(Arc<dyn Locality + Send + Sync>),
}

/// The owner's answer to commands.
pub(crate) struct Answer {
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) warning: Option<String>,
}

/// A page of connections, and where the next one begins.
pub(crate) struct Page {
    pub(crate) entries: Vec<ConnectionView>,
    pub(crate) next: Option<Cursor>,
}

/// Feeds the owner from other threads.
#[derive(Clone, Debug)]
pub struct Handle(Sender<Job>);

impl Handle {
    /// Tells which addresses are local from now on; services take packets accordingly.
    pub fn set_locality(&self, locality: Arc<dyn Locality + Send + Sync>) {
        // Without an owner there is nobody left to tell.
        let _ = self.0.send(Job::Locality(locality));
    }
}

/// A bound control socket, about to be served.
#[derive(Debug)]
pub struct Server {
    socket: Socket,
    jobs: Receiver<Job>,
    handle: Handle,
}

impl Server {
    /// Binds the socket.
    ///
    /// # Errors
    /// [`BindError`].
    pub fn bind(config: &SocketConfig) -> Result<Self, BindError> {
        let socket = Socket::bind(config)?;
        let (sender, jobs) = channel();
        Ok(Self {
            socket,
            jobs,
            handle: Handle(sender),
        })
    }

    /// A way to feed the owner.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Serves until `stop`; then the socket is removed. The calling thread owns the store.
    pub fn run(self, store: Store, plane: &mut dyn Plane, stop: &AtomicBool) {
        self.run_by(&SystemClock::new(), store, plane, stop);
    }

    /// The same by another clock. What is due by it is done before the next request is looked at.
    pub fn run_by(self, clock: &dyn Clock, store: Store, plane: &mut dyn Plane, stop: &AtomicBool) {
        let clients = Clients::new(CLIENTS_MAX);
        let Self {
            socket,
            jobs,
            handle,
        } = self;
        thread::scope(|scope| {
            scope.spawn(|| accept(scope, &socket.listener, &clients, &handle.0, stop));
            Owner {
                store,
                plane,
                outstanding: VecDeque::new(),
            }
            .run(clock, &jobs, stop);
            // Threads that wait for the owner's answer learn that there is none.
            drop(jobs);
            clients.hang_up();
        });
    }
}

/// Takes clients in, as many as there are places for.
fn accept<'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    listener: &UnixListener,
    clients: &Clients,
    jobs: &Sender<Job>,
    stop: &AtomicBool,
) {
    let period = Timespec {
        tv_sec: 0,
        tv_nsec: 100_000_000,
    };
    while !stop.load(Relaxed) {
        let ready = poll(&mut [PollFd::new(listener, PollFlags::IN)], Some(&period));
        if !matches!(ready, Ok(n) if n > 0) {
            continue;
        }
        if !clients.wait_for_place(PLACE_PERIOD) {
            clients.hang_up_on_slowest(LOOK_PERIOD);
            continue;
        }
        let Ok((stream, _)) = listener.accept() else {
            continue;
        };
        let Some(place) = clients.admit(&stream) else {
            continue;
        };
        let jobs = jobs.clone();
        let serve = move || session::serve(stream, &jobs, &place);
        let thread = thread::Builder::new().name("pvs-client".to_owned());
        if let Err(error) = thread.spawn_scoped(scope, serve) {
            tracing::warn!("a client of the control socket is hung up on: no thread: {error}");
        }
    }
}

/// The owner of the store.
struct Owner<'a> {
    store: Store,
    plane: &'a mut dyn Plane,
    /// Versions that were published and that a worker may not have seen.
    outstanding: VecDeque<u64>,
}

impl Owner<'_> {
    fn run(&mut self, clock: &dyn Clock, jobs: &Receiver<Job>, stop: &AtomicBool) {
        let mut next_tick = clock.now() + ESTIMATE_PERIOD;
        while !stop.load(Relaxed) {
            let left = next_tick.saturating_sub(clock.now());
            let job = jobs.recv_timeout(left.min(LOOK_PERIOD));
            let now = clock.now();
            if now >= next_tick {
                self.store.tick(self.plane);
                next_tick = (next_tick + ESTIMATE_PERIOD).max(now);
            }
            match job {
                Ok(job) => self.handle(job),
                Err(RecvTimeoutError::Timeout) => self.catch_up(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn handle(&mut self, job: Job) {
        match job {
            Job::Commands { commands, answer } => {
                let outcomes = self.store.apply_all(&commands, self.plane);
                let edited = !commands.iter().all(Command::is_listing);
                let warning = edited.then(|| self.publish()).flatten();
                // The client may have gone; what it asked for is done all the same.
                let _ = answer.send(Answer { outcomes, warning });
            }
            Job::Page { from, answer } => {
                let mut page = Vec::new();
                let next = self.plane.connections(from, &mut page);
                let entries = page.iter().map(ConnectionView::from).collect();
                let _ = answer.send(next.map(|next| Page { entries, next }));
            }
            Job::Locality(locality) => {
                self.store.set_locality(locality);
                if let Some(warning) = self.publish() {
                    tracing::warn!("{warning}");
                }
            }
        }
    }

    /// Publishes what has changed and waits for the workers. Returns what the operator should know:
    /// that a worker lags.
    fn publish(&mut self) -> Option<String> {
        let offered = self.offer(SEEN_TIME_MAX);
        offered
            .and_then(|()| self.wait_seen(SEEN_TIME_MAX))
            .err()
            .map(|lag| {
                let worker = lag.worker;
                format!("worker {worker} lags: it does not use the new configuration yet")
            })
    }

    /// Publishes what has changed, unless too many snapshots are outstanding; then it is
    /// merged into the next one.
    fn offer(&mut self, limit: Duration) -> Result<(), Lag> {
        if self.outstanding.len() >= SNAPSHOTS_OUTSTANDING_MAX {
            self.wait_seen(limit)?;
        }
        if let Some(snapshot) = self.store.take_snapshot() {
            self.outstanding.push_back(snapshot.version);
            self.plane.publish(snapshot);
        }
        Ok(())
    }

    fn wait_seen(&mut self, limit: Duration) -> Result<(), Lag> {
        if let Some(version) = self.outstanding.back().copied() {
            self.plane.wait_seen(version, limit)?;
            self.store.note_seen(version, self.plane);
            self.outstanding.clear();
        }
        Ok(())
    }

    /// Looks whether lagging workers have caught up, and publishes what had to wait for them.
    fn catch_up(&mut self) {
        // Who still lags is asked again in a moment.
        let _ = self
            .wait_seen(Duration::ZERO)
            .and_then(|()| self.offer(Duration::ZERO));
    }
}
