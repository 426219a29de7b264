//! A stripe that is held: templates looked up, entered, and let go in time.

use super::part::{Part, Template};
use super::{Claim, EngineData, Stripe, TemplateRef, Templates};
use crate::persistence::TemplateKey;
use crate::service::ServerIndex;
use crate::sync::{LockGuard, Relaxed};
use pvs_proto::{Address, Ticks};

/// How long a template that is due goes on while it has connections.
pub(super) const GOES_ON: Ticks = Ticks::from_secs(60);

/// Slots that are looked at, at most, for one that gives way.
const LOOKED_AT_MAX: u16 = 64;

/// The port of a template that is not used any more, as the kernel shows it.
const INVALID: u16 = u16::MAX;

/// A stripe that is held.
pub struct Held<'a, A> {
    pub(super) table: &'a Templates<A>,
    pub(super) stripe: &'a Stripe<A>,
    pub(super) part: LockGuard<'a, Part<A>>,
    pub(super) first: usize,
    pub(super) hash: u32,
}

/// A slot of the stripe that is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(u16);

/// What a listing shows of a template.
#[derive(Clone, Copy, Debug)]
pub struct Listed<A> {
    /// Its key; the port of one that is not used any more is 65535.
    pub key: TemplateKey<A>,
    /// The server.
    pub server: ServerIndex,
    /// The server's port.
    pub port: u16,
    /// Whole seconds until it is due.
    pub expires_secs: u32,
    /// One of its connections was established.
    pub is_assured: bool,
    /// What its engine goes by.
    pub data: EngineData,
}

