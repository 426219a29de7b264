//! The way to a server or client, found once for each version of the forwarding information.

use super::View;
use super::icmp::{ErrorFamily, Limits};
use super::lane::Verdict;
use super::tunnel::Tunnels;
use super::waiting::ResolveRequest;
use crate::apart::Apart;
use crate::fib::{FibFamily, Hop, HopIndex, Route};
use crate::punt::PuntClass;
use crate::reason::DropReason;
use crate::table::Entry;
use pvs_proto::{Addr4, Addr6, Parse, V4, V6};
use pvs_sched::templates::Templates;
use pvs_sched::{ServerIndex, SnapshotFamily};

/// A family that the engine forwards: it can be parsed, looked up, routed and rewritten.
pub(super) trait HopFamily: FibFamily + SnapshotFamily + Parse + ErrorFamily {
    /// The templates of its persistent services.
    fn templates<'a>(view: &View<'a>) -> &'a Templates<Self::Addr>;
}

impl HopFamily for V4 {
    fn templates<'a>(view: &View<'a>) -> &'a Templates<Addr4> {
        &view.servers.templates.v4
    }
}

impl HopFamily for V6 {
    fn templates<'a>(view: &View<'a>) -> &'a Templates<Addr6> {
        &view.servers.templates.v6
    }
}

/// A next hop, or what becomes of a packet that has none: it waits for one, or
/// goes to Linux, or is lost.
pub(super) type Way<'a> = Result<&'a Hop, Verdict>;

/// What a worker keeps of the ways that packets take, and of those that begin here.
pub(super) struct ServerHops {
    /// Each server's next hop.
    servers: Apart<Cached>,
    /// Each server's tunnel, for those that have one.
    pub(super) tunnels: Tunnels,
    identification: u16,
    /// Errors that may still be made.
    pub(super) limits: Limits,
}

/// A next hop with the versions of the forwarding information and of the configuration that it was
/// found under: a cell may be another server's after an edit.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Cached {
    fib: u32,
    config: u32,
    hop: HopIndex,
}

impl ServerHops {
    pub(super) fn new(servers: usize) -> Self {
        Self {
            servers: Apart::new(Cached::default(), servers),
            tunnels: Tunnels::new(servers),
            identification: 0,
            limits: Limits::new(),
        }
    }

    /// Where in memory its arrays lie.
    #[cfg(test)]
    pub(super) fn places(&self) -> [core::ops::Range<usize>; 3] {
        let servers = self.servers.as_ptr_range();
        let [tunnels, learned] = self.tunnels.places();
        [servers.start.addr()..servers.end.addr(), tunnels, learned]
    }

    /// The identification of the next packet that the director makes and that may be fragmented
    /// (RFC 6864).
    pub(super) fn identification(&mut self) -> u16 {
        self.identification = self.identification.wrapping_add(1);
        self.identification
    }

    /// The next hop towards a server, or what becomes of a packet that has none.
    #[inline]
    pub(super) fn towards<'a, F: HopFamily>(
        &mut self,
        view: &View<'a>,
        server: ServerIndex,
        address: F::Addr,
    ) -> Way<'a> {
        let (fib, config) = (view.fib.version, view.config.version as u32);
        let cached = self
            .servers
            .get(server.0 as usize)
            .copied()
            .unwrap_or_default();
        if (cached.fib, cached.config) == (fib, config) {
            if let Some(hop) = view.fib.hop(cached.hop) {
                return Ok(hop);
            }
        }
        let (index, hop) = route::<F>(view, address)?;
        if let Some(slot) = self.servers.get_mut(server.0 as usize) {
            *slot = Cached {
                fib,
                config,
                hop: index,
            };
        }
        Ok(hop)
    }
}

/// The next hop towards an entry's client, or what becomes of a packet that has none.
#[inline]
pub(super) fn to_client<'a, F: HopFamily>(view: &View<'a>, entry: &mut Entry<F>) -> Way<'a> {
    if let Some(hop) = entry
        .next_hop(view.fib.version)
        .and_then(|index| view.fib.hop(index))
    {
        return Ok(hop);
    }
    let (index, hop) = route::<F>(view, entry.client)?;
    // The version in an entry also says that its virtual address was local then.
    if view.fib.is_local::<F>(entry.virtual_) {
        entry.set_next_hop(view.fib.version, index);
    }
    Ok(hop)
}

/// Notes that an entry's virtual address is local under this version, with the way to its
/// client if there will be replies and it is known. Any other way is a reply's to find,
/// which asks Linux for it.
pub(super) fn revalidate<F: HopFamily>(view: &View<'_>, entry: &mut Entry<F>) {
    let hop = match entry.has_reply().then(|| view.fib.route::<F>(entry.client)) {
        Some(Route::Hop(index)) if is_watched(view, index) => index,
        _ => HopIndex::NONE,
    };
    entry.set_next_hop(view.fib.version, hop);
}

fn is_watched(view: &View<'_>, hop: HopIndex) -> bool {
    view.fib.hop(hop).is_some_and(|hop| hop.watched)
}

/// The next hop towards an address with its place, which is none while the way
/// is to be asked for again.
pub(super) fn route<'a, F: FibFamily>(
    view: &View<'a>,
    address: F::Addr,
) -> Result<(HopIndex, &'a Hop), Verdict> {
    let unreachable = Verdict::drop(DropReason::HostUnreachable);
    match view.fib.route::<F>(address) {
        Route::Hop(index) => {
            let hop = view.fib.hop(index).ok_or(unreachable)?;
            if hop.watched || keep_watched::<F>(view, address) {
                return Ok((index, hop));
            }
            Ok((HopIndex::NONE, hop))
        }
        Route::Local => Err(Verdict::Punt(PuntClass::Local)),
        Route::Unresolved(interface, neighbour) => {
            let request = ResolveRequest {
                interface,
                address: neighbour.into(),
            };
            Err(Verdict::Wait(request, view.fib.mtu::<F>(address)))
        }
        Route::Failed(interface, neighbour) => {
            // This packet is lost: a dead server must not fill the waiting room. But Linux tries
            // again, so that a later one arrives. A full ring has enough to try.
            let address = neighbour.into();
            let _ = view.resolve.push(ResolveRequest { interface, address });
            Err(unreachable)
        }
        Route::Elsewhere => Err(Verdict::drop(DropReason::NoPort)),
        Route::Unreachable => Err(unreachable),
    }
}

/// Linux happens to know this neighbour. It is asked to see that it stays right: the way is cached,
/// and Linux has no traffic of its own to notice a change by. False if it can't be asked now.
#[cold]
fn keep_watched<F: FibFamily>(view: &View<'_>, towards: F::Addr) -> bool {
    let Some((interface, neighbour)) = view.fib.next_hop::<F>(towards) else {
        return true;
    };
    let address = neighbour.into();
    view.resolve
        .push(ResolveRequest { interface, address })
        .is_ok()
}
