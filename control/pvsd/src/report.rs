//! The mirror's report: what Linux knows, in the words of the status.

use crate::board::{Board, MirrorReport};
use crate::recovery::Mirrors;
use pvs_control::status::{
    AddressView, AstrayView, HopState, HopView, InterfaceKind, InterfaceView, LinuxView,
    VersionView,
};
use pvs_dataplane::fib::Fib;
use pvs_epoch::Publisher;
use pvs_linux::mirror::{self, NeighbourView, NextHop, Reach, Sight};
use pvs_linux::{Mirror, NeighbourKeeper, Watcher};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A report is at most this old.
const AGE_MAX: Duration = Duration::from_secs(1);

/// Between two reports, however much changes.
const PAUSE: Duration = Duration::from_millis(100);

/// Requests for next hops that find no room: whether it happens now.
#[derive(Debug, Default)]
struct Refusals {
    count: u64,
    grew: Option<Instant>,
    told: Option<Instant>,
}

impl Refusals {
    /// True if there were some lately, which is told in the log now and then.
    fn look(&mut self, count: u64, now: Instant) -> bool {
        if count > self.count {
            self.count = count;
            self.grew = Some(now);
            if self
                .told
                .is_none_or(|at| now.duration_since(at) >= REFUSAL_PAUSE)
            {
                self.told = Some(now);
                tracing::warn!(
                    "there is no room for more next hops of clients and gateways: {count} requests were refused"
                );
            }
        }
        let lately = |at| now.duration_since(at) < LATELY;
        self.grew.is_some_and(lately)
    }
}

/// What a report is made from.
pub struct Seen<'a> {
    /// What Linux knows.
    pub watcher: &'a Watcher,
    /// Managed neighbours.
    pub keeper: &'a NeighbourKeeper,
    /// The taps, and what becomes of them.
    pub mirrors: &'a Mirrors,
    /// Published forwarding information.
    pub fibs: &'a Publisher<Fib>,
}

/// Refused next hops draw attention for so long.
const LATELY: Duration = Duration::from_secs(10);

/// They are told in the log this often at most.
const REFUSAL_PAUSE: Duration = Duration::from_secs(60);

/// Makes reports.
pub struct Reporter {
    board: Arc<Board>,
    namespace: String,
    unsupported: Vec<String>,
    /// Since when a next hop is not resolved.
    since: BTreeMap<NextHop, Instant>,
    reported: Option<Instant>,
    changed: bool,
    refusals: Refusals,
}

impl Reporter {
    /// Reports on this namespace.
    pub fn new(board: Arc<Board>, namespace: &str) -> Self {
        Self {
            board,
            namespace: namespace.to_owned(),
            unsupported: Vec::new(),
            since: BTreeMap::new(),
            reported: None,
            changed: false,
            refusals: Refusals::default(),
        }
    }

    /// An update has come, with these sentences about what is not followed.
    pub fn note(&mut self, unsupported: &[String]) {
        self.unsupported = unsupported.to_vec();
        self.changed = true;
    }

    /// Reports if it is time.
    pub fn look(&mut self, seen: &Seen<'_>) {
        let now = Instant::now();
        let pause = if self.changed { PAUSE } else { AGE_MAX };
        if self
            .reported
            .is_some_and(|at| now.duration_since(at) < pause)
        {
            return;
        }
        self.reported = Some(now);
        self.changed = false;
        let report = MirrorReport {
            at: Some(now),
            linux: self.linux(seen, now),
            seen: seen.fibs.seen().collect(),
        };
        self.board.mirror.put(report);
    }

