//! What the store tells of services: what they and their servers have counted, by how much that
//! grows, and what a listing shows of them.
//!
//! Workers' counters only grow. A statistic is a difference: the sum over a service's servers,
//! those that have left included, less what the sum was at the last `-Z`.

use super::cells::{self, CellBook};
use super::estimate::Estimator;
use super::{Book, Store, slots};
use crate::plane::Plane;
use crate::reply::{Outcome, Refusal, ServerView, ServiceView};
use crate::status::ServicesView;
use pvs_sched::config::ServiceKey;
use pvs_sched::{Counters, Service};

/// What all services together have counted.
#[derive(Clone, Debug)]
pub(super) struct Totals {
    /// By services that are gone.
    pub(super) gone: Counters,
    /// Subtracted from the sum.
    base: Counters,
    estimator: Estimator,
}

impl Default for Totals {
    fn default() -> Self {
        Self {
            gone: cells::ZERO,
            base: cells::ZERO,
            estimator: Estimator::ZERO,
        }
    }
}

impl Store {
    /// An estimator period of two seconds has passed. Without `run_estimation` rates stay as they
    /// are.
    pub fn tick(&mut self, plane: &dyn Plane) {
        let estimates = self.next.tunables.run_estimation != 0;
        self.cells.tick(plane, estimates);
        if !estimates {
            return;
        }
        for (key, book) in &mut self.books {
            let Some(service) = self.next.service(book.slot) else {
                continue;
            };
            debug_assert_eq!(service.config.key, *key, "a book is its service's");
            let sum = sum(service, book, &self.cells, plane);
            book.estimator.tick(sum.since(book.base));
        }
        let counted = self.counted(plane).since(self.totals.base);
        self.totals.estimator.tick(counted);
    }

    /// `-Z`: a service and its servers, or all of them.
    pub(super) fn zero(
        &mut self,
        key: Option<&ServiceKey>,
        plane: &dyn Plane,
    ) -> Result<(), Refusal> {
        if key.is_some_and(|k| !self.books.contains_key(k)) {
            return Err(Refusal::ServiceUnknown);
        }
        for (name, book) in &mut self.books {
            let Some(service) = self.next.service(book.slot) else {
                continue;
            };
            if key.is_some_and(|k| k != name) {
                continue;
            }
            for server in service.servers() {
                self.cells.zero(server.index, plane);
            }
            book.base = sum(service, book, &self.cells, plane);
            book.estimator = Estimator::ZERO;
        }
        if key.is_none() {
            self.totals.base = self.counted(plane);
            self.totals.estimator = Estimator::ZERO;
        }
        Ok(())
    }

    /// The services, counted, and those that take no packets.
    pub(super) fn overview(&self) -> ServicesView {
        let mut view = ServicesView::default();
        for service in self.next.services() {
            let servers = service.servers();
            view.services += 1;
            view.servers += servers.len() as u64;
            view.without_servers += u64::from(servers.iter().all(|s| s.config.weight == 0));
            if !service.local {
                view.waiting.push(service.config.key);
            }
        }
        view
    }

    /// `ip_vs_stats`: all services together.
    pub(super) fn all_together(&self, plane: &dyn Plane) -> Outcome {
        Outcome::Totals {
            stats: self.counted(plane).since(self.totals.base).into(),
            rates: self.totals.estimator.rates(),
        }
    }

    /// What all services have counted since pvsd started, those that are gone too.
    fn counted(&self, plane: &dyn Plane) -> Counters {
        let of = |book: &Book| {
            let service = self.next.service(book.slot)?;
            Some(sum(service, book, &self.cells, plane))
        };
        let each = self.books.values().filter_map(of);
        each.fold(self.totals.gone, Counters::plus)
    }

    /// A service and its servers, as listings show them.
    pub(super) fn view(&self, service: &Service, plane: &dyn Plane) -> ServiceView {
        let servers = service.servers().iter().map(|server| {
            let load = plane.load(server.index);
            ServerView {
                config: server.config,
                active: load.active,
                inactive: load.inactive,
                persistent: plane.templates(server.index),
                stats: self.cells.stats(server.index, plane),
                rates: self.cells.rates(server.index),
            }
        });
        let servers = servers.collect();
        let book = self.books.get(&service.config.key);
        let counted = book.map(|b| sum(service, b, &self.cells, plane).since(b.base));
        ServiceView {
            config: service.config.clone(),
            stats: counted.unwrap_or_default().into(),
            rates: book.map(|b| b.estimator.rates()).unwrap_or_default(),
            mh_slots: Some(service).filter(slots::is_maglev).map(Service::slots),
            servers,
        }
    }
}

/// What a service has counted since it was added: its servers' part, and that of those that left.
pub(super) fn sum(service: &Service, book: &Book, cells: &CellBook, plane: &dyn Plane) -> Counters {
    let counted = service
        .servers()
        .iter()
        .map(|s| cells.counted(s.index, plane));
    counted.fold(book.left, Counters::plus)
}

pub(super) fn listing(services: Vec<ServiceView>, plane: &dyn Plane) -> Outcome {
    Outcome::Services {
        table_size: plane.table_size(),
        services,
        more: false,
    }
}
