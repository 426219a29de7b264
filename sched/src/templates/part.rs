//! A part of the table: slots, and chains of those that are found by a hash.

use super::DATA_MAX;
use crate::persistence::TemplateKey;
use crate::service::ServerIndex;
use pvs_proto::{Address, Ticks};

/// No slot, and the end of a chain.
const NIL: u16 = u16::MAX;

/// Slots of a part at most.
pub(super) const SLOTS_MAX: usize = NIL as usize - 1;

/// A template.
#[derive(Clone, Copy, Debug)]
pub(super) struct Template<A> {
    /// What it is found by.
    pub(super) key: TemplateKey<A>,
    /// The server.
    pub(super) server: ServerIndex,
    /// The server's port; 0 where the template takes several ports.
    pub(super) port: u16,
    /// It is not found any more: another one has taken its place. It stays until it is due.
    pub(super) is_invalid: bool,
    pub(super) timeout: Ticks,
    pub(super) deadline: Ticks,
    pub(super) hash: u32,
    pub(super) is_used: bool,
    /// `drop_entry` leaves it.
    pub(super) is_kept: bool,
    pub(super) data: u8,
    pub(super) next: u16,
}

/// Slots with their chains.
#[derive(Debug)]
pub(super) struct Part<A> {
    pub(super) heads: Box<[u16]>,
    pub(super) slots: Box<[Template<A>]>,
    /// Of each slot. Memory that no engine's template has ever needed is not touched.
    pub(super) data: Box<[[u8; DATA_MAX]]>,
    pub(super) free: u16,
    pub(super) fresh: u16,
    /// Where a sweep goes on that has not come to the end, and the first deadline behind it.
    pub(super) swept: u16,
    pub(super) earliest: Ticks,
    /// The slot that is looked at next when there is no room.
    pub(super) hand: u16,
}

impl<A: Address> Part<A> {
    pub(super) fn new(slots: usize) -> Self {
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
            is_kept: false,
            data: 0,
            next: NIL,
        };
        Self {
            heads: vec![NIL; slots.next_power_of_two()].into(),
            slots: vec![unused; slots].into(),
            data: vec![[0; DATA_MAX]; slots].into(),
            free: NIL,
            fresh: 0,
            swept: 0,
            earliest: Ticks(0),
            hand: 0,
        }
    }

    pub(super) fn used(&self, slot: u16) -> Option<&Template<A>> {
        self.slots.get(usize::from(slot)).filter(|t| t.is_used)
    }

    pub(super) fn data(&self, slot: u16, template: &Template<A>) -> &[u8] {
        let bytes = self.data.get(usize::from(slot));
        bytes
            .and_then(|bytes| bytes.get(..template.data.into()))
            .unwrap_or_default()
    }

    pub(super) fn used_mut(&mut self, slot: u16) -> Option<&mut Template<A>> {
        self.slots.get_mut(usize::from(slot)).filter(|t| t.is_used)
    }

    pub(super) fn head(&mut self, hash: u32) -> Option<&mut u16> {
        let mask = self.heads.len().wrapping_sub(1);
        self.heads.get_mut(hash as usize & mask)
    }

    /// Takes a slot out of its chain.
    pub(super) fn unlink(&mut self, slot: u16) {
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

    pub(super) fn take(&mut self) -> Option<u16> {
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

    /// A deadline is behind where a sweep stands, or before it.
    pub(super) fn expect(&mut self, deadline: Ticks, now: Ticks) {
        if deadline.left(now).0 < self.earliest.left(now).0 {
            self.earliest = deadline;
        }
    }
}
