//! Persistence templates: which server a group of clients has. Shared by all workers, and touched only when a
//! connection begins or ends.
//!
//! A bounded table in stripes, each with a lock that is only ever tried. Who holds a stripe looks a client's
//! template up, has a server picked if there is none, and enters it: so two first packets on two workers agree, the
//! second finds what the first has entered. A template holds as long as connections refer to it, counted beside the
//! lock, so that a connection can end without it. Times are the kernel's (`ip_vs_conn_expire`): the service's
//! timeout, and a minute at a time while a template that is due still has connections.
//!
//! Where a persistence engine tells clients apart, by a call for instance, the template keeps what it goes by.

use crate::persistence::TemplateKey;
use crate::service::ServerIndex;
use crate::sync::{AtomicBool, AtomicU32, Lock, LockGuard, Relaxed, wait_a_moment};
use pvs_proto::{Address, Ticks};

/// Parts of the table that are locked apart. The model checker has enough with one.
const STRIPES: usize = if cfg!(loom) { 1 } else { 64 };

/// Slots that a part has at least.
const SLOTS_MIN: usize = if cfg!(loom) { 2 } else { 8 };

/// How often a lock is tried. What is done under one takes a few microseconds at most; this is longer.
const TRIES: u32 = 4096;

/// How long a template that is due goes on while it has connections.
const GOES_ON: Ticks = Ticks::from_secs(60);

/// Templates that are due are taken out this much later at most: 128 ms.
const LATE: u32 = 32;

/// No slot, and the end of a chain.
const NIL: u16 = u16::MAX;

/// The port of a template that is not used any more, as the kernel shows it.
const INVALID: u16 = u16::MAX;

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

/// What a persistence engine goes by: bytes of a packet, or none.
#[derive(Clone, Copy)]
pub struct EngineData {
    length: u8,
    bytes: [u8; DATA_MAX],
}

/// Most bytes that an engine goes by.
const DATA_MAX: usize = 255;

impl EngineData {
    /// There is no engine.
    pub const NONE: Self = Self {
        length: 0,
        bytes: [0; DATA_MAX],
    };

    /// These bytes; `None` if they are too many, or none.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let length = u8::try_from(bytes.len())
            .ok()
            .filter(|length| *length > 0)?;
        let mut data = Self::NONE;
        data.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        data.length = length;
        Some(data)
    }

    /// The bytes; empty without an engine.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length.into()).unwrap_or_default()
    }
}

impl core::fmt::Debug for EngineData {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.bytes().fmt(f)
    }
}

/// A template.
#[derive(Clone, Copy, Debug)]
pub struct Template<A> {
    /// What it is found by.
    pub key: TemplateKey<A>,
    /// The server.
    pub server: ServerIndex,
    /// The server's port; 0 where the template takes several ports.
    pub port: u16,
    /// It is not found any more: another one has taken its place. It stays until it is due.
    pub is_invalid: bool,
    timeout: Ticks,
    deadline: Ticks,
    hash: u32,
    is_used: bool,
    data: u8,
    next: u16,
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

#[derive(Debug)]
struct Part<A> {
    heads: Box<[u16]>,
    slots: Box<[Template<A>]>,
    /// Of each slot. Memory that no engine's template has ever needed is not touched.
    data: Box<[[u8; DATA_MAX]]>,
    free: u16,
    fresh: u16,
}

/// A stripe that is held.
pub struct Held<'a, A> {
    table: &'a Templates<A>,
    stripe: &'a Stripe<A>,
    part: LockGuard<'a, Part<A>>,
    first: usize,
    hash: u32,
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

impl<A: Address> Templates<A> {
    /// An empty table for `templates` templates, give or take what falls unevenly on its stripes, of `servers`
    /// servers. All its memory is taken here: 64 bytes for each (96 in IPv6).
    #[must_use]
    pub fn new(templates: usize, servers: usize) -> Self {
        let slots = templates
            .div_ceil(STRIPES)
            .clamp(SLOTS_MIN, usize::from(NIL - 1));
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

    /// A connection of the template has ended. True if it was the last one, of a template that no connection
    /// has ever made sure of.
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

    /// Takes out what is due in one stripe, the first that has something of those that are `worker`'s share
    /// among `workers`.
    #[inline]
    pub fn sweep(&self, now: Ticks, worker: usize, workers: usize) {
        let share = self.stripes.iter().enumerate();
        for (at, stripe) in share.skip(worker).step_by(workers.max(1)) {
            if Ticks(stripe.due.load(Relaxed)).is_due(now) {
                return self.sweep_stripe(at, now, false);
            }
        }
    }

    /// Takes out what is due in a stripe, and what no connection has made sure of if that shall go too.
    #[cold]
    fn sweep_stripe(&self, at: usize, now: Ticks, unsure_too: bool) {
        let Some(stripe) = self.stripes.get(at) else {
            return;
        };
        // Who holds it is quick; there is another turn.
        let Some(part) = stripe.part.try_lock() else {
            return;
        };
        let first = at * self.slots;
        let mut held = Held {
            table: self,
            stripe,
            part,
            first,
            hash: 0,
        };
        // A stripe without templates is looked at again in a while.
        let mut due = now.after(GOES_ON);
        for slot in 0..held.part.fresh {
            if held.is_unsure(slot) && unsure_too {
                held.remove(slot);
            }
            if let Some(deadline) = held.settle(slot, now) {
                if deadline.left(now).0 < due.left(now).0 {
                    due = deadline;
                }
            }
        }
        stripe.due.store(due.after(Ticks(LATE)).0, Relaxed);
    }

    /// Takes out the templates of a stripe that no connection has made sure of: `drop_entry`.
    pub fn drop_unsure(&self, stripe: usize, now: Ticks) {
        self.sweep_stripe(stripe % STRIPES, now, true);
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

    /// Takes the templates of gone servers out of a stripe, those that no connection refers to. False if there is no
    /// such stripe.
    pub fn purge(&self, stripe: usize, is_gone: impl Fn(ServerIndex) -> bool) -> bool {
        if stripe >= STRIPES {
            return false;
        }
        if let Some(mut held) = self.hold_stripe(stripe, 0) {
            for slot in 0..held.part.fresh {
                let gone = held.part.used(slot).is_some_and(|t| is_gone(t.server));
                if gone && held.connections(slot) == 0 {
                    held.remove(slot);
                }
            }
        }
        true
    }

    /// Slots: where a listing ends.
    #[must_use]
    pub fn extent(&self) -> u32 {
        self.claims.len() as u32
    }

    /// Shows the templates in the slots from `from` on, `span` at most; `show` returns false when it can't take
    /// one. Returns where to go on.
    pub fn list(
        &self,
        from: u32,
        span: u32,
        now: Ticks,
        mut show: impl FnMut(Listed<A>) -> bool,
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
                if held.settle(slot, now).is_some()
                    && held.listed(slot, now).is_some_and(|l| !show(l))
                {
                    return at;
                }
                at += 1;
            }
        }
        end
    }
}

impl<A: Address> Part<A> {
    fn new(slots: usize) -> Self {
        let unused = Template {
            key: TemplateKey {
                protocol: pvs_proto::Protocol(0),
                client: A::default(),
                virtual_: A::default(),
                port: 0,
            },
            server: ServerIndex(0),
            port: 0,
            is_invalid: false,
            timeout: Ticks(0),
            deadline: Ticks(0),
            hash: 0,
            is_used: false,
            data: 0,
            next: NIL,
        };
        Self {
            heads: vec![NIL; slots.next_power_of_two()].into(),
            slots: vec![unused; slots].into(),
            data: vec![[0; DATA_MAX]; slots].into(),
            free: NIL,
            fresh: 0,
        }
    }

