//! The schedulers: one file each, one shape for all.
//!
//! A scheduler has an immutable part, *built* by control out of the server list (mh's
//! table, wrr's greatest weight), and a mutable *state* that workers share and that
//! outlives edits (rr's position, lblc's cache). A worker *picks* with both. An edit of
//! the list makes a *change*, which control applies to the state at the moment of
//! publishing ([`Service::settle`](crate::Service::settle)), because the kernel moves
//! positions when servers come and go.
//!
//! Adding a scheduler: a file with an `impl Scheduler`, a row in `schedulers!` below, a name in
//! [`SchedulerName`].

mod cache;
mod candidates;
mod dh;
mod fo;
mod hash;
mod lblc;
mod lblcr;
mod lc;
mod least;
mod locality;
mod mh;
mod none;
mod nq;
mod ovf;
mod rr;
mod sed;
mod sh;
mod tournament;
mod twos;
mod wlc;
mod wrr;

use crate::cells::Loads;
use crate::config::{AddressFamily, SchedulerName, ServiceConfig, ServiceFlags};
use crate::service::Server;
use crate::slots::MhSlots;
use crate::tunables::Tunables;
use pvs_proto::{Address, Endpoint, Ticks};
use std::sync::Arc;

/// What a scheduler may know about a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow<A> {
    /// The client.
    pub client: Endpoint<A>,
    /// The address and port it wants.
    pub virtual_: Endpoint<A>,
    /// The present instant: some schedulers forget in time.
    pub now: Ticks,
}

/// What a scheduler is built of.
pub(crate) struct List<'a> {
    /// The family of the service, by which the kernel reads the servers' addresses too.
    pub(crate) family: AddressFamily,
    /// The size of mh's table.
    pub(crate) slots: MhSlots,
    /// How many workers will pick out of it.
    pub(crate) workers: usize,
    /// The servers, in the kernel's list order.
    pub(crate) servers: &'a [Server],
}

/// Who asks for a server, and out of which list.
pub(crate) struct Ask<'a, A> {
    /// The list that the scheduler was last built of.
    pub(crate) servers: &'a [Server],
    /// The service's flags.
    pub(crate) flags: ServiceFlags,
    /// The new connection.
    pub(crate) flow: &'a Flow<A>,
    /// How long some schedulers remember.
    pub(crate) tunables: &'a Tunables,
}

/// What happened to the server list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Edit {
    /// A server was added.
    Added,
    /// A server's weight, thresholds or method were edited.
    Edited,
    /// The server of this ordinal was removed; `before` is the one before it in the list.
    Removed { ordinal: u32, before: Option<u32> },
}

