//! Which next hops are wanted, and what to tell the kernel of them: no socket, and
//! the time is an argument.

use crate::Mirror;
use crate::mirror::{NeighbourView, NextHop};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// How often a wanted neighbour is asked for again.
pub const REFRESH: Duration = Duration::from_secs(25);

/// How often the kernel is reminded of a neighbour that is resolved.
pub const LOOK_AFTER: Duration = Duration::from_millis(250);

/// Reminders in one turn at most; with more neighbours each has its turn less often.
const REMINDERS_MAX: usize = 256;

/// How long a neighbour that a worker asked for is kept.
pub const KEEP: Duration = Duration::from_secs(300);

/// How long one that does not answer is kept.
pub const KEEP_UNRESOLVED: Duration = Duration::from_secs(10);

/// Neighbours kept for workers at most: half of the kernel's default limit for all (gc_thresh3).
pub const ON_DEMAND_MAX: usize = 512;

/// Places beyond them that only gateways of routes may take.
pub const FOR_GATEWAYS: usize = 64;

/// How long one that does not answer keeps its place when there is no room for others.
const TIME_TO_ANSWER: Duration = Duration::from_secs(1);

/// How often a place is looked for at most.
const SEARCH_PAUSE: Duration = Duration::from_millis(2);

/// How often the kernel is asked for one that it has given up.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// What to tell the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Resolve it, and keep it so.
    Manage(NextHop),
    /// It is an ordinary neighbour again.
    Release(NextHop),
    /// Nobody answers there: stop asking.
    Forget(NextHop),
}

/// A neighbour that is wanted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wanted {
    /// When the kernel was last asked; `None` for one that is new.
    asked: Option<Instant>,
    /// When it was first asked for.
    since: Option<Instant>,
    /// When the kernel was last reminded of it while it was resolved.
    reminded: Option<Instant>,
    /// A server is reached by it.
    pub(super) serves: bool,
    /// When a worker last asked for it.
    requested: Option<Instant>,
    /// A route has it beside one that a worker asked for.
    backs_up: bool,
}

/// Who is wanted and what follows from it.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) servers: BTreeSet<IpAddr>,
    pub(super) wanted: BTreeMap<NextHop, Wanted>,
    /// The routes' gateways at the last tick.
    gateways: BTreeSet<NextHop>,
    pub(super) refused: u64,
    /// When there was last a search for one that gives way.
    searched: Option<Instant>,
}

impl Plan {
    /// A worker's request; nothing to do if there is no room or the kernel was just asked.
    pub(super) fn request(&mut self, mirror: &Mirror, hop: NextHop, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        if !self.wanted.contains_key(&hop) && self.on_demand() >= self.room_for(&hop) {
            let Some(silent) = self.gives_way(mirror, now) else {
                self.refused += 1;
                return actions;
            };
            self.wanted.remove(&silent);
            actions.push(Action::Forget(silent));
        }
        let wanted = self.wanted.entry(hop).or_default();
        wanted.requested = Some(now);
        if wanted.ask(ASK_AGAIN, now) {
            actions.push(Action::Manage(hop));
        }
        actions
    }

    fn room_for(&self, hop: &NextHop) -> usize {
        if self.gateways.contains(hop) {
            ON_DEMAND_MAX + FOR_GATEWAYS
        } else {
            ON_DEMAND_MAX
        }
    }

    /// Who has to go where there is no room: of those that had their time to answer and did not,
    /// the one that was asked for longest ago; no gateway. So a flood from addresses that do not
    /// exist takes the places for [`TIME_TO_ANSWER`] only. There is one search in [`SEARCH_PAUSE`],
    /// or the flood would have this thread do nothing else.
    fn gives_way(&mut self, mirror: &Mirror, now: Instant) -> Option<NextHop> {
        let recent = |at| now.duration_since(at) < SEARCH_PAUSE;
        if self.searched.is_some_and(recent) {
            return None;
        }
        self.searched = Some(now);
        let silent = |(hop, wanted): &(&NextHop, &Wanted)| {
            let had_time = |at| now.duration_since(at) >= TIME_TO_ANSWER;
            let answers = [NeighbourView::Resolved, NeighbourView::Fixed];
            !wanted.serves
                && !wanted.backs_up
                && !self.gateways.contains(hop)
                && wanted.since.is_some_and(had_time)
                && !answers.contains(&mirror.neighbour(**hop))
        };
        let all = self.wanted.iter().filter(silent);
        all.min_by_key(|(_, wanted)| wanted.since)
            .map(|(hop, _)| *hop)
    }

