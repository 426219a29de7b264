//! Control's view of the director of this process: a [`Plane`] without threads.
//!
//! The worker polls whenever control wants something of it, so a snapshot is seen as soon as it is
//! published and a question is answered as soon as it is asked.

use crate::Director;
use pvs_control::{Connection, Cursor, Lag, Plane};
use pvs_dataplane::worker::{PlaceInTable, Record};
use pvs_sched::{Counters, Load, ServerIndex, Snapshot};
use std::time::Duration;

/// Index slots of the recorded kernel's connection table (`CONFIG_IP_VS_TAB_BITS=12`).
const TABLE_SIZE: u64 = 4096;

/// The bit of a cursor that says IPv6; the place is below it.
const V6: u64 = 1 << 32;

/// The director, to control.
pub struct InProcess {
    /// Itself.
    pub director: Director,
}

impl Plane for InProcess {
    fn publish(&mut self, snapshot: Snapshot) {
        self.director.configure(snapshot);
    }

    fn wait_seen(&mut self, _: u64, _: Duration) -> Result<(), Lag> {
        Ok(())
    }

    fn counters(&self, server: ServerIndex) -> Counters {
        self.director.counters(server)
    }

    fn load(&self, server: ServerIndex) -> Load {
        self.director.load(server)
    }

    fn connections(
        &mut self,
        from: Cursor,
        page: &mut Vec<Connection>,
    ) -> Result<Option<Cursor>, Lag> {
        let (records, next) = self.director.page(PlaceInTable {
            v6: from.0 & V6 != 0,
            place: from.0 as u32,
        });
        page.extend(records.iter().map(connection));
        Ok(next.map(|next| {
            let family = if next.v6 { V6 } else { 0 };
            Cursor(family | u64::from(next.place))
        }))
    }

    fn table_size(&self) -> u64 {
        TABLE_SIZE
    }
}

fn connection(record: &Record) -> Connection {
    Connection {
        protocol: record.protocol.name(),
        expires_secs: record.expires_secs,
        state: record.state,
        client: record.client,
        virtual_: record.virtual_,
        server: record.server,
        method: record.method,
    }
}
