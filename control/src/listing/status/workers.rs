//! The sections about workers, their tables, and published values.

use crate::listing::columns::Table;
use crate::status::{StatusView, WorkerState, WorkerView};

/// The workers, and the versions that they use.
pub(super) fn workers(status: &StatusView) -> String {
    if status.workers.is_empty() {
        return String::new();
    }
    let mut loads = Table::new(&[
        ">Worker",
        ">Core",
        "State",
        ">Busy",
        ">RxPPS",
        ">TxPPS",
        ">Connections",
    ]);
    let mut totals = Table::new(&[
        ">Worker",
        ">Received",
        ">Sent",
        ">FromLinux",
        ">Config",
        ">Forwarding",
    ]);
    for worker in &status.workers {
        let number = worker.worker.to_string();
        loads.row([
            number.clone(),
            worker.core.to_string(),
            state(worker.state).to_owned(),
            busy(worker),
            worker.rx_per_sec.to_string(),
            worker.tx_per_sec.to_string(),
            worker.connections.to_string(),
        ]);
        let seen = |version: Option<u64>| version.map_or("asleep".to_owned(), |v| v.to_string());
        totals.row([
            number,
            worker.received.to_string(),
            worker.sent.to_string(),
            worker.injected.to_string(),
            seen(worker.config_seen),
            seen(worker.forwarding_seen),
        ]);
    }
    let interval = match status.interval_ms {
        0 => String::new(),
        ms => format!(
            "; Busy, RxPPS, TxPPS: last {}.{} s",
            ms / 1000,
            ms % 1000 / 100
        ),
    };
    let (config, forwarding) = (status.config, status.linux.forwarding);
    format!(
        "Workers (steering: {}{interval})\n{}\n{}{}  \
         newest: configuration {} ({} older not freed), forwarding information {} ({} not freed)\n",
        status.steering,
        loads.text("  "),
        totals.text("  "),
        handovers(&status.workers),
        config.published,
        config.outstanding,
        forwarding.published,
        forwarding.outstanding,
    )
}

/// What several workers gave each other.
fn handovers(workers: &[WorkerView]) -> String {
    if workers.len() < 2 {
        return String::new();
    }
    let mut table = Table::new(&[">Worker", ">HandedOver", ">Relayed", ">TakenOver"]);
    for worker in workers {
        table.row([
            worker.worker.to_string(),
            worker.handed_over.to_string(),
            worker.relayed.to_string(),
            worker.taken_over.to_string(),
        ]);
    }
    format!("\n{}", table.text("  "))
}

const fn state(state: WorkerState) -> &'static str {
    match state {
        WorkerState::Starting => "starting",
        WorkerState::Polling => "polling",
        WorkerState::Napping => "napping",
        WorkerState::Stuck => "stuck",
    }
}

/// The share of its turns in which a frame came.
fn busy(worker: &WorkerView) -> String {
    match permille(worker.busy_polls, worker.polls) {
        None => "-".to_owned(),
        Some(share) => format!("{}.{} %", share / 10, share % 10),
    }
}

/// The tables' level.
pub(super) fn tables(status: &StatusView) -> String {
    if status.tables.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&["Connections", ">Used", ">Capacity", ">Level"]);
    for view in &status.tables {
        let level = permille(view.used, view.capacity);
        table.row([
            view.family.replace("ipv", "IPv"),
            view.used.to_string(),
            view.capacity.to_string(),
            level.map_or("-".to_owned(), |share| {
                format!("{}.{} %", share / 10, share % 10)
            }),
        ]);
    }
    let pages = |huge| if huge { "huge" } else { "ordinary" };
    format!(
        "Tables on {} pages, packet buffers on {} pages\n{}  expired {}, evicted {}\n",
        pages(status.table_huge_pages),
        pages(status.buffer_huge_pages),
        table.text("  "),
        status.ends.expired,
        status.ends.evicted
    )
}

/// Thousandths; `None` of nothing.
fn permille(part: u64, whole: u64) -> Option<u64> {
    let share = u128::from(part) * 1000 / u128::from(whole).max(1);
    (whole > 0).then(|| u64::try_from(share).unwrap_or(u64::MAX))
}
