//! Routes with several next hops: which of them a destination takes.
//!
//! A destination's hash picks one of [`BUCKETS`], and each bucket has a next hop, chosen when the
//! table is built by weighted rendezvous: every next hop draws a lot for every bucket, from its own
//! identity alone, and the best lot among the usable ones wins. So shares follow weights; a next
//! hop that fails gives away its own destinations and no other's, and gets the same ones back.

use super::{Interface, InterfaceIndex};
use pvs_proto::Address;
use std::collections::BTreeMap;

/// Shares of the destinations: weights are kept to one part in so many, and next hops
/// beyond as many get nothing.
pub const BUCKETS: usize = 256;

/// One next hop of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Leg<A> {
    /// Out by this interface.
    pub interface: InterfaceIndex,
    /// To this gateway; `None`: the destination is a neighbour.
    pub gateway: Option<A>,
    /// Its share beside the others'; 0 counts as 1.
    pub weight: u16,
    /// The interface has no carrier: taken only if no other is left.
    pub linkdown: bool,
}

/// A set of next hops as a worker sees it.
#[derive(Debug)]
pub(super) struct Group<A> {
    legs: Box<[Leg<A>]>,
    /// Of each leg, the address to send from, if it does not depend on the destination.
    sources: Box<[Option<A>]>,
    buckets: Box<[u16; BUCKETS]>,
}

impl<A: Address> Group<A> {
    /// The destination's next hop, and the address to send from.
    pub(super) fn leg(&self, dst: A) -> Option<(&Leg<A>, Option<A>)> {
        let at = usize::from(*self.buckets.get(bucket(dst))?);
        let source = self.sources.get(at).copied().flatten();
        Some((self.legs.get(at)?, source))
    }

    /// All next hops.
    pub(super) fn legs(&self) -> &[Leg<A>] {
        &self.legs
    }
}

/// The lots of all next hops that were met, since routes share them.
pub(super) struct Lots<A> {
    drawn: BTreeMap<(InterfaceIndex, Option<A>), Box<[f32; BUCKETS]>>,
}

impl<A: Address> Lots<A> {
    pub(super) fn new() -> Self {
        Self {
            drawn: BTreeMap::new(),
        }
    }

    /// Gives each bucket to a leg; `failed` says whose gateway does not answer.
    pub(super) fn group(
        &mut self,
        legs: &[Leg<A>],
        interfaces: &[Interface],
        source: impl Fn(&Leg<A>) -> Option<A>,
        failed: impl Fn(&Leg<A>) -> bool,
    ) -> Group<A> {
        let legs = legs.get(..BUCKETS).unwrap_or(legs);
        // Carrier and answer, carrier alone, anything: the best that there is.
        let grade = |leg: &Leg<A>| match (leg.linkdown, failed(leg)) {
            (false, false) => 2,
            (false, true) => 1,
            (true, _) => 0,
        };
        let best = legs.iter().map(grade).max().unwrap_or(0);
        let mut owners = Box::new([0u16; BUCKETS]);
        let mut least = Box::new([f32::INFINITY; BUCKETS]);
        for (at, leg) in (0u16..).zip(legs).filter(|(_, leg)| grade(leg) == best) {
            let key = (leg.interface, leg.gateway);
            let lots = self.drawn.entry(key).or_insert_with(|| {
                let on = interfaces.get(usize::from(leg.interface.0));
                draw(identity(leg, on))
            });
            let weight = f32::from(leg.weight.max(1));
            for ((owner, least), lot) in owners.iter_mut().zip(least.iter_mut()).zip(lots.iter()) {
                if lot / weight < *least {
                    *least = lot / weight;
                    *owner = at;
                }
            }
        }
        Group {
            legs: legs.into(),
            sources: legs.iter().map(source).collect(),
            buckets: owners,
        }
    }
}

/// The bucket of a destination.
fn bucket<A: Address>(dst: A) -> usize {
    (mixed(dst.fold()) >> 56) as usize
}

/// What tells a next hop from others, whatever its place among the interfaces is.
fn identity<A: Address>(leg: &Leg<A>, on: Option<&Interface>) -> u64 {
    let gateway = leg.gateway.map_or(u64::MAX, Address::fold);
    let Some(on) = on else { return gateway };
    let [a, b, c, d, e, f] = on.mac.0;
    let mac = u64::from_be_bytes([0, 0, a, b, c, d, e, f]);
    let place = u64::from(on.port.0) << 16 | u64::from(on.vlan.0);
    mixed(mixed(gateway) ^ mixed(mac) ^ place)
}

/// Exponentially distributed numbers: of several, each divided by a weight, one is the least with a
/// probability in proportion to its weight.
fn draw(identity: u64) -> Box<[f32; BUCKETS]> {
    let mut lots = Box::new([0.0; BUCKETS]);
    for (bucket, lot) in (0u64..).zip(lots.iter_mut()) {
        let number = mixed(identity ^ mixed(bucket)) >> 40;
        // In the open interval from 0 to 1.
        let uniform = (number as f32 + 0.5) / (1u32 << 24) as f32;
        *lot = -uniform.ln();
    }
    lots
}

/// Spreads every bit over all (the finaliser of splitmix64).
const fn mixed(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}
