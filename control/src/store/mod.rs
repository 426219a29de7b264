//! The owner of the configuration: commands in, outcomes and the next snapshot out.
//!
//! [`Store::apply`] is total and knows no socket, no clock and no thread; a refused command has
//! changed nothing. Of the [`Plane`] it only reads counters. Refusals, their order and their words
//! are those of `ip_vs_ctl.c` and ipvsadm. Locality is an input like a command.

mod capabilities;
mod cells;
mod daemons;
mod estimate;
mod explain;
mod figures;
mod marks;
mod replace;
mod servers;
mod services;
mod slots;
#[cfg(test)]
mod tests;
mod tunables;

pub use capabilities::Capabilities;

use crate::command::Command;
use crate::plane::{Locality, Plane};
use crate::reply::{Outcome, Refusal};
use cells::CellBook;
use daemons::Daemons;
use estimate::Estimator;
use figures::{Totals, listing};
use pvs_sched::config::ServiceKey;
use pvs_sched::limits::{SERVERS_MAX, TIMEOUT_SECS_MAX};
use pvs_sched::{Counters, MhSlots, ServerIndex, Service, ServiceIndex, Snapshot};
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

/// What the store keeps of a service beside its snapshot.
#[derive(Clone, Debug)]
struct Book {
    slot: ServiceIndex,
    id: u64,
    /// What servers that have left had counted for it.
    left: Counters,
    /// Subtracted from the sum to get its statistics.
    base: Counters,
    estimator: Estimator,
}

/// The owner of the configuration.
#[derive(Clone)]
pub struct Store {
    next: Snapshot,
    changed: bool,
    books: HashMap<ServiceKey, Book>,
    totals: Totals,
    ids: u64,
    cells: CellBook,
    daemons: Daemons,
    /// Of mh services, by name: those that are not the default.
    slots: BTreeMap<ServiceKey, MhSlots>,
    /// Servers without a threshold that workers may still judge by one, until all have seen a version.
    unlimited: HashMap<ServerIndex, u64>,
    capabilities: Capabilities,
    locality: Arc<dyn Locality + Send + Sync>,
    /// Nothing of this store will be published: the plane is not told anything.
    trial: bool,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("version", &self.next.version)
            .field("changed", &self.changed)
            .field("services", &self.books.len())
            .finish_non_exhaustive()
    }
}

/// No address is local, no device exists.
struct Nowhere;

impl Locality for Nowhere {
    fn is_local(&self, _: IpAddr) -> bool {
        false
    }
}

impl Store {
    /// A store without services, for a dataplane that can do this much. No address is local until
    /// [`set_locality`](Self::set_locality) says so.
    #[must_use]
    pub fn new(capabilities: Capabilities) -> Self {
        Self::with_room(capabilities, SERVERS_MAX, 1)
    }

    /// As [`new`](Self::new), for this many workers whose blocks have this many cells.
    #[must_use]
    pub fn with_room(capabilities: Capabilities, cells: usize, workers: usize) -> Self {
        let mut next = Snapshot::default();
        next.workers = workers;
        Self {
            next,
            changed: false,
            books: HashMap::new(),
            totals: Totals::default(),
            ids: 0,
            cells: CellBook::new(cells),
            daemons: Daemons::default(),
            slots: BTreeMap::new(),
            unlimited: HashMap::new(),
            capabilities,
            locality: Arc::new(Nowhere),
            trial: false,
        }
    }

