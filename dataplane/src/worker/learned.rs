//! Path MTUs that routers told of, by the address that packets are sent to: what Linux keeps
//! as exceptions of a route.
//!
//! Only tunnels have them: nobody else gets the ICMP errors about what the director itself sends.
//! As `__ip_rt_update_pmtu` has it, what is told lasts for ten minutes, a larger MTU than the one
//! that holds is not believed, and nothing below 552 bytes (RFC 1191 section 3, `mtu_expires`,
//! `min_pmtu`). A worker keeps what it was told itself, as many as it has servers.

use crate::apart::Apart;
use pvs_proto::Ticks;
use std::net::IpAddr;

/// How long what was told holds.
pub const PATH_MTU_LIFETIME: Ticks = Ticks::from_secs(600);

/// Least path MTU that is believed.
pub const PATH_MTU_MIN: u32 = 552;

/// Addresses that share a place in the table: who was told of longest ago gives way.
const WAYS: usize = 4;

/// What was told of one address.
#[derive(Clone, Copy, Debug)]
struct Told {
    to: IpAddr,
    mtu: u32,
    until: Ticks,
}

/// The table.
pub(super) struct Learned {
    sets: Apart<[Option<Told>; WAYS]>,
    /// Counts up when an address is told of of which nothing was known, or nothing that still held.
    pub(super) news: u16,
}

impl Learned {
    pub(super) fn new(addresses: usize) -> Self {
        Self {
            sets: Apart::new([None; WAYS], addresses.div_ceil(WAYS).next_power_of_two()),
            news: 0,
        }
    }

    #[cfg(test)]
    pub(super) fn place(&self) -> core::ops::Range<usize> {
        let all = self.sets.as_ptr_range();
        all.start.addr()..all.end.addr()
    }

    /// The path MTU towards an address, if one was told of and still holds.
    pub(super) fn mtu(&mut self, to: IpAddr, now: Ticks) -> Option<u32> {
        let set = self.set(to)?;
        let told = set.iter().flatten().find(|told| told.to == to)?;
        told.holds(now).then_some(told.mtu)
    }

    /// Believes what an ICMP error tells of the path to an address, whose route takes
    /// packets of `route` bytes.
    pub(super) fn tell(&mut self, to: IpAddr, mtu: u32, route: u32, now: Ticks) {
        let before = self.mtu(to, now);
        let held = before.unwrap_or(route);
        if held < mtu {
            return;
        }
        let told = Told {
            to,
            mtu: mtu.max(PATH_MTU_MIN.min(held)),
            until: now.after(PATH_MTU_LIFETIME),
        };
        let Some(set) = self.set(to) else { return };
        let known = set
            .iter()
            .position(|place| place.is_some_and(|t| t.to == to));
        let oldest = || {
            let age = |at: &usize| set.get(*at).map_or(0, |place| left(place.as_ref(), now));
            (0..WAYS).min_by_key(age).unwrap_or(0)
        };
        let at = known.unwrap_or_else(oldest);
        if let Some(place) = set.get_mut(at) {
            *place = Some(told);
        }
        if before.is_none() {
            self.news = self.news.wrapping_add(1);
        }
    }

    fn set(&mut self, to: IpAddr) -> Option<&mut [Option<Told>; WAYS]> {
        const MIX: u64 = 0x9e37_79b9_7f4a_7c15;
        let (high, low) = match to {
            IpAddr::V4(a) => (0, u64::from(a.to_bits())),
            IpAddr::V6(a) => ((a.to_bits() >> 64) as u64, a.to_bits() as u64),
        };
        let hash = (high.wrapping_mul(MIX) ^ low).wrapping_mul(MIX) >> 32;
        let mask = self.sets.len().saturating_sub(1);
        self.sets.get_mut(hash as usize & mask)
    }
}

impl Told {
    /// Not longer than its life either: the clock wraps, and this may not
    /// have been looked at since.
    fn holds(&self, now: Ticks) -> bool {
        let left = self.until.left(now).0;
        left > 0 && left <= PATH_MTU_LIFETIME.0
    }
}

/// How long a place is taken.
fn left(place: Option<&Told>, now: Ticks) -> u32 {
    place
        .filter(|told| told.holds(now))
        .map_or(0, |told| told.until.left(now).0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u32) -> IpAddr {
        IpAddr::V4((0xc0a8_0000 + n).into())
    }

    #[test]
    fn what_is_told_holds_for_ten_minutes_and_only_shrinks() {
        let mut learned = Learned::new(16);
        let (to, now) = (address(1), Ticks(u32::MAX - 5));
        assert_eq!(learned.mtu(to, now), None);
        learned.tell(to, 1600, 1500, now);
        assert_eq!((learned.mtu(to, now), learned.news), (None, 0));
        learned.tell(to, 1300, 1500, now);
        assert_eq!((learned.mtu(to, now), learned.news), (Some(1300), 1));
        learned.tell(to, 1400, 1500, now);
        assert_eq!(learned.mtu(to, now), Some(1300));
        learned.tell(to, 0, 1500, now);
        assert_eq!((learned.mtu(to, now), learned.news), (Some(552), 1));
        assert_eq!(learned.mtu(address(2), now), None);
        let end = now.after(PATH_MTU_LIFETIME);
        assert_eq!(learned.mtu(to, Ticks(end.0.wrapping_sub(1))), Some(552));
        assert_eq!(learned.mtu(to, end), None);
        let half_a_wrap = end.after(Ticks(u32::MAX / 2 + 100_000_000));
        assert_eq!(learned.mtu(to, half_a_wrap), None);
        learned.tell(to, 1400, 1500, end);
        assert_eq!((learned.mtu(to, end), learned.news), (Some(1400), 2));
        learned.tell(address(3), 300, 500, end);
        assert_eq!(learned.mtu(address(3), end), Some(500));
    }

    #[test]
    fn the_table_is_bounded_and_the_newest_are_in_it() {
        let mut learned = Learned::new(64);
        for n in 0..10_000 {
            learned.tell(address(n), 1300, 1500, Ticks(n));
            assert_eq!(learned.mtu(address(n), Ticks(n)), Some(1300));
        }
        let now = Ticks(10_000);
        let known = (0..10_000).filter(|n| learned.mtu(address(*n), now).is_some());
        let known: Vec<u32> = known.collect();
        assert_eq!(known.len(), 64);
        assert!(known.iter().all(|n| *n > 9_000), "{known:?}");
        let mut none = Learned::new(0);
        none.tell(address(1), 1300, 1500, now);
        assert_eq!(none.mtu(address(1), now), Some(1300));
    }
}
