//! The sizes of an engine, and what its tables take of memory.

use crate::slab::Backing;
use crate::table::{HashKeys, Table};
use pvs_proto::{V4, V6};

/// The sizes of an engine.
#[derive(Clone, Copy, Debug)]
pub struct EngineConfig {
    /// IPv4 connections over all workers.
    pub connections_v4: u32,
    /// IPv6 connections over all workers.
    pub connections_v6: u32,
    /// Real servers.
    pub servers: usize,
    /// Templates of persistent services over IPv4; there is room for a quarter as many over IPv6.
    pub templates: usize,
    /// What memory the tables shall be of.
    pub backing: Backing,
    /// The tables' secret.
    pub keys: HashKeys,
    /// Drops what would be forwarded: to see what a failure looks like.
    pub rehearse_failure: bool,
}

impl EngineConfig {
    /// Bytes of the connection tables of so many workers, each of whose parts is in pages of its
    /// own.
    #[must_use]
    pub fn table_bytes(&self, workers: u16) -> usize {
        let each = |connections: u32| connections.div_ceil(u32::from(workers).max(1));
        let (v4, v6) = (each(self.connections_v4), each(self.connections_v6));
        let bytes = Table::<V4>::bytes(v4).saturating_add(Table::<V6>::bytes(v6));
        bytes.saturating_mul(workers.into())
    }
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            connections_v4: 65_536,
            connections_v6: 16_384,
            servers: 4096,
            templates: 16_384,
            backing: Backing::Ordinary,
            keys: HashKeys::random(),
            rehearse_failure: false,
        }
    }
}
