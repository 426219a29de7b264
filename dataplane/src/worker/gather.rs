//! Datagrams that come in pieces: each piece waits in its own buffer until all of them are there.
//!
//! As `ip_fragment.c` and `nf_conntrack_reasm.c` have it: a datagram is its source, destination and
//! identification, and in IPv4 its protocol; it has 30 seconds (IPv6: 60, RFC 8200 section 4.5) from its first
//! piece on. Nothing is copied. What is held is bounded in pieces and datagrams: in a full place a
//! newcomer takes the place of the datagram that has waited longest, since the pieces of one that
//! is whole come together within milliseconds.

use super::pieces::{Complete, Held, Partial};
use crate::port::Buf;
use crate::reason::DropReason;
use crate::table::Tuple;
use pvs_proto::{Endpoint, Family, Meta, Protocol, Ticks};

/// Datagrams of a family that a worker holds pieces of, at most: 1 MB for their lists.
pub const FRAGMENTED_MAX: usize = 256;

/// Pieces of a family that it holds, at most: as many of its port's buffers, of which
/// it has 16,384 by default.
pub const FRAGMENTS_MAX: usize = 1024;

/// How long a datagram has from its first piece on.
const fn patience<F: Family>() -> Ticks {
    Ticks::from_secs(if F::IS_V4 { 30 } else { 60 })
}

/// What names a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key<F: Family> {
    tuple: Tuple<F>,
    from_linux: bool,
}

impl<F: Family> Key<F> {
    /// The datagram of a piece. Those of Linux's own are kept apart from those that
    /// somebody may send in its name.
    pub(super) fn of(meta: &Meta<F>, from_linux: bool) -> Self {
        let half = |addr, port| Endpoint { addr, port };
        Self {
            tuple: Tuple {
                // Behind the fragment header there may be others, which only the first piece has.
                protocol: match F::IS_V4 {
                    true => meta.protocol,
                    false => Protocol(0),
                },
                src: half(meta.src.addr, meta.fragment_id as u16),
                dst: half(meta.dst.addr, (meta.fragment_id >> 16) as u16),
            },
            from_linux,
        }
    }

    /// What stands for ports is its identification: it may be hashed as any other tuple.
    pub(super) const fn tuple(&self) -> &Tuple<F> {
        &self.tuple
    }
}

/// A datagram of which pieces are missing.
#[derive(Debug)]
struct Datagram<F: Family, B> {
    key: Option<Key<F>>,
    pieces: Partial<B>,
}

/// What is searched of a datagram: apart, so that a search reads little.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// The hash of its key; 0 is none.
    hash: u64,
    /// When it has waited long enough.
    until: Ticks,
}

/// The datagrams of a family that a worker has pieces of.
#[derive(Debug)]
pub(super) struct Gathering<F: Family, B> {
    places: Box<[Place]>,
    datagrams: Box<[Datagram<F, B>]>,
    used: usize,
    held: usize,
    /// When the first of them has waited long enough.
    first_due: Ticks,
}

/// What became of a piece.
#[derive(Debug)]
pub(super) enum Entered<B> {
    /// It waits.
    Waits,
    /// It was the last one that was missing.
    Complete(Complete<B>),
}

/// The pieces, in order, of a datagram that was not whole in time.
#[derive(Debug)]
pub(super) struct Overdue<B> {
    pub pieces: Complete<B>,
    /// Linux sent them.
    pub from_linux: bool,
}

/// Told of pieces that are freed: why, and how many.
pub(super) trait Losses: FnMut(DropReason, usize) {}

impl<T: FnMut(DropReason, usize)> Losses for T {}

impl<F: Family, B: Buf> Gathering<F, B> {
    /// None yet. All memory is taken here.
    pub(super) fn new() -> Self {
        let empty = |_| Datagram {
            key: None,
            pieces: Partial::new(),
        };
        Self {
            places: vec![Place::default(); FRAGMENTED_MAX].into_boxed_slice(),
            datagrams: (0..FRAGMENTED_MAX).map(empty).collect(),
            used: 0,
            held: 0,
            first_due: Ticks(0),
        }
    }

    /// Where in memory its arrays lie.
    #[cfg(test)]
    pub(super) fn places(&self) -> [core::ops::Range<usize>; 2] {
        let (places, datagrams) = (self.places.as_ptr_range(), self.datagrams.as_ptr_range());
        [
            places.start.addr()..places.end.addr(),
            datagrams.start.addr()..datagrams.end.addr(),
        ]
    }

