//! The defence against floods: `drop_entry`, `drop_packet` and `secure_tcp` of the kernel
//! (`update_defense_level`, `ip_vs_random_dropentry`).
//!
//! What the kernel does once a second a worker does for its own part of the table. The automatic
//! modes go by the free places of that part, since a director takes no other memory for
//! connections: modes 1 and 2 are the same here, and their values stay as they were set. Entries
//! are looked at by a hand that goes round the table, a few in each turn, where the kernel draws
//! buckets at random: in 32 seconds each has its turn.

use super::View;
use super::decide::ended;
use super::hops::HopFamily;
use crate::table::{Entry, EntryIndex, Flags, Table};
use core::cell::Cell;
use pvs_proto::state::{SctpState, TcpState, Variant};
use pvs_proto::{Family, Protocol, Ticks};
use pvs_sched::{Snapshot, Tunables};

/// The mode that is always on, and the first of those that go by memory.
const ALWAYS: i32 = 3;
const AUTOMATIC: i32 = 1;

/// Bytes of a page, as `amemthresh` counts.
const PAGE: u32 = 4096;

/// Seconds in which the hand goes round the table once.
const ROUND_SECS: u32 = 32;

/// Entries that one turn looks at, at most.
const LOOKED_AT: u32 = 32;

/// Packets from which on an established connection is worth keeping.
const PACKETS: usize = 9;

/// How long such a connection must have been idle to be dropped.
const IDLE: Ticks = Ticks::from_secs(60);

/// What is done at the moment.
#[derive(Debug, Default)]
pub(super) struct Defence {
    /// One of so many packets that would begin a connection is dropped; 0 is none.
    drop_rate: Cell<i32>,
    drop_counter: Cell<i32>,
    drops_entries: bool,
    is_secure: bool,
    /// When the level is looked at again, and under which configuration it was.
    next: Ticks,
    config: u64,
}

/// How full a table is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// Entries that are free.
    pub(super) free: u32,
    /// Entries that there are.
    pub(super) all: u32,
    /// Places that were ever used: where the hand comes round.
    pub(super) extent: u32,
}

/// Where dropping entries stands in each family's table.
#[derive(Debug, Default)]
pub(super) struct Hands([Hand; 2]);

/// A hand that goes round a table.
#[derive(Clone, Copy, Debug, Default)]
struct Hand {
    place: u32,
    /// Places to be looked at in this second.
    left: u32,
    /// Where it stands in the templates, and how many of them are to be looked at yet.
    template: u32,
    templates_left: u32,
    /// Of entries with so many packets, how many more are spared.
    spared: [u8; PACKETS],
}

impl Defence {
    /// Looks whether a second has passed, or the configuration has changed.
    #[inline]
    pub(super) fn keep_up(
        &mut self,
        hands: &mut Hands,
        config: &Snapshot,
        now: Ticks,
        rooms: impl FnOnce() -> [Room; 2],
    ) {
        if self.is_time(now) || self.config != config.version {
            self.judge(hands, config, now, rooms());
        }
    }

    /// A second has passed. A look that is further away than that is none that was ever planned: the
    /// clock began where it was.
    #[inline]
    const fn is_time(&self, now: Ticks) -> bool {
        let left = self.next.left(now).0;
        left == 0 || left > Ticks::PER_SECOND
    }

    #[cold]
    #[inline(never)]
    fn judge(&mut self, hands: &mut Hands, config: &Snapshot, now: Ticks, rooms: [Room; 2]) {
        let tunables = &config.tunables;
        self.config = config.version;
        let [v4, v6] = rooms.map(|room| shortage(tunables.amemthresh, room.free, room.all));
        let short = v4.or(v6);
        let is_on = |mode| mode == ALWAYS || (mode >= AUTOMATIC && short.is_some());
        self.is_secure = is_on(tunables.secure_tcp);
        self.drops_entries = is_on(tunables.drop_entry);
        let rate = match (tunables.drop_packet, short) {
            (ALWAYS, _) => tunables.am_droprate,
            (AUTOMATIC.., Some(rate)) => rate,
            _ => 0,
        };
        if tunables.drop_packet != ALWAYS && rate > 0 {
            self.drop_counter.set(rate);
        }
        self.drop_rate.set(rate);
        if !self.is_time(now) {
            return;
        }
        self.next = now.after(Ticks::from_secs(1));
        if self.drops_entries {
            for (hand, room) in hands.0.iter_mut().zip(rooms) {
                hand.left = room.extent.div_ceil(ROUND_SECS);
            }
        }
    }

