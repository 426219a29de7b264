//! The watcher: keeps a [`Mirror`] equal to one namespace and says when it changed.
//!
//! It subscribes first and lists then, so nothing falls between. Bursts are merged: an update is
//! made [`MERGE`] after the first event of a burst, or after as long as the last update took to
//! make if that was longer, so that a router full of routes spends half of its time at most here.
//! Lost events (ENOBUFS) are made good by listing everything anew.

use crate::mirror::{Doubts, ListedRoute};
use crate::netlink::{Event, Events, Requests};
use crate::{Error, Mirror, Namespace, TapBinding, Update};
use netlink_packet_core::NLM_F_REPLACE;
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::LinkMessage;
use netlink_packet_route::neighbour::NeighbourMessage;
use netlink_packet_route::route::RouteMessage;
use netlink_packet_route::rule::RuleMessage;
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use std::time::{Duration, Instant};

/// How long a burst of events is collected.
pub const MERGE: Duration = Duration::from_millis(10);

/// The kernel tells of an interface that goes down before it flushes the routes: they are listed
/// once more after this time.
const SETTLE: Duration = Duration::from_millis(250);

/// How often everything is listed at most for the sake of events that could not be decoded: a
/// kernel that sends such ones may go on doing so.
const RELIST: Duration = Duration::from_secs(10);

/// Overruns are told in the log this often at most.
const OVERRUN_PAUSE: Duration = Duration::from_secs(60);

/// How often the namespace's name is looked at.
const NAME_CHECK: Duration = Duration::from_secs(1);

/// A mirror and what feeds it.
#[derive(Debug)]
pub struct Watcher {
    namespace: Namespace,
    events: Events,
    requests: Requests,
    mirror: Mirror,
    /// Events were lost: list everything.
    lost: bool,
    /// How often the kernel had no room for events.
    overruns: u64,
    /// When that was last told in the log.
    overrun_told: Option<Instant>,
    /// When to list everything for the sake of events that could not be decoded.
    relist: Option<Instant>,
    /// When that was last done.
    relisted: Option<Instant>,
    /// When the burst that is being collected began.
    burst: Option<Instant>,
    /// When to list the routes once more.
    settle: Option<Instant>,
    /// How long the last update took to make.
    cost: Duration,
    named: bool,
    name_checked: Instant,
}

impl Watcher {
    /// Watches the namespace; the first [`poll`](Self::poll) yields the first update.
    ///
    /// # Errors
    /// The kernel refuses the sockets.
    pub fn new(namespace: &Namespace, taps: Vec<TapBinding>) -> Result<Self, Error> {
        let now = Instant::now();
        Ok(Self {
            namespace: namespace.clone(),
            events: Events::open(namespace)?,
            requests: Requests::open(namespace)?,
            mirror: Mirror::new(taps),
            lost: true,
            overruns: 0,
            overrun_told: None,
            relist: None,
            relisted: None,
            burst: Some(now),
            settle: None,
            cost: Duration::ZERO,
            named: true,
            name_checked: now,
        })
    }

    /// Other taps, as after one was made again. Versions go on counting.
    pub fn bind(&mut self, taps: Vec<TapBinding>) {
        self.mirror.bind(taps);
        self.list_anew();
    }

    fn list_anew(&mut self) {
        self.lost = true;
        self.burst.get_or_insert_with(Instant::now);
    }

    /// Another namespace and its taps, as after the first one was deleted. Versions go on counting.
    ///
    /// # Errors
    /// The kernel refuses the sockets; nothing has changed then.
    pub fn move_to(&mut self, namespace: &Namespace, taps: Vec<TapBinding>) -> Result<(), Error> {
        let (mut events, mut requests) = (Events::open(namespace)?, Requests::open(namespace)?);
        std::mem::swap(&mut events.unread, &mut self.events.unread);
        std::mem::swap(&mut requests.unread, &mut self.requests.unread);
        (self.events, self.requests) = (events, requests);
        self.namespace = namespace.clone();
        self.named = true;
        self.settle = None;
        self.mirror.move_to(taps);
        self.list_anew();
        Ok(())
    }

    /// What is known at this moment.
    #[must_use]
    pub fn mirror(&self) -> &Mirror {
        &self.mirror
    }

    /// How often events were lost, because more came than were read; each time
    /// everything was listed anew.
    #[must_use]
    pub fn overruns(&self) -> u64 {
        self.overruns
    }

    /// Messages of the kernel that could not be decoded. Where one was an event,
    /// everything was listed anew.
    #[must_use]
    pub fn unread(&self) -> u64 {
        self.events.unread.count() + self.requests.unread.count()
    }

    /// Waits at most `limit` for something to change.
    ///
    /// # Errors
    /// The namespace lost its name or a tap was deleted, each told once: watching goes on. Or the
    /// kernel fails.
    pub fn poll(&mut self, limit: Duration) -> Result<Option<Update>, Error> {
        let until = Instant::now() + limit;
        loop {
            self.check_name()?;
            let now = Instant::now();
            if let Some(due) = self.due().filter(|due| *due <= now) {
                let update = self.take(now, due)?;
                if update.is_some() {
                    return Ok(update);
                }
            }
            let wake = self.due().map_or(until, |due| due.min(until));
            if now >= until {
                return Ok(None);
            }
            self.events
                .wait(wake.saturating_duration_since(now).min(NAME_CHECK))?;
            self.collect()?;
            self.tell_gone()?;
        }
    }