impl<A: Address> Held<'_, A> {
    /// The valid template of this key; with an engine, that of these data as well.
    pub fn find(
        &mut self,
        key: &TemplateKey<A>,
        data: &EngineData,
        now: Ticks,
    ) -> Option<(Place, ServerIndex)> {
        let mut slot = *self.part.head(self.hash)?;
        for _ in 0..self.table.slots {
            let template = *self.part.used(slot)?;
            let has_data = self.part.data(slot, &template) == data.bytes();
            if has_data && template.key == *key {
                self.settle(slot, now)?;
                return Some((Place(slot), template.server));
            }
            slot = template.next;
        }
        None
    }

    /// Enters a template. If there is no room, one without a connection gives way, that is due or
    /// that no connection has made sure of; `None` if there is none among the few that are looked
    /// at.
    pub fn insert(
        &mut self,
        (key, data): (TemplateKey<A>, &EngineData),
        (server, port): (ServerIndex, u16),
        timeout: Ticks,
        now: Ticks,
    ) -> Option<Place> {
        let slot = match self.part.take() {
            Some(slot) => slot,
            None => {
                let slot = self.giving_way(now)?;
                self.remove(slot);
                self.part.take()?
            }
        };
        let hash = self.hash;
        let head = self.part.head(hash)?;
        let next = core::mem::replace(head, slot);
        let deadline = now.after(timeout);
        *self.part.slots.get_mut(usize::from(slot))? = Template {
            key,
            server,
            port,
            is_invalid: false,
            timeout,
            deadline,
            hash,
            is_used: true,
            is_kept: false,
            data: data.length,
            next,
        };
        if data.length > 0 {
            *self.part.data.get_mut(usize::from(slot))? = data.bytes;
        }
        if let Some(claim) = self.table.claims.get(self.first + usize::from(slot)) {
            claim.connections.store(0, Relaxed);
            claim.is_assured.store(false, Relaxed);
        }
        self.table.count(server, |count| {
            count.fetch_add(1, Relaxed);
        });
        self.part.expect(deadline, now);
        if deadline.left(now).0 < Ticks(self.stripe.due.load(Relaxed)).left(now).0 {
            self.stripe.due.store(deadline.0, Relaxed);
        }
        Some(Place(slot))
    }

    /// A hand goes round the slots: each call goes on behind the one before.
    #[cold]
    fn giving_way(&mut self, now: Ticks) -> Option<u16> {
        let fresh = self.part.fresh;
        for _ in 0..fresh.min(LOOKED_AT_MAX) {
            let slot = self.part.hand;
            self.part.hand = if slot + 1 < fresh { slot + 1 } else { 0 };
            let is_due = self.part.used(slot).is_some_and(|t| t.deadline.is_due(now));
            if self.is_unsure(slot) || (is_due && self.connections(slot) == 0) {
                return Some(slot);
            }
        }
        None
    }

    /// It is not to be found any more: its server is gone. It stays listed until it is due.
    pub fn invalidate(&mut self, Place(slot): Place) {
        self.part.unlink(slot);
        if let Some(template) = self.part.used_mut(slot) {
            template.is_invalid = true;
        }
    }

    /// It is not to be dropped as one that no connection has made sure of: those of one packet
    /// never do.
    pub fn keep(&mut self, Place(slot): Place) {
        if let Some(template) = self.part.used_mut(slot) {
            template.is_kept = true;
        }
    }

    /// What a listing shows of it.
    #[must_use]
    pub fn show(&self, Place(slot): Place, now: Ticks) -> Option<Listed<A>> {
        self.listed(slot, now)
    }

    /// A connection was looked for by it: it lives on for its timeout.
    pub fn refresh(&mut self, Place(slot): Place, now: Ticks) {
        if let Some(template) = self.part.used_mut(slot) {
            template.deadline = now.after(template.timeout);
        }
    }

    /// A connection refers to it from now on, until [`Templates::release`].
    #[must_use]
    pub fn adopt(&self, Place(slot): Place) -> TemplateRef {
        let at = self.first + usize::from(slot);
        if let Some(claim) = self.table.claims.get(at) {
            claim.connections.fetch_add(1, Relaxed);
        }
        TemplateRef(at as u32 + 1)
    }

    fn claim(&self, slot: u16) -> Option<&Claim> {
        self.table.claims.get(self.first + usize::from(slot))
    }

    pub(super) fn connections(&self, slot: u16) -> u32 {
        self.claim(slot)
            .map_or(0, |claim| claim.connections.load(Relaxed))
    }

    pub(super) fn is_unsure(&self, slot: u16) -> bool {
        let unsure = self
            .claim(slot)
            .is_some_and(|c| !c.is_assured.load(Relaxed));
        unsure && self.connections(slot) == 0 && self.part.used(slot).is_some()
    }

    /// Lets time pass for a template: its deadline, or `None` if it is none any more.
    pub(super) fn settle(&mut self, slot: u16, now: Ticks) -> Option<Ticks> {
        let deadline = self.part.used(slot)?.deadline;
        if !deadline.is_due(now) {
            return Some(deadline);
        }
        if self.connections(slot) == 0 {
            self.remove(slot);
            return None;
        }
        let template = self.part.used_mut(slot)?;
        template.timeout = GOES_ON;
        let overdue = now.left(deadline).0;
        let minutes = overdue.checked_div(GOES_ON.0).unwrap_or(0) + 1;
        template.deadline = deadline.after(Ticks(GOES_ON.0.wrapping_mul(minutes)));
        Some(template.deadline)
    }

    pub(super) fn remove(&mut self, slot: u16) {
        let Some(&Template {
            server, is_invalid, ..
        }) = self.part.used(slot)
        else {
            return;
        };
        if !is_invalid {
            self.part.unlink(slot);
        }
        let free = self.part.free;
        if let Some(template) = self.part.used_mut(slot) {
            template.is_used = false;
            template.next = free;
        }
        self.part.free = slot;
        self.table.count(server, |count| {
            count.fetch_sub(1, Relaxed);
        });
    }

    pub(super) fn listed(&self, slot: u16, now: Ticks) -> Option<Listed<A>> {
        let template = self.part.used(slot)?;
        let port = |port| if template.is_invalid { INVALID } else { port };
        Some(Listed {
            key: TemplateKey {
                port: port(template.key.port),
                ..template.key
            },
            server: template.server,
            port: port(template.port),
            expires_secs: template.deadline.left(now).secs(),
            is_assured: self.claim(slot)?.is_assured.load(Relaxed),
            data: EngineData::new(self.part.data(slot, template)).unwrap_or(EngineData::NONE),
        })
    }
}
