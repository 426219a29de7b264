//! Persistence templates: which server a group of clients has. Shared by all workers, and touched
//! only when a connection begins or ends.
//!
//! A bounded table in stripes, each with a lock that is only ever tried. Who holds a stripe looks a
//! client's template up, has a server picked if there is none, and enters it: so two first packets
//! on two workers agree, the second finds what the first has entered. A template holds as long as
//! connections refer to it, counted beside the lock, so that a connection can end without it. Times
//! are the kernel's (`ip_vs_conn_expire`): the service's timeout, and a minute at a time while a
//! template that is due still has connections.
//!
//! Where a persistence engine tells clients apart, by a call for instance, the
//! template keeps what it goes by.

mod engine;
mod held;
mod part;

pub use engine::EngineData;
pub use held::{Held, Listed, Place};

use crate::service::ServerIndex;
use crate::sync::{AtomicBool, AtomicU32, Lock, Relaxed, wait_a_moment};
use engine::DATA_MAX;
use held::GOES_ON;
use part::{Part, SLOTS_MAX};
use pvs_proto::{Address, Ticks};

/// Parts of the table that are locked apart. The model checker has enough with one.
const STRIPES: usize = if cfg!(loom) { 1 } else { 64 };

/// Slots that a part has at least.
const SLOTS_MIN: usize = if cfg!(loom) { 2 } else { 8 };

/// How often a lock is tried. What is done under one takes a few microseconds
/// at most; this is longer.
const TRIES: u32 = 4096;

/// Templates that are due are taken out this much later at most: 128 ms.
const LATE: u32 = 32;

/// Slots of a stripe that one sweep looks at, at most.
const SWEPT_AT_ONCE: u16 = 512;

/// Where a worker's sweeps stand.
#[derive(Debug, Default)]
pub struct Hand(usize);

impl Hand {
    /// Of one worker among several: each begins elsewhere.
    #[must_use]
    pub const fn of(worker: usize, workers: usize) -> Self {
        match (worker * STRIPES).checked_div(workers) {
            Some(at) => Self(at),
            None => Self(0),
        }
    }
}

/// The template of a connection, or none: a slot's number, from 1 on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct TemplateRef(pub u32);

impl TemplateRef {
    /// No template.
    pub const NONE: Self = Self(0);

    /// There is one.
    #[inline]
    #[must_use]
    pub const fn is_some(self) -> bool {
        self.0 != 0
    }
}

/// What is said of a template without its stripe's lock.
#[derive(Debug, Default)]
struct Claim {
    connections: AtomicU32,
    is_assured: AtomicBool,
}

/// The table of one address family.
#[derive(Debug)]
pub struct Templates<A> {
    stripes: Box<[Stripe<A>]>,
    claims: Box<[Claim]>,
    /// Templates of each server.
    servers: Box<[AtomicU32]>,
    slots: usize,
}

#[derive(Debug)]
#[repr(align(64))]
struct Stripe<A> {
    /// Nothing is due before.
    due: AtomicU32,
    part: Lock<Part<A>>,
}

impl<A: Address> Templates<A> {
    /// An empty table for `templates` templates, give or take what falls unevenly on its stripes,
    /// of `servers` servers. All its memory is taken here: 64 bytes for each (96 in IPv6).
    #[must_use]
    pub fn new(templates: usize, servers: usize) -> Self {
        let slots = templates.div_ceil(STRIPES).clamp(SLOTS_MIN, SLOTS_MAX);
        let stripe = |_| Stripe {
            due: AtomicU32::new(0),
            part: Lock::new(Part::new(slots)),
        };
        Self {
            stripes: (0..STRIPES).map(stripe).collect(),
            claims: (0..STRIPES * slots).map(|_| Claim::default()).collect(),
            servers: (0..servers).map(|_| AtomicU32::new(0)).collect(),
            slots,
        }
    }

