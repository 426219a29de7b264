//! What time ends: connections, and templates.

use super::defence::{self, Hands};
use super::hops::HopFamily;
use super::{State, View, decide, purge};
use crate::port::Buf;
use crate::table::{EXPIRE_BUDGET, Table};

/// Ends connections whose time has come, a bounded number in each turn.
pub(super) fn expire<B: Buf>(view: &View<'_>, state: &mut State<B>) {
    expire_family(view, &mut state.v4, &mut state.hands);
    expire_family(view, &mut state.v6, &mut state.hands);
    purge::turn(view, state);
    if state.swept != view.now {
        state.swept = view.now;
        let [v4, v6] = &mut state.sweeps;
        view.servers.templates.v4.sweep(view.now, v4);
        view.servers.templates.v6.sweep(view.now, v6);
    }
}

fn expire_family<F: HopFamily>(view: &View<'_>, table: &mut Table<F>, hands: &mut Hands) {
    let mut budget = EXPIRE_BUDGET;
    while let Some(entry) = table.expire(view.now, &mut budget) {
        decide::ended(view, &entry);
        view.stats.count_expired();
    }
    if view.defence.drops_entries() {
        defence::drop_entries(view, table, hands);
    }
}