    pub(super) fn on_demand(&self) -> usize {
        self.wanted.values().filter(|w| !w.serves).count()
    }

    /// The gateways of routes, and with one that workers asked for, the others of its routes: a
    /// worker asks only for the one that it takes.
    fn gateways(&mut self, mirror: &Mirror) -> BTreeSet<NextHop> {
        for wanted in self.wanted.values_mut() {
            wanted.backs_up = false;
        }
        // With a full table of routes this is no small set: only if somebody could be in it.
        if self.wanted.values().all(|w| w.requested.is_none()) {
            return BTreeSet::new();
        }
        let together = mirror.gateways();
        for company in together.iter().filter(|company| company.len() > 1) {
            let asked = |hop| self.wanted.get(hop).and_then(|w: &Wanted| w.requested);
            let Some(requested) = company.iter().filter_map(asked).max() else {
                continue;
            };
            for hop in company {
                let wanted = self.wanted.entry(*hop).or_default();
                wanted.requested.get_or_insert(requested);
                wanted.backs_up = true;
            }
        }
        together.into_iter().flatten().collect()
    }

    /// What is due at this time.
    pub(super) fn tick(&mut self, mirror: &Mirror, now: Instant) -> Vec<Action> {
        let servers = self.servers.iter();
        let hops: BTreeSet<_> = servers.flat_map(|to| mirror.next_hops(*to)).collect();
        for (hop, wanted) in &mut self.wanted {
            wanted.serves = hops.contains(hop);
        }
        for hop in hops {
            self.wanted.entry(hop).or_default().serves = true;
        }
        let gateways = self.gateways(mirror);
        let mut actions = Vec::new();
        self.wanted.retain(|hop, wanted| {
            let state = mirror.neighbour(*hop);
            if state == NeighbourView::Fixed {
                return wanted.serves;
            }
            if !wanted.is_kept(state, gateways.contains(hop), now) {
                actions.push(match state {
                    NeighbourView::Resolved => Action::Release(*hop),
                    _ => Action::Forget(*hop),
                });
                return false;
            }
            let pause = match state {
                // Flushed, or given up: as a kernel that forwards by itself, try again at once.
                NeighbourView::Absent | NeighbourView::Failed => ASK_AGAIN,
                _ => REFRESH,
            };
            if wanted.ask(pause, now) {
                actions.push(Action::Manage(*hop));
            }
            true
        });
        self.gateways = gateways;
        actions
    }

    /// Reminders of neighbours that are resolved, those first whose last one was longest ago.
    pub(super) fn look_after(&mut self, mirror: &Mirror, now: Instant) -> Vec<Action> {
        let resolved = |hop: &NextHop| mirror.neighbour(*hop) == NeighbourView::Resolved;
        let due = |wanted: &Wanted| {
            let at = wanted.reminded.max(wanted.asked)?;
            (now.duration_since(at) >= LOOK_AFTER).then_some(at)
        };
        let wanted = self.wanted.iter_mut();
        let mut due: Vec<_> = wanted
            .filter_map(|(hop, wanted)| Some((due(wanted)?, *hop, wanted)))
            .filter(|(_, hop, _)| resolved(hop))
            .collect();
        due.sort_by_key(|(at, ..)| *at);
        let turn = due.into_iter().take(REMINDERS_MAX);
        turn.map(|(_, hop, wanted)| {
            // Not as asked: one that vanishes is asked for at once.
            wanted.reminded = Some(now);
            Action::Manage(hop)
        })
        .collect()
    }
}

impl Wanted {
    fn is_kept(&self, state: NeighbourView, is_gateway: bool, now: Instant) -> bool {
        let limit = match state {
            NeighbourView::Resolved => KEEP,
            _ => KEEP_UNRESOLVED,
        };
        let recent = |at| now.duration_since(at) < limit;
        let in_use = is_gateway && self.requested.is_some() && state == NeighbourView::Resolved;
        self.serves || self.backs_up || in_use || self.requested.is_some_and(recent)
    }

    /// True, and noted, if the kernel was not asked for so long.
    fn ask(&mut self, pause: Duration, now: Instant) -> bool {
        let due = self.asked.is_none_or(|at| now.duration_since(at) >= pause);
        if due {
            self.asked = Some(now);
            self.since.get_or_insert(now);
        }
        due
    }
}

#[cfg(test)]
mod tests;
