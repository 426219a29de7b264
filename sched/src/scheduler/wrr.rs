//! wrr: round robin by weight, in descending steps of the greatest common divisor.
//!
//! Mirrors `ip_vs_wrr.c`: a current weight goes down by the divisor after each walk of the list,
//! and a server is taken if its weight reaches it. An edit puts the position before the first
//! server and brings the current weight back into the new range.

use super::{Ask, Copyable, Edit, HEAD, List, Place, Scheduler, behind, gcd, usable};
use crate::cells::Loads;
use crate::service::Server;
use crate::sync::{AtomicU64, Relaxed};
use pvs_proto::Address;

/// The range of the current weight.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wrr {
    /// Where the current weight starts: the greatest weight less (step - 1);
    /// 0 if no server is usable.
    top: u32,
    /// The greatest common divisor of the positive weights, at least 1.
    step: u32,
}

/// Place and current weight in one word, so that a worker moves both at once. On a
/// line of its own, as rr's is.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct State(AtomicU64);

impl Copyable for State {
    fn copy(&self) -> Self {
        Self(AtomicU64::new(self.0.load(Relaxed)))
    }
}

#[derive(Clone, Copy)]
struct Mark {
    place: Place,
    weight: u32,
}

impl Mark {
    const fn pack(self) -> u64 {
        ((self.place as u64) << 32) | self.weight as u64
    }

    const fn unpack(word: u64) -> Self {
        Self {
            place: (word >> 32) as u32,
            weight: word as u32,
        }
    }
}

impl Scheduler for Wrr {
    type State = State;
    type Change = Self;

    fn build(list: &List<'_>) -> Self {
        let weights = || {
            list.servers
                .iter()
                .map(|s| s.config.weight)
                .filter(|w| *w > 0)
        };
        let step = weights().fold(0, gcd).max(1);
        let top = weights().max().unwrap_or(0).saturating_sub(step - 1);
        Self { top, step }
    }

    fn start(&self) -> State {
        State(AtomicU64::new(
            Mark {
                place: HEAD,
                weight: self.top,
            }
            .pack(),
        ))
    }

    fn change(&self, _: Edit) -> Option<Self> {
        Some(*self)
    }

    fn settle(state: &State, range: &Self) {
        let reset = |word| {
            let weight = Mark::unpack(word).weight;
            let weight = if weight > range.top || weight == 0 {
                range.top
            } else if range.step > 1 {
                weight - weight.checked_rem(range.step).unwrap_or(0) + 1
            } else {
                weight
            };
            Some(
                Mark {
                    place: HEAD,
                    weight,
                }
                .pack(),
            )
        };
        let _ = state.0.fetch_update(Relaxed, Relaxed, reset);
    }

    fn pick<A: Address, L: Loads>(
        &self,
        state: &State,
        ask: &Ask<'_, A>,
        loads: &L,
    ) -> Option<usize> {
        if self.top == 0 {
            return None;
        }
        let mut seen = state.0.load(Relaxed);
        loop {
            let (mark, at) = self.walk(ask.servers, Mark::unpack(seen), loads);
            match state
                .0
                .compare_exchange_weak(seen, mark.pack(), Relaxed, Relaxed)
            {
                Ok(_) => return at,
                Err(now) => seen = now,
            }
        }
    }
}

impl Wrr {
    /// Walks from `mark` to the first server whose weight reaches the current one. At the end of
    /// the list the current weight goes down to where the heaviest usable server reaches it: the
    /// kernel gets there by walks that find nothing. So two walks are the most there are.
    fn walk<L: Loads>(&self, servers: &[Server], mark: Mark, loads: &L) -> (Mark, Option<usize>) {
        // A worker that still saw the list before an edit may have left a weight out of this range.
        let weight = if mark.weight == 0 {
            self.top
        } else {
            mark.weight.min(self.top)
        };
        if let Some(found) = Self::first(servers, mark.place, weight, loads) {
            return found;
        }
        let usable = servers.iter().filter(|s| usable(s, 1, loads));
        let reach = usable.map(|s| s.config.weight).max().unwrap_or(0);
        if reach == 0 {
            return (self.nobody(servers, mark.place, weight), None);
        }
        let mut weight = weight.saturating_sub(self.step);
        if weight == 0 {
            weight = self.top;
        }
        let above = weight.saturating_sub(reach);
        if above > 0 {
            // Rounded up. The step is never 0, which the compiler can't know.
            let steps = above
                .saturating_add(self.step - 1)
                .checked_div(self.step)
                .unwrap_or(1);
            weight = weight
                .saturating_sub(steps.saturating_mul(self.step))
                .max(1);
        }
        let nobody = (
            Mark {
                place: HEAD,
                weight,
            },
            None,
        );
        Self::first(servers, HEAD, weight, loads).unwrap_or(nobody)
    }

    /// Where the kernel's mark stands when no server may be picked. A walk that began behind a
    /// server in its last round ends at that server, one round later; any other ends at the head.
    fn nobody(&self, servers: &[Server], place: Place, weight: u32) -> Mark {
        let listed = servers.iter().any(|s| s.ordinal == place);
        if !listed || weight > self.step {
            return Mark {
                place: HEAD,
                weight: self.top,
            };
        }
        let rounds = self
            .top
            .saturating_sub(1)
            .checked_div(self.step)
            .unwrap_or(0);
        Mark {
            place,
            weight: self.top.saturating_sub(rounds.saturating_mul(self.step)),
        }
    }

    /// The first server behind a place that may be picked at this weight.
    fn first<L: Loads>(
        servers: &[Server],
        place: Place,
        weight: u32,
        loads: &L,
    ) -> Option<(Mark, Option<usize>)> {
        let (at, server) = behind(servers, place).find(|(_, s)| usable(s, weight, loads))?;
        Some((
            Mark {
                place: server.ordinal,
                weight,
            },
            Some(at),
        ))
    }
}
