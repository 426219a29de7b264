//! The longest-prefix match, made when the table is built: routes are painted over each other,
//! short prefixes first and the kernel's local table last, into ranges that do not overlap.

use super::routes::{Range, WayIndex};
use super::{Target, Way};
use pvs_proto::Address;
use std::collections::BTreeMap;

/// Routes without overlaps.
pub(super) struct Painted<A> {
    /// Each different way once.
    pub(super) ways: Box<[Way<A>]>,
    /// Which of them holds from where on, the first at 0.
    pub(super) ranges: Box<[Range<A>]>,
}

/// Paints routes over each other; of two with the same prefix the later wins.
pub(super) fn paint<A: Address>(mut routes: Vec<(A, u8, Way<A>)>) -> Painted<A> {
    // Short prefixes first, local ones last: each paints over what it covers.
    routes.sort_by_key(|(_, len, way)| (way.target == Target::Local, *len));
    let mut ways = Ways::new();
    let mut painted = BTreeMap::from([(0u128, WayIndex::UNREACHABLE)]);
    let last = u128::MAX.checked_shr(u32::from(128 - A::BITS)).unwrap_or(0);
    for (prefix, len, way) in &routes {
        let start = prefix.bits();
        let end = start | last.checked_shr(u32::from(*len)).unwrap_or(0);
        let behind = painted
            .range(..=end)
            .next_back()
            .map_or(WayIndex::UNREACHABLE, |(_, way)| *way);
        let covered: Vec<u128> = painted.range(start..=end).map(|(at, _)| *at).collect();
        for at in covered {
            painted.remove(&at);
        }
        painted.insert(start, ways.index(*way));
        if end < last {
            painted.entry(end + 1).or_insert(behind);
        }
    }
    let mut ranges: Vec<_> = painted
        .into_iter()
        .map(|(at, way)| (A::from_bits(at), way))
        .collect();
    ranges.dedup_by(|later, earlier| later.1 == earlier.1);
    Painted {
        ways: ways.list.into_boxed_slice(),
        ranges: ranges.into_boxed_slice(),
    }
}

/// Each different way once.
struct Ways<A> {
    list: Vec<Way<A>>,
    known: BTreeMap<Way<A>, WayIndex>,
}

impl<A: Address> Ways<A> {
    fn new() -> Self {
        let mut ways = Self {
            list: Vec::new(),
            known: BTreeMap::new(),
        };
        // In the order of WayIndex::LOCAL and WayIndex::UNREACHABLE.
        for target in [Target::Local, Target::Unreachable] {
            ways.index(target.into());
        }
        ways
    }

    fn index(&mut self, way: Way<A>) -> WayIndex {
        let list = &mut self.list;
        *self.known.entry(way).or_insert_with(|| {
            list.push(way);
            WayIndex(u32::try_from(list.len() - 1).unwrap_or(WayIndex::UNREACHABLE.0))
        })
    }
}