    /// Carries out one command.
    ///
    /// # Errors
    /// [`Refusal`]; then nothing has changed.
    pub fn apply(&mut self, command: &Command, plane: &dyn Plane) -> Result<Outcome, Refusal> {
        match command {
            Command::AddService(request) => self.add_service(request)?,
            Command::EditService(request) => self.edit_service(request)?,
            Command::DeleteService(key) => self.delete_service(key, plane)?,
            Command::Flush => self.flush(plane),
            Command::AddServer { service, server } => self.add_server(service, server, plane)?,
            Command::EditServer { service, server } => self.edit_server(service, server, plane)?,
            Command::DeleteServer { service, server } => {
                self.delete_server(service, *server, plane)?;
            }
            Command::Zero(key) => self.zero(key.as_ref(), plane)?,
            Command::SetTimeouts {
                tcp_secs,
                tcp_fin_secs,
                udp_secs,
            } => {
                self.set_timeouts(*tcp_secs, *tcp_fin_secs, *udp_secs)?;
            }
            Command::StartDaemon(request) => {
                self.daemons.start(request, &*self.locality)?;
            }
            Command::StopDaemon(role) => self.daemons.stop(*role)?,
            Command::ListServices => {
                let services = self.next.services().map(|s| self.view(s, plane)).collect();
                return Ok(listing(services, plane));
            }
            Command::ListService(key) => {
                let service = self.service(key).ok_or(Refusal::ServiceUnknown)?;
                return Ok(listing(vec![self.view(service, plane)], plane));
            }
            Command::ListConnections => {
                return Ok(Outcome::Connections {
                    entries: Vec::new(),
                    more: false,
                });
            }
            Command::ListTotals => return Ok(self.all_together(plane)),
            Command::Replace { rules, dry_run } => {
                return self.replace(rules, *dry_run, plane).map(Outcome::Changes);
            }
            Command::ListTimeouts => {
                let (tcp_secs, tcp_fin_secs, udp_secs) = self.next.timeouts.get();
                return Ok(Outcome::Timeouts {
                    tcp_secs,
                    tcp_fin_secs,
                    udp_secs,
                });
            }
            Command::ListDaemons => return Ok(Outcome::Daemons(self.daemons.views())),
            Command::Tune(tunings) => {
                self.tune(tunings)?;
                return Ok(Outcome::Tunables(tunings.clone()));
            }
            Command::ListTunables(names) => return self.tunables(names).map(Outcome::Tunables),
            Command::Explain(request) => {
                return self
                    .explain(request, plane)
                    .map(|told| Outcome::Explanation(Box::new(told)));
            }
            Command::ListMarks => return Ok(Outcome::Marks(self.marks())),
            Command::AddMark { at, rule } => self.add_mark(*at, rule)?,
            Command::DeleteMark(number) => self.delete_mark(*number)?,
            Command::DeleteMarkRule(rule) => self.delete_mark_rule(rule)?,
            Command::SetMarks(rules) => self.set_marks(rules.clone())?,
            Command::SetSlots { service, slots } => self.set_slots(service, *slots)?,
            Command::ListSlots(key) => return self.list_slots(key.as_ref()).map(Outcome::Slots),
            Command::Status => {
                let mut status = Box::new(plane.status());
                status.services = self.overview();
                let more = false;
                return Ok(Outcome::Status { status, more });
            }
            Command::Drops => return Ok(Outcome::Drops(plane.losses())),
        }
        Ok(Outcome::Done)
    }

    /// Carries out commands in their order. A listing that is refused is the last one: ipvsadm ends
    /// there, also in the middle of `-R`.
    pub fn apply_all(&mut self, commands: &[Command], plane: &dyn Plane) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(commands.len());
        for command in commands {
            let outcome = self.apply(command, plane);
            let ends = command.is_listing() && outcome.is_err();
            outcomes.push(outcome.unwrap_or_else(Outcome::Refused));
            if ends {
                break;
            }
        }
        outcomes
    }

    /// Takes what Linux says about addresses; holds for later services too.
    pub fn set_locality(&mut self, locality: Arc<dyn Locality + Send + Sync>) {
        let differs = self
            .next
            .services()
            .any(|s| s.local != is_local(&s.config.key, &*locality));
        if differs {
            self.next.set_locality(|address| locality.is_local(address));
            self.changed = true;
        }
        self.locality = locality;
    }

    /// The configuration that commands have led to, for the workers; `None` if nothing has changed
    /// since the last call.
    pub fn take_snapshot(&mut self) -> Option<Snapshot> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        self.next.version += 1;
        self.next.settle();
        Some(self.next.clone())
    }

    /// Every worker has seen the snapshot of this version, and has left the older ones.
    pub fn note_seen(&mut self, version: u64, plane: &dyn Plane) {
        self.cells.note_seen(version);
        self.judge_unlimited(version, plane);
    }

    /// The configuration as the last command left it.
    #[must_use]
    pub const fn snapshot(&self) -> &Snapshot {
        &self.next
    }

    fn set_timeouts(&mut self, tcp: u32, tcp_fin: u32, udp: u32) -> Result<(), Refusal> {
        if [tcp, tcp_fin, udp]
            .iter()
            .any(|secs| *secs > TIMEOUT_SECS_MAX)
        {
            return Err(Refusal::Invalid);
        }
        self.next.timeouts.set(tcp, tcp_fin, udp);
        self.changed = true;
        Ok(())
    }

    fn service(&self, key: &ServiceKey) -> Option<&Service> {
        self.next.service(self.books.get(key)?.slot)
    }

    /// The version of the snapshot that this command goes into.
    const fn version(&self) -> u64 {
        self.next.version + 1
    }
}

fn is_local(key: &ServiceKey, locality: &dyn Locality) -> bool {
    match key {
        ServiceKey::Address { address, .. } => locality.is_local(*address),
        ServiceKey::Mark { .. } => true,
    }
}
