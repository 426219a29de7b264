//! Connections of removed servers end at once, if `expire_nodest_conn` says so.
//!
//! As `ip_vs_expire_nodest_conn_flush`, which the kernel runs when a server is removed:
//! connections whose server is in no service go, whatever their state, and their templates with
//! them. Here the tables are gone through a few places in each turn. A packet that comes before
//! its connection's turn ends it as well.

use super::decide::ended;
use super::hops::HopFamily;
use super::{State, View};
use crate::table::{EntryIndex, Table};
use pvs_proto::{V4, V6};

/// Places that one turn looks at in each table.
const SPAN: u32 = 64;

/// What is left to be gone through.
#[derive(Debug, Default)]
pub(super) struct Purge {
    /// The configuration that was looked at last, and how many servers had been removed by then.
    config: u64,
    removals: u64,
    v4: Option<Walk>,
    v6: Option<Walk>,
}

/// Where a walk stands: in the table, and then in the templates.
#[derive(Clone, Copy, Debug, Default)]
struct Walk {
    place: u32,
    template: u32,
}

/// Looks whether a server was removed, and goes on with what is to be done for it.
#[inline]
pub(super) fn turn<B>(view: &View<'_>, state: &mut State<B>) {
    let purge = &mut state.purge;
    if purge.config != view.config.version {
        purge.look(view);
    }
    if purge.v4.is_some() {
        go_on::<V4>(view, &mut state.v4, &mut purge.v4);
    }
    if purge.v6.is_some() {
        go_on::<V6>(view, &mut state.v6, &mut purge.v6);
    }
}

impl Purge {
    #[cold]
    fn look(&mut self, view: &View<'_>) {
        self.config = view.config.version;
        let removals = view.config.removals;
        let more = removals != core::mem::replace(&mut self.removals, removals);
        if more && view.config.tunables.expire_nodest_conn != 0 {
            (self.v4, self.v6) = (Some(Walk::default()), Some(Walk::default()));
        }
    }
}

#[cold]
#[inline(never)]
fn go_on<F: HopFamily>(view: &View<'_>, table: &mut Table<F>, walk: &mut Option<Walk>) {
    let Some(Walk { place, template }) = walk else {
        return;
    };
    if *place < table.extent() {
        let end = place.saturating_add(SPAN).min(table.extent());
        for at in (*place..end).map(EntryIndex::of_place) {
            let server = table.get(at).map(|entry| entry.server_index());
            if server.is_some_and(|server| !view.config.is_available(server)) {
                purge(view, table, at);
            }
        }
        *place = end;
        return;
    }
    let is_gone = |server| !view.config.is_available(server);
    let templates = F::templates(view);
    *template = templates.purge(*template, SPAN, is_gone);
    if *template >= templates.extent() {
        *walk = None;
    }
}

fn purge<F: HopFamily>(view: &View<'_>, table: &mut Table<F>, at: EntryIndex) {
    let Some(entry) = table.remove(at) else {
        return;
    };
    view.stats.count_expired();
    ended(view, &entry);
    if entry.template().is_some() {
        F::templates(view).drop_if_idle(entry.template());
    }
}
