//! How many slots the tables of mh services have: what `pvsadm mh` changes. ipvsadm's commands
//! know nothing of it, so the number belongs to a service's name and holds for whatever
//! service has that name next.

use super::Store;
use crate::reply::{Refusal, SlotsView};
use pvs_sched::limits::SERVICES_MAX;
use pvs_sched::{MhSlots, SchedulerName, Service, ServiceKey};

impl Store {
    /// Remembers a number for the service of this name, whether there is one or not: what pvsd.toml
    /// says. There is none yet when it is read.
    ///
    /// # Errors
    /// [`Refusal::Full`]: as many names are remembered as there can be services.
    pub fn remember_slots(&mut self, key: ServiceKey, slots: MhSlots) -> Result<(), Refusal> {
        if slots == MhSlots::default() {
            self.slots.remove(&key);
        } else if self.slots.len() < SERVICES_MAX || self.slots.contains_key(&key) {
            self.slots.insert(key, slots);
        } else {
            return Err(Refusal::Full);
        }
        Ok(())
    }

    /// The number that a service of this name has.
    pub(super) fn slots_of(&self, key: &ServiceKey) -> MhSlots {
        self.slots.get(key).copied().unwrap_or_default()
    }

    /// Gives a service of scheduler mh another number.
    pub(super) fn set_slots(&mut self, key: &ServiceKey, slots: MhSlots) -> Result<(), Refusal> {
        let service = self.maglev(key)?;
        let next = (service.slots() != slots).then(|| service.with_slots(slots));
        self.remember_slots(*key, slots)?;
        if let Some(next) = next {
            self.put(next);
        }
        Ok(())
    }

    /// The number of one service of scheduler mh; or of all there are, and behind them the names
    /// that have one and are no such service's.
    pub(super) fn list_slots(&self, key: Option<&ServiceKey>) -> Result<Vec<SlotsView>, Refusal> {
        let view = |service: &Service| SlotsView {
            service: service.config.key,
            slots: service.slots(),
            running: true,
        };
        if let Some(key) = key {
            return Ok(vec![view(self.maglev(key)?)]);
        }
        let mut views: Vec<_> = self.next.services().filter(is_maglev).map(view).collect();
        views.sort_by_key(|view| view.service);
        let others = self.slots.iter();
        let others = others.filter(|(key, _)| self.service(key).filter(is_maglev).is_none());
        views.extend(others.map(|(key, slots)| SlotsView {
            service: *key,
            slots: *slots,
            running: false,
        }));
        Ok(views)
    }

    /// The service of this name, if its scheduler is mh.
    fn maglev(&self, key: &ServiceKey) -> Result<&Service, Refusal> {
        let service = self.service(key).ok_or(Refusal::ServiceUnknown)?;
        match is_maglev(&service) {
            true => Ok(service),
            false => Err(Refusal::NotMaglev {
                scheduler: service.config.scheduler,
            }),
        }
    }
}

/// Its scheduler has a table whose slots are counted here.
pub(super) fn is_maglev(service: &&Service) -> bool {
    service.config.scheduler == SchedulerName::Mh
}
