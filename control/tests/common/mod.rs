//! A plane without workers.

use pvs_control::plane::{Connection, Cursor, Lag, Plane};
use pvs_sched::{Counters, Load, ServerIndex, Snapshot};
use std::time::Duration;

/// Takes snapshots and counts nothing.
#[derive(Debug, Default)]
pub struct IdlePlane {
    pub published: Vec<Snapshot>,
    pub connections: Vec<Connection>,
}

/// Connections in a page.
const PAGE: usize = 3;

impl Plane for IdlePlane {
    fn publish(&mut self, snapshot: Snapshot) {
        self.published.push(snapshot);
    }

    fn wait_seen(&mut self, _: u64, _: Duration) -> Result<(), Lag> {
        Ok(())
    }

    fn counters(&self, _: ServerIndex) -> Counters {
        Counters::default()
    }

    fn load(&self, _: ServerIndex) -> Load {
        Load::default()
    }

    fn connections(
        &mut self,
        from: Cursor,
        page: &mut Vec<Connection>,
    ) -> Result<Option<Cursor>, Lag> {
        let from = usize::try_from(from.0).unwrap();
        page.extend(self.connections.iter().skip(from).take(PAGE));
        let next = from + PAGE;
        Ok((next < self.connections.len()).then(|| Cursor(u64::try_from(next).unwrap())))
    }

    fn table_size(&self) -> u64 {
        4096
    }
}
