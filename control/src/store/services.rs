//! Edits of services: `-A`, `-E`, `-D`, `-C`. Mirrors `ip_vs_add_service` and `ip_vs_edit_service`,
//! the order of their refusals included.

use super::figures::sum;
use super::{Book, Store, cells, is_local};
use crate::command::ServiceRequest;
use crate::plane::Plane;
use crate::reply::Refusal;
use crate::store::estimate::Estimator;
use pvs_sched::Service;
use pvs_sched::config::{AddressFamily, SchedulerName, ServiceConfig, ServiceFlags, ServiceKey};
use pvs_sched::limits::{SERVICES_MAX, TIMEOUT_SECS_MAX};

/// The persistence engines of the kernel.
const ENGINES: &[&str] = &["sip"];

/// The flags that a command may set.
const FLAGS: u32 = ServiceFlags::ONE_PACKET.0
    | ServiceFlags::SCHED1.0
    | ServiceFlags::SCHED2.0
    | ServiceFlags::SCHED3.0;

/// Longest name of a scheduler or an engine that the kernel keeps.
const NAME_BYTES_MAX: usize = 15;

impl Store {
    pub(super) fn add_service(&mut self, request: &ServiceRequest) -> Result<(), Refusal> {
        if self.books.contains_key(&request.key) {
            return Err(Refusal::ServiceExists);
        }
        let config = self.judge_service(request)?;
        if self.books.len() >= SERVICES_MAX {
            return Err(Refusal::Full);
        }
        let slot = self.next.free_slot();
        let local = is_local(&config.key, &*self.locality);
        self.ids += 1;
        let book = Book {
            slot,
            id: self.ids,
            left: cells::ZERO,
            base: cells::ZERO,
            estimator: Estimator::ZERO,
        };
        self.books.insert(config.key, book);
        let slots = self.slots_of(&config.key);
        self.put(Service::new(slot, config, local).with_slots(slots));
        Ok(())
    }

    pub(super) fn edit_service(&mut self, request: &ServiceRequest) -> Result<(), Refusal> {
        if !self.books.contains_key(&request.key) {
            return Err(Refusal::ServiceUnknown);
        }
        let config = self.judge_service(request)?;
        let edited = self.service(&config.key).map(|s| s.edited(config.clone()));
        self.put(edited.ok_or(Refusal::ServiceUnknown)?);
        Ok(())
    }

    pub(super) fn delete_service(
        &mut self,
        key: &ServiceKey,
        plane: &dyn Plane,
    ) -> Result<(), Refusal> {
        let book = self.books.remove(key).ok_or(Refusal::ServiceUnknown)?;
        self.empty(&book, plane);
        Ok(())
    }

    pub(super) fn flush(&mut self, plane: &dyn Plane) {
        for (_, book) in std::mem::take(&mut self.books) {
            self.empty(&book, plane);
        }
    }

    /// Puts a service into the next snapshot.
    pub(super) fn put(&mut self, service: Service) {
        self.next.put(service);
        self.changed = true;
    }

    fn empty(&mut self, book: &Book, plane: &dyn Plane) {
        let version = self.version();
        if let Some(service) = self.next.remove(book.slot) {
            let counted = sum(&service, book, &self.cells, plane);
            self.totals.gone = self.totals.gone.plus(counted);
            for server in service.servers() {
                self.next.removals += 1;
                self.cells.leave(server.index, version, plane);
            }
        }
        self.changed = true;
    }

    /// What the kernel and then the dataplane have against a service.
    fn judge_service(&self, request: &ServiceRequest) -> Result<ServiceConfig, Refusal> {
        let scheduler =
            SchedulerName::named(&request.scheduler).ok_or(Refusal::SchedulerUnknown)?;
        if let Some(engine) = &request.engine {
            if engine.len() > NAME_BYTES_MAX || !ENGINES.contains(&engine.as_str()) {
                return Err(Refusal::SchedulerUnknown);
            }
        }
        let config = ServiceConfig {
            key: request.key,
            scheduler,
            flags: request.flags,
            persistence: request.persistence,
            // The kernel keeps it without persistence too; a table does not
            // show it then, the rules do.
            engine: request.engine.clone(),
        };
        if !is_legal(&config) {
            return Err(Refusal::Invalid);
        }
        Ok(config)
    }
}

/// The ranges that ipvsadm and the kernel hold a service to.
fn is_legal(config: &ServiceConfig) -> bool {
    let named = match config.key {
        ServiceKey::Address { port, .. } => port != 0 || config.persistence.is_some(),
        ServiceKey::Mark { mark, .. } => mark != 0,
    };
    let remembered = config.persistence.is_none_or(|p| {
        let mask = config.key.family() == AddressFamily::Ipv4 || (1..=128).contains(&p.netmask);
        (1..=TIMEOUT_SECS_MAX).contains(&p.timeout_secs) && mask
    });
    named && remembered && config.flags.0 & !FLAGS == 0
}
