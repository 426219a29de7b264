//! The decision: find the packet's connection, advance its state, count, rewrite. Or, on a miss,
//! hand it to the scheduler or to Linux.

use super::View;
use super::datagram;
use super::forward::{Stop, judge, path_mtu, refuse, to_client, to_server};
use super::hops::{self, HopFamily, ServerHops};
use super::lane::{Item, Verdict};
use super::marks;
use super::options;
use super::schedule;
use crate::port::Buf;
use crate::reason::DropReason;
use crate::table::{Direction, Entry, EntryIndex, Flags, Table, Tuple};
use pvs_proto::state::{self, SctpState, TcpState};
use pvs_proto::wire::{sctp, tcp};
use pvs_proto::{Fragment, Meta, Protocol};
use pvs_sched::marks::Judgement;
use pvs_sched::{Loads, ServerIndex};

/// What becomes of one packet.
///
/// The way of whole packets has a copy of its own: a call of it is seen in the benchmark.
#[inline(always)]
pub(super) fn decide<F: HopFamily, B: Buf>(
    view: &View<'_>,
    table: &mut Table<F>,
    hops: &mut ServerHops,
    item: &Item<F>,
    buf: &mut B,
) -> Verdict {
    if view.marks_drop && marks::judge(view, &item.meta, buf) == Judgement::Drop {
        return Verdict::drop(DropReason::MarkRule);
    }
    // One branch for what is rare.
    if (item.meta.fragment != Fragment::None) | options::has_any(&item.meta) {
        if let Some(verdict) = unusual(view, table, item, buf) {
            return verdict;
        }
    }
    let Some((at, direction)) = table.find(item.hash, item.candidate, &Tuple::of(&item.meta))
    else {
        return schedule::miss(view, table, hops, item, buf);
    };
    if direction == Direction::Request
        && is_first(&item.meta)
        && begins_anew(view, table, at)
        && view.fib.is_local::<F>(item.meta.dst.addr)
    {
        return anew(view, table, hops, item, buf, at);
    }
    established(view, table, hops, item, buf, at, direction)
}

/// A piece of a packet, or one with IP options. `None` if it may go on.
#[cold]
#[inline(never)]
fn unusual<F: HopFamily, B: Buf>(
    view: &View<'_>,
    table: &Table<F>,
    item: &Item<F>,
    buf: &mut B,
) -> Option<Verdict> {
    if item.meta.fragment != Fragment::None {
        return Some(datagram::verdict(view, &item.meta));
    }
    options::arrive(view, table, item, buf)
}

/// A packet that clients begin connections with (`is_new_conn`). The kernel asks for no other flag
/// here: a SYN with RST counts as well, though it begins none.
#[inline]
fn is_first<F: HopFamily>(meta: &Meta<F>) -> bool {
    match meta.protocol {
        Protocol::TCP => meta.signal & tcp::SYN != 0,
        Protocol::SCTP => meta.signal == sctp::chunk::INIT,
        _ => false,
    }
}

/// Such a packet ends this connection, to be scheduled anew: its server takes no more of
/// them (`expire_nodest_conn`), or it is over (`conn_reuse_mode`) and no template holds
/// the client to its server.
#[cold]
fn begins_anew<F: HopFamily>(view: &View<'_>, table: &Table<F>, at: EntryIndex) -> bool {
    let Some(entry) = table.get(at) else {
        return false;
    };
    let tunables = &view.config.tunables;
    let server = view.config.server(entry.server_index());
    if tunables.expire_nodest_conn != 0 && server.is_some_and(|server| server.weight == 0) {
        return true;
    }
    let mode = tunables.conn_reuse_mode;
    if mode == 0 || entry.template().is_some() {
        return false;
    }
    let is = |state: TcpState| entry.state == state as u8;
    match entry.protocol() {
        Protocol::TCP => {
            let closing = is(TcpState::FinWait) && entry.flags.has(Flags::NO_OUTPUT);
            is(TcpState::TimeWait) || is(TcpState::Close) || (mode & 2 != 0 && closing)
        }
        Protocol::SCTP => entry.state == SctpState::Closed as u8,
        _ => false,
    }
}

/// Ends a connection, and takes the packet for one without. As in the kernel, whose timer ends it a
/// moment later, the old one still counts while a server is picked for the new one.
#[cold]
#[inline(never)]
fn anew<F: HopFamily, B: Buf>(
    view: &View<'_>,
    table: &mut Table<F>,
    hops: &mut ServerHops,
    item: &Item<F>,
    buf: &mut B,
    at: EntryIndex,
) -> Verdict {
    let old = table.remove(at);
    let verdict = schedule::miss(view, table, hops, item, buf);
    if let Some(old) = old {
        ended(view, &old);
    }
    verdict
}

/// A packet of a connection that is in the table.
#[inline]
pub(super) fn established<F: HopFamily, B: Buf>(
    view: &View<'_>,
    table: &mut Table<F>,
    hops: &mut ServerHops,
    item: &Item<F>,
    buf: &mut B,
    at: EntryIndex,
    direction: Direction,
) -> Verdict {
    let Some(entry) = table.get_mut(at) else {
        return Verdict::drop(DropReason::ServerRemoved);
    };
    if direction == Direction::Request
        && entry.hop_version != view.fib.version
        && !is_still_local(view, entry)
    {
        return Verdict::Punt(schedule::class(view, &item.meta));
    }
    let listed = view.config.is_available(entry.server_index());
    if !listed && direction == Direction::Request {
        return match view.config.tunables.expire_nodest_conn {
            0 => Verdict::drop(DropReason::ServerRemoved),
            _ => anew(view, table, hops, item, buf, at),
        };
    }
    let (meta, old_timeout) = (&item.meta, entry.timeout);
    let verdict = match direction {
        Direction::Request => {
            advance(view, entry, meta, direction, listed);
            to_server(view, hops, entry, meta, buf)
        }
        Direction::Reply => reply(view, hops, entry, meta, buf, listed),
    };
    if entry.timeout.0 < old_timeout.0 {
        table.reschedule(at, view.now);
    }
    verdict
}

