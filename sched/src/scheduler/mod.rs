//! The schedulers: one file each, one shape for all.
//!
//! A scheduler has an immutable part, *built* by control out of the server list (mh's table, wrr's
//! greatest weight), and a mutable *state* that workers share and that outlives edits (rr's position,
//! lblc's cache). A worker *picks* with both. An edit of the list makes a *change*, which control
//! applies to the state at the moment of publishing ([`Service::settle`](crate::Service::settle)),
//! because the kernel moves positions when servers come and go.
//!
//! Adding a scheduler: a file with an `impl Scheduler`, a row in `schedulers!` below, a name in
//! [`SchedulerName`].

mod rr;
mod wlc;
mod wrr;

use crate::cells::Loads;
use crate::config::SchedulerName;
use crate::service::Server;
use pvs_proto::{Address, Endpoint};
use std::sync::Arc;

/// What a scheduler may know about a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow<A> {
    /// The client.
    pub client: Endpoint<A>,
    /// The address and port it wants.
    pub virtual_: Endpoint<A>,
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
    type State;
    /// What an edit of the list does to the state.
    type Change;
    /// Built by control whenever the list changes.
    fn build(servers: &[Server]) -> Self;
    /// The state of a scheduler that has picked nothing yet.
    fn start(&self) -> Self::State;
    /// The change that `edit`, which led to this list, makes; `None` if it makes none.
    fn change(&self, edit: Edit) -> Option<Self::Change>;
    /// Applies a change. Workers may be picking at the same time.
    fn settle(state: &Self::State, change: &Self::Change);
    /// The place in the list of the server for a new connection.
    fn pick<A: Address, L: Loads>(
        &self,
        servers: &[Server],
        state: &Self::State,
        flow: &Flow<A>,
        loads: &L,
    ) -> Option<usize>;
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
    fn new(servers: &[Server]) -> Self {
        let built = S::build(servers);
        let state = Arc::new(built.start());
        Self {
            built,
            state,
            changes: Vec::new(),
        }
    }

    fn edit(&mut self, servers: &[Server], edit: Edit) {
        self.built = S::build(servers);
        self.changes.extend(self.built.change(edit));
    }

    fn settle(&mut self) {
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
            pub(crate) fn new(name: SchedulerName, servers: &[Server]) -> Self {
                match name { $(SchedulerName::$name => Self::$name(Bound::new(servers)),)+ }
            }

            fn edit(&mut self, servers: &[Server], edit: Edit) {
                match self { $(Self::$name(bound) => bound.edit(servers, edit),)+ }
            }

            /// Applies the changes since the last call to the shared state.
            pub(crate) fn settle(&mut self) {
                match self { $(Self::$name(bound) => bound.settle(),)+ }
            }

            /// The place in the list of the server for a new connection.
            pub(crate) fn pick<A: Address, L: Loads>(
                &self,
                servers: &[Server],
                flow: &Flow<A>,
                loads: &L,
            ) -> Option<usize> {
                match self {
                    $(Self::$name(b) => b.built.pick(servers, &b.state, flow, loads),)+
                }
            }
        }
    };
}

schedulers! {
    Rr => rr::Rr,
    Wrr => wrr::Wrr,
    Wlc => wlc::Wlc,
}

impl Scheduling {
    /// A server was added; `servers` is the list with it.
    pub(crate) fn server_added(&mut self, servers: &[Server]) {
        self.edit(servers, Edit::Added);
    }

    /// A server was edited; `servers` is the list with the edit.
    pub(crate) fn server_edited(&mut self, servers: &[Server]) {
        self.edit(servers, Edit::Edited);
    }

    /// A server was removed; `servers` is the list without it.
    pub(crate) fn server_removed(&mut self, servers: &[Server], ordinal: u32, before: Option<u32>) {
        self.edit(servers, Edit::Removed { ordinal, before });
    }
}

/// The server may take a new connection if its weight is at least `weight`.
#[inline]
fn usable<L: Loads>(server: &Server, weight: u32, loads: &L) -> bool {
    server.config.weight >= weight && !loads.overloaded(server.index)
}

/// A place in the list that outlives edits: the ordinal of the server that was last picked, or
/// [`HEAD`] for the place before the first one.
type Place = u32;

/// Before the first server: above every ordinal.
const HEAD: Place = Place::MAX;

/// The servers behind a place, with their positions, to the end of the list. The list is in descending
/// order of ordinals, so this holds even if the place's own server has gone.
fn behind(servers: &[Server], place: Place) -> impl Iterator<Item = (usize, &Server)> {
    servers
        .iter()
        .enumerate()
        .skip_while(move |(_, s)| s.ordinal >= place)
}

#[cfg(test)]
mod tests;