/// One scheduling algorithm. `Self` is its immutable part.
pub(crate) trait Scheduler: Sized {
    /// What workers share and write.
    type State: Copyable;
    /// What an edit of the list does to the state.
    type Change;
    /// Built by control of a list.
    fn build(list: &List<'_>) -> Self;
    /// Brought up to an edited list by control, once for each edit.
    fn update(&mut self, list: &List<'_>) {
        *self = Self::build(list);
    }
    /// Brought up to the list that will be published: once for all edits, for what
    /// would cost too much for each.
    fn finish(&mut self, _list: &List<'_>) {}
    /// The state of a scheduler that has picked nothing yet.
    fn start(&self) -> Self::State;
    /// The change that `edit`, which led to this list, makes; `None` if it makes none.
    fn change(&self, _edit: Edit) -> Option<Self::Change> {
        None
    }
    /// Applies a change. Workers may be picking at the same time.
    fn settle(_state: &Self::State, _change: &Self::Change) {}
    /// The place in the list of the server for a new connection.
    fn pick<A: Address, L: Loads>(
        &self,
        state: &Self::State,
        ask: &Ask<'_, A>,
        loads: &L,
    ) -> Option<usize>;
}

/// A state that can be copied at a moment: so that a pick can be tried that moves nothing.
pub(crate) trait Copyable {
    /// The state as it is now.
    fn copy(&self) -> Self;
}

impl Copyable for () {
    fn copy(&self) {}
}

/// A scheduler with its state and the changes not yet settled.
#[derive(Debug)]
pub(crate) struct Bound<S: Scheduler> {
    built: S,
    state: Arc<S::State>,
    changes: Vec<S::Change>,
}

impl<S: Scheduler + Clone> Clone for Bound<S>
where
    S::Change: Clone,
{
    fn clone(&self) -> Self {
        Self {
            built: self.built.clone(),
            state: Arc::clone(&self.state),
            changes: self.changes.clone(),
        }
    }
}

impl<S: Scheduler> Bound<S> {
    fn new(list: &List<'_>) -> Self {
        let built = S::build(list);
        let state = Arc::new(built.start());
        Self {
            built,
            state,
            changes: Vec::new(),
        }
    }

    fn edit(&mut self, list: &List<'_>, edit: Edit) {
        self.built.update(list);
        self.changes.extend(self.built.change(edit));
    }

    fn settle(&mut self, list: &List<'_>) {
        self.built.finish(list);
        for change in self.changes.drain(..) {
            S::settle(&self.state, &change);
        }
    }
}

/// Generates the closed set of schedulers: static dispatch by one match.
macro_rules! schedulers {
    ($($name:ident => $module:ident::$type:ident,)+) => {
        /// The scheduler of a service.
        #[derive(Clone, Debug)]
        pub(crate) enum Scheduling { $($name(Bound<$module::$type>),)+ }

        impl Scheduling {
            /// A scheduler that has picked nothing yet.
            pub(crate) fn new(config: &ServiceConfig, servers: &[Server]) -> Self {
                let (family, slots) = (config.key.family(), MhSlots::default());
                let list = List { family, slots, workers: 0, servers };
                match config.scheduler {
                    $(SchedulerName::$name => Self::$name(Bound::new(&list)),)+
                }
            }

            /// The list was edited, to what it is now.
            pub(crate) fn edit(&mut self, list: &List<'_>, edit: Edit) {
                match self { $(Self::$name(bound) => bound.edit(list, edit),)+ }
            }

            /// Gets ready to pick out of this list, and applies the changes since the last
            /// call to the shared state.
            pub(crate) fn settle(&mut self, list: &List<'_>) {
                match self { $(Self::$name(bound) => bound.settle(list),)+ }
            }

            /// The place in the list of the server for a new connection.
            pub(crate) fn pick<A: Address, L: Loads>(
                &self,
                ask: &Ask<'_, A>,
                loads: &L,
            ) -> Option<usize> {
                match self { $(Self::$name(b) => b.built.pick(&b.state, ask, loads),)+ }
            }

            /// The same, and the next connection gets what it would have got.
            pub(crate) fn peek<A: Address, L: Loads>(
                &self,
                ask: &Ask<'_, A>,
                loads: &L,
            ) -> Option<usize> {
                match self { $(Self::$name(b) => b.built.pick(&b.state.copy(), ask, loads),)+ }
            }
        }
    };
}

schedulers! {
    Rr => rr::Rr,
    Wrr => wrr::Wrr,
    Lc => lc::Lc,
    Wlc => wlc::Wlc,
    Sed => sed::Sed,
    Nq => nq::Nq,
    Fo => fo::Fo,
    Ovf => ovf::Ovf,
    Dh => dh::Dh,
    Sh => sh::Sh,
    Mh => mh::Mh,
    Lblc => lblc::Lblc,
    Lblcr => lblcr::Lblcr,
    Twos => twos::Twos,
    None => none::Nobody,
}

/// The server may take a new connection if its weight is at least `weight`.
#[inline]
fn usable<L: Loads>(server: &Server, weight: u32, loads: &L) -> bool {
    server.config.weight >= weight && !loads.overloaded(server.index)
}

/// The greatest common divisor; 0 divides by anything.
const fn gcd(a: u32, b: u32) -> u32 {
    let (mut a, mut b) = (a, b);
    while b != 0 {
        (a, b) = (b, a.wrapping_rem(b));
    }
    a
}

/// A place in the list that outlives edits: the ordinal of the server that was last picked, or
/// [`HEAD`] for the place before the first one.
type Place = u32;

/// Before the first server: above every ordinal.
const HEAD: Place = Place::MAX;

/// The servers behind a place, with their positions, to the end of the list: found by halving. The
/// list is in descending order of ordinals, so this holds even if the place's own server has gone.
fn behind(servers: &[Server], place: Place) -> impl Iterator<Item = (usize, &Server)> {
    let first = servers.partition_point(|s| s.ordinal >= place);
    servers.iter().enumerate().skip(first)
}

#[cfg(test)]
mod tests;
