//! rr: the next usable server behind the last one used, around the list.
//!
//! Mirrors `ip_vs_rr.c`: weights count only as zero or not; when the last one used is removed, the
//! position falls back to the server before it.

use super::{Ask, Copyable, Edit, HEAD, List, Place, Scheduler, behind, usable};
use crate::cells::Loads;
use crate::sync::{AtomicU32, Relaxed};
use pvs_proto::Address;

/// Nothing is built.
#[derive(Clone, Debug)]
pub(crate) struct Rr;

/// The place of the server last used. On a line of its own: workers write it whenever a connection
/// begins, and what lies beside it on the heap may be what they read for every packet.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct State(AtomicU32);

impl Copyable for State {
    fn copy(&self) -> Self {
        Self(AtomicU32::new(self.0.load(Relaxed)))
    }
}

/// The removed server's place, and the place before it.
#[derive(Clone, Debug)]
pub(crate) struct Removed {
    ordinal: Place,
    before: Place,
}

impl Scheduler for Rr {
    type State = State;
    type Change = Removed;

    fn build(_: &List<'_>) -> Self {
        Self
    }

    fn start(&self) -> State {
        State(AtomicU32::new(HEAD))
    }

    fn change(&self, edit: Edit) -> Option<Removed> {
        match edit {
            Edit::Removed { ordinal, before } => Some(Removed {
                ordinal,
                before: before.unwrap_or(HEAD),
            }),
            Edit::Added | Edit::Edited => None,
        }
    }

    fn settle(state: &State, change: &Removed) {
        // Fails if the position is elsewhere, which is right.
        let _ = state
            .0
            .compare_exchange(change.ordinal, change.before, Relaxed, Relaxed);
    }

    fn pick<A: Address, L: Loads>(
        &self,
        state: &State,
        ask: &Ask<'_, A>,
        loads: &L,
    ) -> Option<usize> {
        let mut seen = state.0.load(Relaxed);
        loop {
            let (at, server) = behind(ask.servers, seen)
                .chain(ask.servers.iter().enumerate())
                .find(|(_, s)| usable(s, 1, loads))?;
            match state
                .0
                .compare_exchange_weak(seen, server.ordinal, Relaxed, Relaxed)
            {
                Ok(_) => return Some(at),
                Err(now) => seen = now,
            }
        }
    }
}
