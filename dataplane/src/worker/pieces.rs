//! The pieces of one datagram, in order: where a new one belongs, and whether it may.
//!
//! As `inet_frag_queue_insert` and its callers have it: a piece that came before is
//! dropped, one that overlaps others ends the datagram (RFC 5722), and so does one that
//! contradicts them about the length.

use crate::port::Buf;
use crate::reason::DropReason;
use arrayvec::ArrayVec;
use pvs_proto::parse::Piece;

/// Pieces that a datagram may have: enough for the longest one in pieces of 576 bytes.
pub const FRAGMENTS_OF_ONE_MAX: usize = 128;

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

/// A datagram of which pieces are missing.
#[derive(Debug)]
pub(super) struct Partial<B> {
    /// Bytes that are here.
    have: u32,
    /// Bytes that there are, once the last piece is here.
    total: Option<u32>,
    held: Complete<B>,
}

impl<B: Buf> Partial<B> {
    /// Nothing of it.
    pub(super) fn new() -> Self {
        Self {
            have: 0,
            total: None,
            held: ArrayVec::new(),
        }
    }

    /// All of it is here.
    pub(super) fn is_whole(&self) -> bool {
        self.total == Some(self.have)
    }

    /// Takes out what is here.
    pub(super) fn take(&mut self) -> Complete<B> {
        (self.have, self.total) = (0, None);
        core::mem::take(&mut self.held)
    }

    /// Puts a piece in its place.
    ///
    /// # Errors
    /// It came before, or it ends the datagram: it overlaps other pieces, contradicts
    /// them, or is one too many.
    pub(super) fn add(&mut self, new: Held<B>) -> Result<(), DropReason> {
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