    fn linux(&mut self, seen: &Seen<'_>, now: Instant) -> LinuxView {
        let (mirror, keeper, fibs) = (seen.watcher.mirror(), seen.keeper, seen.fibs);
        let sights = mirror.survey();
        let amounts = mirror.amounts();
        let (for_servers, for_clients, refused) = keeper.counts();
        LinuxView {
            namespace: self.namespace.clone(),
            nameless: !seen.mirrors.is_named(),
            recovery_error: seen.mirrors.trouble().map(str::to_owned),
            // Whoever asks knows how much later it is.
            age_ms: 0,
            interfaces: sights.iter().map(interface).collect(),
            addresses: sights.iter().flat_map(addresses).collect(),
            routes_v4: amounts.routes_v4 as u64,
            routes_v6: amounts.routes_v6 as u64,
            neighbours: amounts.neighbours as u64,
            hops_for_servers: for_servers as u64,
            hops_for_clients: for_clients as u64,
            hops_refused: refused,
            refusing_hops: self.refusals.look(refused, now),
            overruns: seen.watcher.overruns(),
            unread: seen.watcher.unread(),
            unresolved: self.unresolved(mirror, keeper, now),
            astray: keeper
                .servers()
                .filter_map(|server| astray(server, mirror))
                .collect(),
            unsupported: self.unsupported.clone(),
            forwarding: VersionView {
                published: fibs.version(),
                outstanding: fibs.outstanding() as u64,
            },
        }
    }

    /// Next hops without a hardware address, those of servers first.
    fn unresolved(
        &mut self,
        mirror: &Mirror,
        keeper: &NeighbourKeeper,
        now: Instant,
    ) -> Vec<HopView> {
        let mut since = BTreeMap::new();
        let mut views = Vec::new();
        for (hop, for_server) in keeper.kept() {
            let state = match mirror.neighbour(hop) {
                NeighbourView::Resolved | NeighbourView::Fixed => continue,
                NeighbourView::Asked => HopState::Asked,
                NeighbourView::Failed => HopState::Failed,
                NeighbourView::Absent => HopState::Absent,
            };
            let began = self.since.get(&hop).copied().unwrap_or(now);
            since.insert(hop, began);
            views.push(HopView {
                address: hop.address,
                interface: mirror.ifname(hop.ifindex).unwrap_or_default(),
                state,
                for_server,
                secs: now.duration_since(began).as_secs(),
            });
        }
        self.since = since;
        views.sort_by_key(|view| !view.for_server);
        views
    }
}

fn interface(sight: &Sight) -> InterfaceView {
    let (kind, vlan) = match sight.kind {
        mirror::InterfaceKind::Tap => (InterfaceKind::Tap, None),
        mirror::InterfaceKind::Vlan(vlan) => (InterfaceKind::Vlan, Some(vlan.0)),
        mirror::InterfaceKind::Macvlan => (InterfaceKind::Macvlan, None),
    };
    InterfaceView {
        name: sight.ifname.clone(),
        kind,
        port: sight.port.0,
        vlan,
        ifindex: sight.ifindex,
        mac: sight.mac.to_string(),
        mtu: sight.mtu,
        up: sight.up,
        carrier: sight.carrier,
        gone: sight.gone,
    }
}

fn addresses(sight: &Sight) -> impl Iterator<Item = AddressView> {
    sight
        .addresses
        .iter()
        .map(|(address, prefix_len)| AddressView {
            interface: sight.ifname.clone(),
            address: *address,
            prefix_len: *prefix_len,
        })
}

/// A server that packets do not reach by a port.
fn astray(server: std::net::IpAddr, mirror: &Mirror) -> Option<AstrayView> {
    let (interface, has_route) = match mirror.reach(server) {
        Reach::Local | Reach::Port => return None,
        Reach::Elsewhere(interface) => (interface, true),
        Reach::Unreachable => (None, false),
    };
    Some(AstrayView {
        server,
        interface,
        has_route,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_draw_attention_while_they_grow() {
        let (mut refusals, now) = (Refusals::default(), Instant::now());
        assert!(!refusals.look(0, now));
        assert!(refusals.look(3, now));
        assert!(refusals.look(3, now + LATELY / 2));
        assert!(!refusals.look(3, now + LATELY));
        assert!(refusals.look(4, now + LATELY));
    }
}
