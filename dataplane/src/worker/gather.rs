//! Datagrams that come in pieces: each piece waits in its own buffer until all of them are there.
//!
//! As `ip_fragment.c` and `nf_conntrack_reasm.c` have it: a datagram is its source, destination, protocol and
//! identification; it has 30 seconds (IPv6: 60, RFC 8200 section 4.5) from its first piece on; a piece that came before
//! is dropped, one that overlaps others ends the datagram (RFC 5722), and so does one that contradicts them about the
//! length. Nothing is copied. What is held is bounded in pieces and datagrams: in a full place a newcomer takes the
//! place of the datagram that has waited longest, since the pieces of one that is whole come together within
//! milliseconds.

use crate::port::Buf;
use crate::reason::DropReason;
use crate::table::Tuple;
use arrayvec::ArrayVec;
use pvs_proto::parse::Piece;
use pvs_proto::{Endpoint, Family, Meta, Ticks};

/// Datagrams of a family that a worker holds pieces of, at most: 1 MB for their lists.
pub const FRAGMENTED_MAX: usize = 256;

/// Pieces of a family that it holds, at most: as many of its port's buffers, of which it has 16,384 by default.
pub const FRAGMENTS_MAX: usize = 1024;

/// Pieces that a datagram may have: enough for the longest one in pieces of 576 bytes.
pub const FRAGMENTS_OF_ONE_MAX: usize = 128;

/// How long a datagram has from its first piece on.
const fn patience<F: Family>() -> Ticks {
    Ticks::from_secs(if F::IS_V4 { 30 } else { 60 })
}

/// A piece that is held.
#[derive(Debug)]
pub(super) struct Held<B> {
    pub buf: B,
    pub piece: Piece,
    /// Where its network header begins.
    pub l3: u16,
    /// The two bits of its type of service that are ECN's.
    pub ecn: u8,
}

impl<B: Buf> Held<B> {
    /// Its data.
    pub(super) fn data(&self) -> &[u8] {
        let start = usize::from(self.piece.data);
        let end = start + self.piece.len as usize;
        self.buf.bytes().get(start..end).unwrap_or_default()
    }

    /// The same, to be changed.
    pub(super) fn data_mut(&mut self) -> &mut [u8] {
        let start = usize::from(self.piece.data);
        let end = start + self.piece.len as usize;
        self.buf.bytes_mut().get_mut(start..end).unwrap_or_default()
    }

    /// The length of its packet.
    pub(super) fn ip_len(&self) -> u32 {
        u32::from(self.piece.data.saturating_sub(self.l3)) + self.piece.len
    }

    fn end(&self) -> u32 {
        self.piece.offset + self.piece.len
    }
}

/// All pieces of a datagram, in order.
pub(super) type Complete<B> = ArrayVec<Held<B>, FRAGMENTS_OF_ONE_MAX>;

/// What names a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key<F: Family> {
    tuple: Tuple<F>,
    from_linux: bool,
}

impl<F: Family> Key<F> {
    /// The datagram of a piece. Those of Linux's own are kept apart from those that somebody may send in its name.
    pub(super) fn of(meta: &Meta<F>, from_linux: bool) -> Self {
        let half = |addr, port| Endpoint { addr, port };
        Self {
            tuple: Tuple {
                protocol: meta.protocol,
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
    /// Bytes that are here.
    have: u32,
    /// Bytes that there are, once the last piece is here.
    total: Option<u32>,
    held: Complete<B>,
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

/// Told of pieces that are freed: why, and how many.
pub(super) trait Losses: FnMut(DropReason, usize) {}

impl<T: FnMut(DropReason, usize)> Losses for T {}

impl<F: Family, B: Buf> Gathering<F, B> {
    /// None yet. All memory is taken here.
    pub(super) fn new() -> Self {
        let empty = |_| Datagram {
            key: None,
            have: 0,
            total: None,
            held: ArrayVec::new(),
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
        match datagram.add(piece) {
            Ok(()) => self.held += 1,
            Err(DropReason::FragmentDuplicate) => lost(DropReason::FragmentDuplicate, 1),
            Err(reason) => {
                lost(reason, 1);
                self.free(at, reason, lost);
                return Entered::Waits;
            }
        }
        match datagram.total == Some(datagram.have) {
            true => Entered::Complete(self.take(at)),
            false => Entered::Waits,
        }
    }

    /// Frees what has waited too long.
    #[inline]
    pub(super) fn expire(&mut self, now: Ticks, lost: &mut impl Losses) {
        if self.used > 0 && self.first_due.is_due(now) {
            self.expire_some(now, lost);
        }
    }

    #[cold]
    fn expire_some(&mut self, now: Ticks, lost: &mut impl Losses) {
        while let Some(at) = self.oldest() {
            match self.places.get(at).filter(|place| !place.until.is_due(now)) {
                Some(next) => {
                    self.first_due = next.until;
                    return;
                }
                None => self.free(at, DropReason::FragmentTimeout, lost),
            }
        }
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
        (datagram.key, datagram.have, datagram.total) = (None, 0, None);
        let held = core::mem::take(&mut datagram.held);
        self.used = self.used.saturating_sub(1);
        self.held = self.held.saturating_sub(held.len());
        held
    }
}

impl<F: Family, B: Buf> Datagram<F, B> {
    /// Puts a piece in its place.
    fn add(&mut self, new: Held<B>) -> Result<(), DropReason> {
        let (start, end) = (new.piece.offset, new.end());
        let reached = self.held.last().map_or(0, Held::end);
        let fits = match (new.piece.more, self.total) {
            (true, Some(total)) => end <= total,
            (true, None) => true,
            (false, Some(total)) => end == total,
            (false, None) => end >= reached,
        };
        if !fits || end == start {
            return Err(DropReason::FragmentOverlap);
        }
        let after = self
            .held
            .iter()
            .rposition(|held| held.piece.offset <= start);
        let before = after.and_then(|at| self.held.get(at));
        let next = self.held.get(after.map_or(0, |at| at + 1));
        if before.is_some_and(|before| before.end() > start) {
            return Err(match self.run_end(after.unwrap_or(0)) >= end {
                true => DropReason::FragmentDuplicate,
                false => DropReason::FragmentOverlap,
            });
        }
        if next.is_some_and(|next| next.piece.offset < end) {
            return Err(DropReason::FragmentOverlap);
        }
        if !new.piece.more {
            self.total = Some(end);
        }
        self.have += end - start;
        self.held
            .try_push(new)
            .map_err(|_| DropReason::FragmentsFull)?;
        self.settle();
        Ok(())
    }

    /// Where the pieces that follow each other without a gap, from this one on, end.
    fn run_end(&self, from: usize) -> u32 {
        let run = self.held.get(from..).unwrap_or_default();
        let first = run.first().map_or(0, Held::end);
        run.iter()
            .skip(1)
            .fold((first, true), |(end, joined), held| {
                match joined && held.piece.offset == end {
                    true => (held.end(), true),
                    false => (end, false),
                }
            })
            .0
    }

    /// Moves the newest piece to where it belongs.
    fn settle(&mut self) {
        for at in (1..self.held.len()).rev() {
            let Some([before, newest]) = self.held.get_mut(at - 1..=at) else {
                return;
            };
            if before.piece.offset < newest.piece.offset {
                return;
            }
            core::mem::swap(before, newest);
        }
    }
}