    /// Takes a piece; `hash` is that of its key's tuple.
    pub(super) fn enter(
        &mut self,
        key: Key<F>,
        hash: u64,
        piece: Held<B>,
        now: Ticks,
        lost: &mut impl Losses,
    ) -> Entered<B> {
        let hash = hash | 1;
        if self.held >= FRAGMENTS_MAX {
            self.make_room(lost);
        }
        let at = match self.find(&key, hash) {
            Some(at) => at,
            None => self.begin(key, hash, now, lost),
        };
        let Some(datagram) = self.datagrams.get_mut(at) else {
            return Entered::Waits;
        };
        match datagram.pieces.add(piece) {
            Ok(()) => self.held += 1,
            Err(DropReason::FragmentDuplicate) => lost(DropReason::FragmentDuplicate, 1),
            Err(reason) => {
                lost(reason, 1);
                self.free(at, reason, lost);
                return Entered::Waits;
            }
        }
        match datagram.pieces.is_whole() {
            true => Entered::Complete(self.take(at)),
            false => Entered::Waits,
        }
    }

    /// Something may have waited long enough.
    #[inline]
    pub(super) fn is_due(&self, now: Ticks) -> bool {
        self.used > 0 && self.first_due.is_due(now)
    }

    /// The datagram that has waited longest, if that was long enough.
    #[cold]
    pub(super) fn take_overdue(&mut self, now: Ticks) -> Option<Overdue<B>> {
        let at = self.oldest()?;
        let until = self.places.get(at)?.until;
        if !until.is_due(now) {
            self.first_due = until;
            return None;
        }
        let key = self.datagrams.get(at)?.key;
        Some(Overdue {
            pieces: self.take(at),
            from_linux: key.is_some_and(|key| key.from_linux),
        })
    }

    fn find(&self, key: &Key<F>, hash: u64) -> Option<usize> {
        let mut places = self.places.iter().zip(&self.datagrams);
        places.position(|(place, of)| place.hash == hash && of.key.as_ref() == Some(key))
    }

    /// A place for a new datagram.
    fn begin(&mut self, key: Key<F>, hash: u64, now: Ticks, lost: &mut impl Losses) -> usize {
        if self.used >= FRAGMENTED_MAX {
            self.make_room(lost);
        }
        let free = self.places.iter().position(|place| place.hash == 0);
        let at = free.unwrap_or(0);
        if let (Some(place), Some(datagram)) = (self.places.get_mut(at), self.datagrams.get_mut(at))
        {
            let until = now.after(patience::<F>());
            *place = Place { hash, until };
            datagram.key = Some(key);
            if self.used == 0 {
                self.first_due = until;
            }
            self.used += 1;
        }
        at
    }

    /// The place of the datagram that has waited longest.
    fn oldest(&self) -> Option<usize> {
        let used = |(_, place): &(usize, &Place)| place.hash != 0;
        let mut places = self.places.iter().enumerate().filter(used);
        let first = places.next()?;
        let earlier = |a: Ticks, b: Ticks| (a.0.wrapping_sub(b.0) as i32) < 0;
        let oldest = places.fold(first, |oldest, next| {
            match earlier(next.1.until, oldest.1.until) {
                true => next,
                false => oldest,
            }
        });
        Some(oldest.0)
    }

    fn make_room(&mut self, lost: &mut impl Losses) {
        if let Some(at) = self.oldest() {
            self.free(at, DropReason::FragmentsFull, lost);
        }
    }

    fn free(&mut self, at: usize, reason: DropReason, lost: &mut impl Losses) {
        let pieces = self.take(at).len();
        if pieces > 0 {
            lost(reason, pieces);
        }
    }

    /// Empties a place.
    fn take(&mut self, at: usize) -> Complete<B> {
        let (Some(place), Some(datagram)) = (self.places.get_mut(at), self.datagrams.get_mut(at))
        else {
            return Complete::new();
        };
        place.hash = 0;
        datagram.key = None;
        let held = datagram.pieces.take();
        self.used = self.used.saturating_sub(1);
        self.held = self.held.saturating_sub(held.len());
        held
    }
}
