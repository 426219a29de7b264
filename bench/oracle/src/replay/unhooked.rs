//! The kernel without hooks: once no service of a family is left, its packets are Linux's alone.
//!
//! This is where [`Stated::LastService`](super::stated::Stated::LastService) is judged. It
//! excuses nothing that is not both: recorded as Linux alone would have it, and here as
//! with another service left.

use super::lab::{Lab, Sent};
use super::listing::Entry;
use super::way::By;
use crate::Side;
use pvs_dataplane::reason::DropReason;

/// Whether there are hooks, and the connections as they were when the hooks went: no
/// packet has touched them since.
#[derive(Default)]
pub(super) struct Hooks {
    are_gone: bool,
    latest: Vec<Seen>,
    kept: Vec<Seen>,
}

/// An entry that was recorded between two moments.
#[derive(Clone)]
struct Seen {
    entry: Entry,
    from_ms: u64,
    to_ms: u64,
}

impl Hooks {
    /// Looks whether a service is left, after a command.
    pub(super) fn look(&mut self, lab: &Lab) {
        let are_gone = !lab.has_services();
        if are_gone && !self.are_gone {
            self.kept.clone_from(&self.latest);
        }
        self.are_gone = are_gone;
    }

    /// There are none.
    pub(super) const fn are_gone(&self) -> bool {
        self.are_gone
    }

    /// Remembers the entries that were recorded between two moments.
    pub(super) fn remember(&mut self, entries: &[Entry], from_ms: u64, to_ms: u64) {
        let seen = |entry: &Entry| Seen {
            entry: entry.clone(),
            from_ms,
            to_ms,
        };
        if !self.are_gone {
            self.latest = entries.iter().map(seen).collect();
        }
    }

    /// An entry that was recorded between two moments is as it was when the hooks
    /// went, and nothing but older.
    pub(super) fn kept(&self, recorded: &Entry, from_ms: u64, to_ms: u64) -> bool {
        self.kept.iter().any(|kept| {
            let same = Entry {
                expire: recorded.expire.clone(),
                ..kept.entry.clone()
            };
            let (Some(was), Some(is)) = (kept.entry.left_secs(), recorded.left_secs()) else {
                return false;
            };
            // Between these two is the end of its time, of which a listing shows whole seconds.
            let (soonest, latest) = (kept.from_ms + was * 1000, kept.to_ms + (was + 1) * 1000);
            let least = soonest.saturating_sub(to_ms + 1000);
            same == *recorded && (least..=latest.saturating_sub(from_ms)).contains(&(is * 1000))
        })
    }
}

/// A packet of a connection was treated as while another service is left: a client's is dropped for
/// want of its server, a server's passes translated.
pub(super) fn is_as_hooked(came: Side, sent: &Sent) -> bool {
    let dropped = sent.left.is_empty() && sent.lost == [DropReason::ServerRemoved.label()];
    let passed = came == Side::Server
        && matches!(sent.left.as_slice(), [one] if one.by == By::Ipvs && one.side == Side::Client);
    dropped || passed
}
