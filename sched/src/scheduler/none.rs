//! none: a service without a scheduler, which takes no new connection.
//!
//! Mirrors `ip_vs_schedule`, which finds no server where `svc->scheduler` is null;
//! what is connected goes on.

use super::{Ask, List, Scheduler};
use crate::cells::Loads;
use pvs_proto::Address;

/// Nothing is built.
#[derive(Clone, Debug)]
pub(crate) struct Nobody;

impl Scheduler for Nobody {
    type State = ();
    type Change = ();

    fn build(_: &List<'_>) -> Self {
        Self
    }

    fn start(&self) {}

    fn pick<A: Address, L: Loads>(&self, (): &(), _: &Ask<'_, A>, _: &L) -> Option<usize> {
        None
    }
}