    /// Holds the stripe of a key with this hash; `None` if others hold it for too long.
    #[must_use]
    pub fn hold(&self, hash: u64) -> Option<Held<'_, A>> {
        let at = (hash >> 32) as usize % STRIPES;
        self.hold_stripe(at, hash as u32)
    }

    fn hold_stripe(&self, at: usize, hash: u32) -> Option<Held<'_, A>> {
        let stripe = self.stripes.get(at)?;
        for _ in 0..TRIES {
            if let Some(part) = stripe.part.try_lock() {
                return Some(Held {
                    table: self,
                    stripe,
                    part,
                    first: at * self.slots,
                    hash,
                });
            }
            wait_a_moment();
        }
        None
    }

    fn claim(&self, template: TemplateRef) -> Option<&Claim> {
        self.claims.get(template.0.checked_sub(1)? as usize)
    }

    /// A connection of the template has ended. True if it was the last one, of a template that no
    /// connection has ever made sure of.
    pub fn release(&self, template: TemplateRef) -> bool {
        let Some(claim) = self.claim(template) else {
            return false;
        };
        let before = claim.connections.fetch_sub(1, Relaxed);
        before == 1 && !claim.is_assured.load(Relaxed)
    }

    /// A connection of the template is established.
    pub fn assure(&self, template: TemplateRef) {
        if let Some(claim) = self.claim(template) {
            if !claim.is_assured.load(Relaxed) {
                claim.is_assured.store(true, Relaxed);
            }
        }
    }

    /// Templates of a server.
    #[must_use]
    pub fn of_server(&self, server: ServerIndex) -> u32 {
        let count = self.servers.get(server.0 as usize);
        count.map_or(0, |count| count.load(Relaxed))
    }

    fn count(&self, server: ServerIndex, change: impl FnOnce(&AtomicU32)) {
        if let Some(count) = self.servers.get(server.0 as usize) {
            change(count);
        }
    }

    /// Takes out what is due, of a bounded number of slots: in the first stripe from the hand on
    /// that has something. Each worker's hand goes round all stripes, so that none waits for a
    /// worker that stands still.
    #[inline]
    pub fn sweep(&self, now: Ticks, hand: &mut Hand) {
        for _ in 0..STRIPES {
            let at = hand.0 % STRIPES;
            let due = self.stripes.get(at).map(|stripe| stripe.due.load(Relaxed));
            if due.is_some_and(|due| Ticks(due).is_due(now)) {
                if self.sweep_on(at, now) {
                    hand.0 = at + 1;
                }
                return;
            }
            hand.0 = at + 1;
        }
    }

    /// Goes on with the sweep of a stripe. True if nothing is left of it, or another one is at it.
    #[cold]
    fn sweep_on(&self, at: usize, now: Ticks) -> bool {
        let Some(stripe) = self.stripes.get(at) else {
            return true;
        };
        // Who holds it is quick; there is another turn.
        let Some(part) = stripe.part.try_lock() else {
            return true;
        };
        let first = at * self.slots;
        let mut held = Held {
            table: self,
            stripe,
            part,
            first,
            hash: 0,
        };
        let from = held.part.swept;
        if from == 0 {
            // A stripe without templates is looked at again in a while.
            held.part.earliest = now.after(GOES_ON);
        }
        let end = held.part.fresh.min(from.saturating_add(SWEPT_AT_ONCE));
        for slot in from..end {
            if let Some(deadline) = held.settle(slot, now) {
                held.part.expect(deadline, now);
            }
        }
        let is_done = end == held.part.fresh;
        held.part.swept = if is_done { 0 } else { end };
        if is_done {
            let due = held.part.earliest.after(Ticks(LATE));
            stripe.due.store(due.0, Relaxed);
        }
        is_done
    }

    /// Takes a template out if no connection has made sure of it and none refers to it.
    pub fn drop_if_unsure(&self, template: TemplateRef) {
        self.drop_if(template, |held, slot| held.is_unsure(slot));
    }

    /// Takes a template out if no connection refers to it.
    pub fn drop_if_idle(&self, template: TemplateRef) {
        self.drop_if(template, |held, slot| held.connections(slot) == 0);
    }

    fn drop_if(&self, template: TemplateRef, goes: impl FnOnce(&Held<'_, A>, u16) -> bool) {
        let Some(at) = template.0.checked_sub(1) else {
            return;
        };
        let stripe = (at as usize).checked_div(self.slots).unwrap_or(0);
        if let Some(mut held) = self.hold_stripe(stripe, 0) {
            let slot = (at as usize - held.first) as u16;
            if goes(&held, slot) {
                held.remove(slot);
            }
        }
    }

    /// Slots: where listings and other walks end.
    #[must_use]
    pub fn extent(&self) -> u32 {
        self.claims.len() as u32
    }

    /// Shows the templates in the slots from `from` on, `span` at most; `show` returns false when
    /// it can't take one. Returns where to go on.
    pub fn list(
        &self,
        from: u32,
        span: u32,
        now: Ticks,
        mut show: impl FnMut(Listed<A>) -> bool,
    ) -> u32 {
        self.walk(from, span, |held, slot| {
            let is_there = held.settle(slot, now).is_some();
            !is_there || held.listed(slot, now).is_none_or(&mut show)
        })
    }

    /// Takes the templates of gone servers out of the slots from `from` on, `span` at most, those
    /// that no connection refers to. Returns where to go on.
    pub fn purge(&self, from: u32, span: u32, is_gone: impl Fn(ServerIndex) -> bool) -> u32 {
        self.walk(from, span, |held, slot| {
            let gone = held.part.used(slot).is_some_and(|t| is_gone(t.server));
            if gone && held.connections(slot) == 0 {
                held.remove(slot);
            }
            true
        })
    }

    /// Takes the templates that no connection has made sure of out of the slots from `from` on,
    /// `span` at most: `drop_entry`. Returns where to go on.
    pub fn drop_unsure(&self, from: u32, span: u32) -> u32 {
        self.walk(from, span, |held, slot| {
            let is_kept = held.part.used(slot).is_some_and(|t| t.is_kept);
            if held.is_unsure(slot) && !is_kept {
                held.remove(slot);
            }
            true
        })
    }

    /// Visits the slots from `from` on, `span` at most, until `visit` returns false or others hold
    /// a stripe for too long. Returns where to go on.
    fn walk(
        &self,
        from: u32,
        span: u32,
        mut visit: impl FnMut(&mut Held<'_, A>, u16) -> bool,
    ) -> u32 {
        let end = from.saturating_add(span).min(self.extent());
        let mut at = from;
        while at < end {
            let stripe = (at as usize).checked_div(self.slots).unwrap_or(0);
            let Some(mut held) = self.hold_stripe(stripe, 0) else {
                return at;
            };
            let stop = end.min(((stripe + 1) * self.slots) as u32);
            while at < stop {
                let slot = (at as usize - held.first) as u16;
                if !visit(&mut held, slot) {
                    return at;
                }
                at += 1;
            }
        }
        end
    }
}