/// A packet of a connection's server. The kernel's router judges it before its hook sees it: one
/// that can't go on counts for nothing.
#[inline(always)]
pub(super) fn reply<F: HopFamily, B: Buf>(
    view: &View<'_>,
    hops: &mut ServerHops,
    entry: &mut Entry<F>,
    meta: &Meta<F>,
    buf: &mut B,
    listed: bool,
) -> Verdict {
    let way = hops::to_client(view, entry);
    match judge(&way, path_mtu(&way), meta) {
        Ok(()) => {
            advance(view, entry, meta, Direction::Reply, listed);
            to_client(way, entry, meta, buf)
        }
        Err(stop) => stopped_reply(view, hops, entry, meta, buf, listed, stop),
    }
}

/// A reply that does not go as it is. One that is longer than its way and may be cut the kernel's
/// router lets pass to the hook.
#[cold]
#[inline(never)]
fn stopped_reply<F: HopFamily, B: Buf>(
    view: &View<'_>,
    hops: &mut ServerHops,
    entry: &mut Entry<F>,
    meta: &Meta<F>,
    buf: &mut B,
    listed: bool,
    stop: Stop,
) -> Verdict {
    if stop.passes_in_pieces(view, entry, Direction::Reply, meta) {
        advance(view, entry, meta, Direction::Reply, listed);
    }
    refuse(view, hops, entry, Direction::Reply, meta, buf, stop)
}

/// The kernel's hook sees packets to local addresses only, so a connection rests while its virtual
/// address is elsewhere. Asked once for each version of the forwarding information.
#[cold]
fn is_still_local<F: HopFamily>(view: &View<'_>, entry: &mut Entry<F>) -> bool {
    let local = view.fib.is_local::<F>(entry.virtual_);
    if local {
        hops::revalidate(view, entry);
    }
    local
}

/// Advances state, timer and counters; the packet counts even if it can't be forwarded then.
///
/// A call of it is seen in the benchmark, so each of its few callers has its own copy.
#[inline(always)]
pub(super) fn advance<F: HopFamily>(
    view: &View<'_>,
    entry: &mut Entry<F>,
    meta: &Meta<F>,
    direction: Direction,
    listed: bool,
) {
    let event = state::Event {
        protocol: meta.protocol,
        from_server: direction == Direction::Reply,
        no_output: entry.flags.has(Flags::NO_OUTPUT),
        state: entry.state,
        signal: meta.signal,
    };
    let step = state::advance(&view.config.timeouts, view.variant, event);
    let cell = view.cells.get(entry.server_index());
    if step.is_active == entry.flags.has(Flags::INACTIVE) {
        view.cells.turn(entry.server_index(), step.is_active);
        entry.flags = match step.is_active {
            true => entry.flags.without(Flags::INACTIVE),
            false => entry.flags.with(Flags::INACTIVE),
        };
    }
    if !step.no_output {
        entry.flags = entry.flags.without(Flags::NO_OUTPUT);
    }
    if step.assures && entry.template().is_some() && !entry.flags.has(Flags::ASSURED) {
        // Once: what is said of a template lies in a line that other workers write.
        entry.flags = entry.flags.with(Flags::ASSURED);
        F::templates(view).assure(entry.template());
    }
    entry.state = step.state;
    entry.timeout = step.timeout;
    entry.deadline = view.now.after(step.timeout);
    if direction == Direction::Request {
        entry.packets = entry.packets.wrapping_add(1);
    }
    if let Some(cell) = cell.filter(|_| listed) {
        match direction {
            Direction::Request => cell.count_in(meta.ip_len),
            Direction::Reply => cell.count_out(meta.ip_len),
        }
    }
}

/// A connection has begun: its server has one more, an inactive one at first.
pub(super) fn began(view: &View<'_>, server: ServerIndex) {
    if let Some(cell) = view.cells.get(server) {
        view.cells.open(server, false);
        cell.count_connection();
    }
    judge_threshold(view, server);
}

/// A connection is over: its server has one less, and so has its template.
pub(super) fn ended<F: HopFamily>(view: &View<'_>, entry: &Entry<F>) {
    let server = entry.server_index();
    view.cells.close(server, !entry.flags.has(Flags::INACTIVE));
    judge_threshold(view, server);
    if entry.template().is_some() {
        F::templates(view).release(entry.template());
    }
}

/// Whether the server takes more connections may have changed.
fn judge_threshold(view: &View<'_>, server: ServerIndex) {
    if let Some(config) = view.config.server(server) {
        // One that has lost its threshold may have been judged by the old one since.
        if config.upper_threshold != 0 || view.servers.loads.overloaded(server) {
            let (upper, lower) = (config.upper_threshold, config.lower_threshold);
            view.servers.loads.judge(server, upper, lower);
        }
    }
}