    /// A packet that would begin a connection is to be dropped.
    pub(super) fn drops_packet(&self) -> bool {
        let rate = self.drop_rate.get();
        if rate == 0 {
            return false;
        }
        let counter = self.drop_counter.get().wrapping_sub(1);
        let drops = counter <= 0;
        self.drop_counter.set(if drops { rate } else { counter });
        drops
    }

    /// The tables of TCP's states that are in force.
    #[inline]
    pub(super) fn variant(&self, tunables: &Tunables) -> Variant {
        Variant::of(self.is_secure, tunables.strict_compat != 0)
    }

    /// Entries are dropped at the moment.
    #[inline]
    pub(super) const fn drops_entries(&self) -> bool {
        self.drops_entries
    }
}

/// Drops the next entries that are to go, if there are any among the few that are looked at; and
/// templates that no connection has made sure of, likewise, once round in the same time.
#[cold]
pub(super) fn drop_entries<F: HopFamily>(view: &View<'_>, table: &mut Table<F>, hands: &mut Hands) {
    let [v4, v6] = &mut hands.0;
    let hand = if F::IS_V4 { v4 } else { v6 };
    let had = hand.left;
    if let Some(entry) = hand.choose(table, view.now).and_then(|at| table.remove(at)) {
        view.stats.count_expired();
        ended(view, &entry);
        if entry.template().is_some() {
            F::templates(view).drop_if_unsure(entry.template());
        }
    }
    let templates = F::templates(view);
    if had > 0 && hand.left == 0 {
        hand.templates_left = templates.extent().div_ceil(ROUND_SECS);
    }
    if hand.templates_left > 0 {
        let span = hand.templates_left.min(LOOKED_AT);
        hand.templates_left -= span;
        hand.template = templates.drop_unsure(hand.template, span);
        if hand.template >= templates.extent() {
            hand.template = 0;
        }
    }
}

/// How short memory is: `None` if there is enough, else the rate at which new
/// connections are dropped.
fn shortage(threshold: i32, free: u32, all: u32) -> Option<i32> {
    let pages = |entries: u32| (u64::from(entries) * 64 / u64::from(PAGE)) as i64;
    let threshold = i64::from(threshold).min(pages(all) / 16);
    let missing = threshold - pages(free);
    let rate = threshold.checked_div(missing).filter(|_| missing > 0)?;
    i32::try_from(rate).ok()
}

impl Hand {
    #[cold]
    fn choose<F: Family>(&mut self, table: &Table<F>, now: Ticks) -> Option<EntryIndex> {
        let mut looked = 0;
        while self.left > 0 && looked < LOOKED_AT {
            self.left -= 1;
            looked += 1;
            if self.place >= table.extent() {
                self.place = 0;
            }
            let at = EntryIndex::of_place(self.place);
            self.place = self.place.wrapping_add(1);
            let drops = table.get(at).is_some_and(|entry| self.drops(entry, now));
            if drops {
                return Some(at);
            }
        }
        None
    }

    fn drops<F: Family>(&mut self, entry: &Entry<F>, now: Ticks) -> bool {
        let is = |state: u8| entry.state == state;
        match entry.protocol() {
            Protocol::TCP => {
                is(TcpState::SynRecv as u8)
                    || is(TcpState::SynAck as u8)
                    || (is(TcpState::Established as u8) && self.is_stale(entry, now))
            }
            Protocol::SCTP => {
                is(SctpState::Init1 as u8)
                    || is(SctpState::Init as u8)
                    || (is(SctpState::Established as u8) && self.is_stale(entry, now))
            }
            _ => self.is_stale(entry, now),
        }
    }