    /// When the next update is to be made.
    fn due(&self) -> Option<Instant> {
        let merged = self.burst.map(|began| began + MERGE.max(self.cost));
        let others = self.settle.into_iter().chain(self.relist);
        merged.into_iter().chain(others).min()
    }

    fn collect(&mut self) -> Result<(), Error> {
        let (mirror, lost) = (&mut self.mirror, &mut self.lost);
        let (mut overruns, mut unread) = (0, false);
        let any = self.events.drain(|event| match event {
            Event::Message(message) => {
                mirror.apply(&message.body, message.flags & NLM_F_REPLACE != 0);
            }
            Event::NextHop => mirror.doubt(Doubts::ALL),
            Event::Unread => unread = true,
            Event::Overrun => {
                *lost = true;
                overruns += 1;
            }
        })?;
        let now = Instant::now();
        if overruns > 0 {
            self.overruns += overruns;
            self.tell_overrun(now);
        }
        if unread {
            let due = self.relisted.map_or(now, |at| now.max(at + RELIST));
            self.relist.get_or_insert(due);
        }
        if any {
            self.burst.get_or_insert_with(Instant::now);
        }
        Ok(())
    }

    fn tell_overrun(&mut self, now: Instant) {
        let recent = |at| now.duration_since(at) < OVERRUN_PAUSE;
        if self.overrun_told.is_some_and(recent) {
            return;
        }
        self.overrun_told = Some(now);
        tracing::warn!(
            overruns = self.overruns,
            "more events came from Linux than were read: everything is listed anew"
        );
    }

    /// Makes the update that is due.
    fn take(&mut self, now: Instant, due: Instant) -> Result<Option<Update>, Error> {
        // What arrived meanwhile belongs to it.
        self.collect()?;
        self.burst = None;
        if self.relist.is_some_and(|at| at <= now) {
            (self.relist, self.relisted) = (None, Some(now));
            self.lost = true;
        }
        let settles = self.settle.is_some_and(|at| at <= due);
        if settles {
            self.settle = None;
            self.mirror.doubt(Doubts::ALL);
        }
        if let Err(error) = self.list(now, settles) {
            // Nothing of a half-made listing is given away: the next call begins anew.
            self.lost = true;
            self.burst = Some(now);
            return Err(error);
        }
        self.tell_gone()?;
        let update = self.mirror.update();
        self.cost = now.elapsed();
        Ok(update)
    }

    /// A tap that is gone is told first; what else has changed waits for the next call. What has to
    /// be listed first is no ground for it.
    fn tell_gone(&mut self) -> Result<(), Error> {
        if self.lost {
            return Ok(());
        }
        let Some(name) = self.mirror.gone() else {
            return Ok(());
        };
        self.burst.get_or_insert_with(Instant::now);
        Err(Error::TapGone { name })
    }

    /// Lists what is not known for certain.
    fn list(&mut self, now: Instant, settles: bool) -> Result<(), Error> {
        if std::mem::take(&mut self.lost) {
            tracing::debug!(
                namespace = self.namespace.name(),
                "listing links, addresses, routes and neighbours"
            );
            self.mirror.doubt(Doubts::ALL);
            self.list_all()?;
        }
        let doubts = self.mirror.doubts();
        if doubts.any() {
            self.list_routes(doubts)?;
            if !settles {
                self.settle = Some(now + SETTLE);
            }
        }
        Ok(())
    }

    fn list_all(&mut self) -> Result<(), Error> {
        use RouteNetlinkMessage as M;
        let mut messages =
            self.requests
                .dump("list links", &M::GetLink(LinkMessage::default()), Some)?;
        messages.extend(self.requests.dump(
            "list addresses",
            &M::GetAddress(AddressMessage::default()),
            Some,
        )?);
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut wanted = NeighbourMessage::default();
            wanted.header.family = family;
            messages.extend(self.requests.dump(
                "list neighbours",
                &M::GetNeighbour(wanted),
                Some,
            )?);
            let mut wanted = RuleMessage::default();
            wanted.header.family = family;
            messages.extend(
                self.requests
                    .dump("list rules", &M::GetRule(wanted), Some)?,
            );
        }
        self.mirror.list(&messages);
        Ok(())
    }

    fn list_routes(&mut self, doubts: Doubts) -> Result<(), Error> {
        for (wanted, v4, family) in [
            (doubts.v4, true, AddressFamily::Inet),
            (doubts.v6, false, AddressFamily::Inet6),
        ] {
            if wanted {
                let mut message = RouteMessage::default();
                message.header.address_family = family;
                let request = RouteNetlinkMessage::GetRoute(message);
                let routes = self
                    .requests
                    .dump("list routes", &request, |m| ListedRoute::read(&m))?;
                self.mirror.list_routes(v4, routes);
            }
        }
        Ok(())
    }

    fn check_name(&mut self) -> Result<(), Error> {
        if self.name_checked.elapsed() < NAME_CHECK {
            return Ok(());
        }
        self.name_checked = Instant::now();
        let named = self.namespace.check();
        let was = std::mem::replace(&mut self.named, named.is_ok());
        if was { named } else { Ok(()) }
    }
}
