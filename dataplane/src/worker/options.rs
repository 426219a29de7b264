//! Packets with IPv4 options: what Linux writes into those of a packet that it
//! receives, before IPVS sees it.
//!
//! Record Route and Timestamp get the virtual address, whatever the method, for requests and
//! replies alike. Only packets that are balanced are written into: Linux does it itself for those
//! that it gets, and what it would not take is left to it, with the answer that there may be. A
//! worker has no clock that counts from midnight, so a timestamp says that it does not (RFC 791).

use super::hops::HopFamily;
use super::lane::{Item, Verdict, other_owner};
use super::{View, schedule};
use crate::port::Buf;
use crate::steering::Mode;
use crate::table::{Direction, Table, Tuple};
use pvs_proto::wire::options::{self, Echo, Stamp};
use pvs_proto::{Addr4, Address, Family, Meta, Ticks};

/// The header is longer than one without options. IPv6's extension headers are never written into.
#[inline]
pub(super) const fn has_any<F: Family>(meta: &Meta<F>) -> bool {
    F::IS_V4 && meta.l4 != meta.l3.wrapping_add(F::HEADER_LEN as u16)
}

/// Writes into the options of a packet that has some and is balanced. `None` if it may go on.
#[cold]
#[inline(never)]
pub(super) fn arrive<F: HopFamily, B: Buf>(
    view: &View<'_>,
    table: &Table<F>,
    item: &Item<F>,
    buf: &mut B,
) -> Option<Verdict> {
    let address = balanced(view, table, &item.meta, buf)?;
    record(view, &item.meta, address, buf).err()
}

/// The virtual address of a packet that is the director's to forward.
fn balanced<F: HopFamily, B: Buf>(
    view: &View<'_>,
    table: &Table<F>,
    meta: &Meta<F>,
    buf: &B,
) -> Option<F::Addr> {
    if let Some((at, direction)) = table.lookup(&Tuple::of(meta)) {
        let entry = table.get(at)?;
        let is_ours = direction == Direction::Reply
            || (view.fib.is_local::<F>(entry.virtual_) && !view.fib.is_local::<F>(entry.server));
        return is_ours.then_some(entry.virtual_);
    }
    if view.steering.mode() == Mode::Nic && other_owner(view, meta).is_some() {
        return None;
    }
    schedule::would_begin(view, meta, buf).then_some(meta.dst.addr)
}

/// Writes an address, and the time, to where a packet's options ask for them.
///
/// # Errors
/// The packet is Linux's: it would not take it as it is.
pub(super) fn record<F: HopFamily, B: Buf>(
    view: &View<'_>,
    meta: &Meta<F>,
    address: F::Addr,
    buf: &mut B,
) -> Result<(), Verdict> {
    let written = list_mut(buf.bytes_mut(), meta).map(|list| {
        options::record(list, stamp(view, address), |asked| {
            view.fib.is_local::<F>(F::Addr::from_bits(asked.0.into()))
        })
    });
    if written.is_some_and(|written| written.is_err()) {
        return Err(Verdict::Punt(schedule::class(view, meta)));
    }
    let _ = F::fill_checksum(buf.bytes_mut(), meta.l3);
    Ok(())
}

/// The options of an error about a packet, from this address. `None` if there can be no error.
pub(super) fn echo<F: HopFamily>(
    view: &View<'_>,
    meta: &Meta<F>,
    from: F::Addr,
    frame: &mut [u8],
) -> Option<Echo> {
    if !has_any(meta) {
        return Some(Echo::NONE);
    }
    options::echo(list_mut(frame, meta)?, stamp(view, from)).ok()
}

fn list_mut<'a, F: HopFamily>(frame: &'a mut [u8], meta: &Meta<F>) -> Option<&'a mut [u8]> {
    let start = usize::from(meta.l3).checked_add(F::HEADER_LEN)?;
    frame.get_mut(start..meta.l4.into())
}

fn stamp<A: Address>(view: &View<'_>, address: A) -> Stamp {
    const NOT_FROM_MIDNIGHT: u32 = 1 << 31;
    const TICK_MS: u32 = 1000 / Ticks::PER_SECOND;
    Stamp {
        address: Addr4(address.bits() as u32),
        time: NOT_FROM_MIDNIGHT | view.now.0.wrapping_mul(TICK_MS),
    }
}