    /// Idle for a minute, and with few packets: of those with n packets every nth goes.
    fn is_stale<F: Family>(&mut self, entry: &Entry<F>, now: Ticks) -> bool {
        let idle = Ticks(entry.timeout.0.saturating_sub(entry.deadline.left(now).0));
        let packets = usize::try_from(entry.packets).unwrap_or(usize::MAX);
        if idle.0 < IDLE.0 || packets == 0 || entry.flags.has(Flags::ONE_PACKET) {
            return false;
        }
        let Some(spared) = self.spared.get_mut(packets) else {
            return false;
        };
        let goes = *spared <= 1;
        *spared = if goes { packets as u8 } else { *spared - 1 };
        goes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rooms(free: [(u32, u32); 2]) -> [Room; 2] {
        free.map(|(free, all)| Room {
            free,
            all,
            extent: all - free,
        })
    }

    fn judged(tunables: &Tunables, free: [(u32, u32); 2]) -> Defence {
        let mut config = Snapshot::default();
        config.version = 1;
        config.tunables = tunables.clone();
        let mut defence = Defence::default();
        defence.keep_up(&mut Hands::default(), &config, Ticks::from_secs(5), || {
            rooms(free)
        });
        defence
    }

    const ROOM: [(u32, u32); 2] = [(1 << 20, 1 << 20), (1 << 18, 1 << 18)];
    const FULL: [(u32, u32); 2] = [(32_768, 1 << 20), (1 << 18, 1 << 18)];

    #[test]
    fn modes_are_never_by_memory_and_always() {
        for (mode, in_room, in_need) in [
            (0, false, false),
            (1, false, true),
            (2, false, true),
            (3, true, true),
        ] {
            let tunables = Tunables {
                secure_tcp: mode,
                drop_entry: mode,
                drop_packet: mode,
                ..Tunables::default()
            };
            for (free, expected) in [(ROOM, in_room), (FULL, in_need)] {
                let defence = judged(&tunables, free);
                assert_eq!(defence.is_secure, expected);
                assert_eq!(defence.drops_entries, expected);
                assert_eq!(defence.drop_rate.get() > 0, expected);
            }
        }
    }

    /// The hand comes round in the same time however many places there are, and whatever the clock
    /// said when the worker began.
    #[test]
    fn a_second_s_part_of_the_places_that_were_used_is_looked_at() {
        let mut config = Snapshot::default();
        config.version = 1;
        config.tunables.drop_entry = 3;
        for start in [Ticks(1000), Ticks((1 << 31) + 1000), Ticks(u32::MAX - 1000)] {
            let (mut defence, mut hands) = (Defence::default(), Hands::default());
            let mut looked = |now| {
                hands.0 = [Hand::default(); 2];
                let rooms = [6400, 320].map(|extent| Room {
                    free: 1 << 20,
                    all: 1 << 20,
                    extent,
                });
                defence.keep_up(&mut hands, &config, now, || rooms);
                hands.0.map(|hand| hand.left)
            };
            assert_eq!(looked(start), [200, 10]);
            assert_eq!(looked(start.after(Ticks(100))), [0, 0]);
            assert_eq!(looked(start.after(Ticks::from_secs(1))), [200, 10]);
        }
    }

    /// As `ip_vs_todrop` counts.
    #[test]
    fn the_first_and_then_one_of_ten_is_dropped() {
        let tunables = Tunables {
            drop_packet: 3,
            ..Tunables::default()
        };
        let defence = judged(&tunables, ROOM);
        let dropped: Vec<usize> = (0..31).filter(|_| defence.drops_packet()).collect();
        assert_eq!(dropped, [0, 10, 20, 30]);
    }

    #[test]
    fn the_rate_is_the_kernel_s_by_pages() {
        assert_eq!(shortage(1024, 65_536, 1 << 20), None, "1024 pages are free");
        assert_eq!(shortage(1024, 32_768, 1 << 20), Some(2));
        assert_eq!(shortage(1024, 0, 1 << 20), Some(1));
        assert_eq!(
            shortage(1024, 1 << 14, 1 << 14),
            None,
            "a small table is not always short"
        );
        assert_eq!(shortage(-1, 0, 1 << 20), None);
        assert_eq!(shortage(0, 0, 1 << 20), None);
    }
}
