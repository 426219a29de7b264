//! How loaded a server is, and what schedulers compare.

use super::AsWorker;
use crate::service::ServerIndex;

/// A server's connections at this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Connections in an active state.
    pub active: u32,
    /// All others.
    pub inactive: u32,
}

impl Load {
    pub(super) const fn pack(self) -> u64 {
        ((self.active as u64) << 32) | self.inactive as u64
    }

    pub(super) const fn unpack(word: u64) -> Self {
        Self {
            active: (word >> 32) as u32,
            inactive: word as u32,
        }
    }

    /// One more on a side, and one less on the other, if that is wanted.
    pub(super) const fn changed(self, active: i32, inactive: i32) -> Self {
        Self {
            active: self.active.saturating_add_signed(active),
            inactive: self.inactive.saturating_add_signed(inactive),
        }
    }

    /// The cost that lc, wlc and their kin compare: 256 for an active connection and 1 for each
    /// connection of any kind (`ip_vs_dest_conn_overhead` since the fix of 2026).
    #[must_use]
    pub const fn overhead(self) -> u64 {
        (self.active as u64) * 257 + self.inactive as u64
    }

    /// What sed compares: the active connections and the one that is about to come.
    #[must_use]
    pub const fn delay(self) -> u64 {
        self.active as u64 + 1
    }

    /// What nq compares: as sed, but nobody is better than who has no active connection.
    #[must_use]
    pub const fn queue(self) -> u64 {
        match self.active {
            0 => 0,
            _ => self.delay(),
        }
    }

    /// All connections.
    #[must_use]
    pub const fn total(self) -> u32 {
        self.active.saturating_add(self.inactive)
    }

    /// The connections of two blocks together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            active: self.active.saturating_add(other.active),
            inactive: self.inactive.saturating_add(other.inactive),
        }
    }
}

/// What a scheduler may ask about servers.
pub trait Loads {
    /// The server's connections over all workers.
    fn load(&self, server: ServerIndex) -> Load;
    /// The server is at its upper threshold (IP_VS_DEST_F_OVERLOAD).
    fn overloaded(&self, _server: ServerIndex) -> bool {
        false
    }
    /// False only if no server at all is at its upper threshold.
    fn any_overloaded(&self) -> bool {
        true
    }
    /// The worker that asks, if it is one, for which something may be kept
    /// from one pick to the next.
    fn as_worker(&self) -> Option<AsWorker<'_>> {
        None
    }
}
