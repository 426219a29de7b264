//! Which interface has which index in the forwarding information.
//!
//! An interface keeps its index as long as it lives, and the index of one that has gone stays empty
//! for long: a worker may still have packets that wait for a neighbour of the old one, and they
//! must not meet a neighbour of another interface.

use pvs_dataplane::fib::InterfaceIndex;
use std::collections::BTreeSet;

/// Places before empty ones are given away again. Nothing of the first owner is left by then.
const PLACES_MAX: usize = 16_384;

/// Linux's index of each interface, by its place; `None` for one that has gone.
#[derive(Debug, Default)]
pub(super) struct Numbers(Vec<Option<u32>>);

impl Numbers {
    /// Takes in what there is now: known interfaces stay where they are.
    pub(super) fn renew(&mut self, present: &[u32]) {
        let there: BTreeSet<_> = present.iter().copied().collect();
        for place in &mut self.0 {
            *place = place.filter(|ifindex| there.contains(ifindex));
        }
        let known: BTreeSet<_> = self.0.iter().flatten().copied().collect();
        for new in present.iter().filter(|ifindex| !known.contains(ifindex)) {
            if let Some(place) = self.place() {
                *place = Some(*new);
            }
        }
    }

    /// An empty place.
    fn place(&mut self) -> Option<&mut Option<u32>> {
        let full = self.0.len() >= PLACES_MAX;
        let empty = || self.0.iter().position(Option::is_none);
        match full.then(empty).flatten() {
            Some(at) => self.0.get_mut(at),
            None => {
                self.0.push(None);
                self.0.last_mut()
            }
        }
    }

    /// Linux's index of an interface.
    pub(super) fn ifindex(&self, index: InterfaceIndex) -> Option<u32> {
        self.0.get(usize::from(index.0)).copied().flatten()
    }

    /// All places in their order.
    pub(super) fn places(&self) -> impl Iterator<Item = Option<u32>> {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_kept_and_that_of_a_gone_interface_left_empty() {
        let mut numbers = Numbers::default();
        let places = |numbers: &Numbers| numbers.places().collect::<Vec<_>>();
        numbers.renew(&[10, 11, 30]);
        numbers.renew(&[10, 20, 30]);
        assert_eq!(places(&numbers), [Some(10), None, Some(30), Some(20)]);
        assert_eq!(numbers.ifindex(InterfaceIndex(1)), None);
        assert_eq!(numbers.ifindex(InterfaceIndex(3)), Some(20));
        for n in 0..20_000 {
            numbers.renew(&[10, 1000 + n]);
        }
        assert_eq!(numbers.places().count(), PLACES_MAX);
        assert_eq!(numbers.ifindex(InterfaceIndex(0)), Some(10));
        assert_eq!(numbers.places().flatten().count(), 2);
    }
}