    fn used(&self, slot: u16) -> Option<&Template<A>> {
        self.slots.get(usize::from(slot)).filter(|t| t.is_used)
    }

    fn data(&self, slot: u16, template: &Template<A>) -> &[u8] {
        let bytes = self.data.get(usize::from(slot));
        bytes
            .and_then(|bytes| bytes.get(..template.data.into()))
            .unwrap_or_default()
    }

    fn used_mut(&mut self, slot: u16) -> Option<&mut Template<A>> {
        self.slots.get_mut(usize::from(slot)).filter(|t| t.is_used)
    }

    fn head(&mut self, hash: u32) -> Option<&mut u16> {
        let mask = self.heads.len().wrapping_sub(1);
        self.heads.get_mut(hash as usize & mask)
    }

    /// Takes a slot out of its chain.
    fn unlink(&mut self, slot: u16) {
        let Some(&Template { hash, next, .. }) = self.used(slot) else {
            return;
        };
        let Some(head) = self.head(hash) else { return };
        if *head == slot {
            *head = next;
            return;
        }
        let mut at = *head;
        for _ in 0..self.slots.len() {
            let Some(template) = self.slots.get_mut(usize::from(at)) else {
                return;
            };
            if template.next == slot {
                template.next = next;
                return;
            }
            at = template.next;
        }
    }

    fn take(&mut self) -> Option<u16> {
        if self.free != NIL {
            let slot = self.free;
            self.free = self.slots.get(usize::from(slot))?.next;
            return Some(slot);
        }
        let slot = self.fresh;
        let fits = usize::from(slot) < self.slots.len();
        self.fresh += u16::from(fits);
        fits.then_some(slot)
    }
}

impl<A: Address> Held<'_, A> {
    /// The valid template of this key; with an engine, that of these data, whoever the client is.
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
            let anybody_s = TemplateKey {
                client: key.client,
                ..template.key
            };
            let is_same = match template.data {
                0 => template.key == *key,
                _ => anybody_s == *key,
            };
            if has_data && is_same {
                self.settle(slot, now)?;
                return Some((Place(slot), template.server));
            }
            slot = template.next;
        }
        None
    }

    /// Enters a template. One that no connection has made sure of gives way if there is no room; `None` if there is
    /// none even so.
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
                let mut all = 0..self.part.fresh;
                let unsure = all.find(|slot| self.is_unsure(*slot))?;
                self.remove(unsure);
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
        if deadline.left(now).0 < Ticks(self.stripe.due.load(Relaxed)).left(now).0 {
            self.stripe.due.store(deadline.0, Relaxed);
        }
        Some(Place(slot))
    }

    /// It is not to be found any more: its server is gone. It stays listed until it is due.
    pub fn invalidate(&mut self, Place(slot): Place) {
        self.part.unlink(slot);
        if let Some(template) = self.part.used_mut(slot) {
            template.is_invalid = true;
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

    fn connections(&self, slot: u16) -> u32 {
        self.claim(slot)
            .map_or(0, |claim| claim.connections.load(Relaxed))
    }

    fn is_unsure(&self, slot: u16) -> bool {
        let unsure = self
            .claim(slot)
            .is_some_and(|c| !c.is_assured.load(Relaxed));
        unsure && self.connections(slot) == 0 && self.part.used(slot).is_some()
    }

    /// Lets time pass for a template: its deadline, or `None` if it is none any more.
    fn settle(&mut self, slot: u16, now: Ticks) -> Option<Ticks> {
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

    fn remove(&mut self, slot: u16) {
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

    fn listed(&self, slot: u16, now: Ticks) -> Option<Listed<A>> {
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
