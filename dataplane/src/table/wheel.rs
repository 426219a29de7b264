//! Expiry: a timer wheel of doubly linked lists through the entries themselves.
//!
//! A packet only writes its entry's deadline; an entry is put off when its old place in the wheel
//! comes round. The wheel turns once in 1,048 s, so that every deadline but a long `--set` or `-p`
//! has a place of its own; a longer one goes round again. An entry leaves at most 64 ms after its
//! deadline (the kernel's own wheel is later), and one call does a bounded amount of work.

use super::entry::{Entry, NIL};
use crate::apart::Apart;
use crate::slab::Slab;
use pvs_proto::{Family, Ticks};

/// Places in the wheel.
const PLACES: u32 = 16_384;

/// Ticks that one place stands for: 64 ms.
const SPAN: u32 = 16;

/// Marks a `wheel_prev` that is a place in the wheel, not an entry.
const PLACE: u32 = 1 << 31;

/// Places passed in one call, at most.
const PLACES_BUDGET: u32 = 64;

#[derive(Debug)]
pub(super) struct Wheel {
    heads: Apart<u32>,
    /// The next place to be looked at, as an instant in units of [`SPAN`];
    /// `None` before the first call.
    turn: Option<u32>,
}

impl Wheel {
    #[cfg(test)]
    pub(super) fn heads(&self) -> &[u32] {
        &self.heads
    }

    pub(super) fn new() -> Self {
        Self {
            heads: Apart::new(NIL, PLACES as usize),
            turn: None,
        }
    }

    /// The first place that comes after the deadline, or the last one but one of this turn: who is
    /// put off is reckoned from one place on, and must not come back to where it was met.
    fn place(&mut self, deadline: Ticks, now: Ticks) -> u32 {
        let turn = *self.turn.get_or_insert(now.0 / SPAN);
        let base = Ticks(turn.wrapping_mul(SPAN));
        let ahead = deadline.left(base).0 / SPAN;
        turn.wrapping_add(ahead.min(PLACES - 2)) % PLACES
    }

    pub(super) fn link<F: Family>(&mut self, arena: &mut Slab<Entry<F>>, at: u32, now: Ticks) {
        let Some(deadline) = arena.get(at as usize).map(|e| e.deadline) else {
            return;
        };
        let place = self.place(deadline, now);
        let Some(head) = self.heads.get_mut(place as usize) else {
            return;
        };
        let next = core::mem::replace(head, at);
        if let Some(entry) = arena.get_mut(at as usize) {
            entry.wheel_prev = PLACE | place;
            entry.wheel_next = next;
        }
        if let Some(after) = arena.get_mut(next as usize) {
            after.wheel_prev = at;
        }
    }

    pub(super) fn unlink<F: Family>(&mut self, arena: &mut Slab<Entry<F>>, at: u32) {
        let Some((prev, next)) = arena.get(at as usize).map(|e| (e.wheel_prev, e.wheel_next))
        else {
            return;
        };
        if prev == NIL {
            return;
        }
        if prev & PLACE != 0 {
            if let Some(head) = self.heads.get_mut((prev & !PLACE) as usize) {
                *head = next;
            }
        } else if let Some(before) = arena.get_mut(prev as usize) {
            before.wheel_next = next;
        }
        if let Some(after) = arena.get_mut(next as usize) {
            after.wheel_prev = prev;
        }
        if let Some(entry) = arena.get_mut(at as usize) {
            entry.wheel_prev = NIL;
            entry.wheel_next = NIL;
        }
    }

    /// An entry whose deadline has passed; others that are met on the way are put off.
    pub(super) fn due<F: Family>(
        &mut self,
        arena: &mut Slab<Entry<F>>,
        now: Ticks,
        budget: &mut u32,
    ) -> Option<u32> {
        for _ in 0..PLACES_BUDGET {
            let turn = *self.turn.get_or_insert(now.0 / SPAN);
            // A place is looked at once all of its span has passed.
            if !Ticks(turn.wrapping_add(1).wrapping_mul(SPAN)).is_due(now) {
                return None;
            }
            let head = *self.heads.get((turn % PLACES) as usize)?;
            if head == NIL {
                self.turn = Some(turn.wrapping_add(1) % (u32::MAX / SPAN + 1));
                continue;
            }
            if *budget == 0 {
                return None;
            }
            *budget -= 1;
            let deadline = arena.get(head as usize)?.deadline;
            if deadline.is_due(now) {
                return Some(head);
            }
            self.unlink(arena, head);
            self.link_behind(arena, head, turn, now);
        }
        None
    }

    /// Puts an entry off to its deadline; at least one place on, or `due` would meet it again.
    fn link_behind<F: Family>(
        &mut self,
        arena: &mut Slab<Entry<F>>,
        at: u32,
        turn: u32,
        now: Ticks,
    ) {
        self.turn = Some(turn.wrapping_add(1) % (u32::MAX / SPAN + 1));
        self.link(arena, at, now);
        self.turn = Some(turn);
    }
}
