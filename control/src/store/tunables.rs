//! The tunables: what `pvsadm sysctl` and the configuration file set, by the kernel's names.

use super::Store;
use crate::command::Tuning;
use crate::reply::Refusal;

impl Store {
    /// Sets all of these, or none.
    pub(super) fn tune(&mut self, tunings: &[Tuning]) -> Result<(), Refusal> {
        let mut next = self.next.tunables.clone();
        for Tuning { name, value } in tunings {
            next.set(name, value).map_err(|error| Refusal::Tunable {
                name: format!("{name}={value}"),
                reason: error.to_string(),
            })?;
        }
        self.changed |= next != self.next.tunables;
        self.next.tunables = next;
        Ok(())
    }

    /// The tunables of these names, in this order; all of them if there is none.
    pub(super) fn tunables(&self, names: &[String]) -> Result<Vec<Tuning>, Refusal> {
        let all: Vec<_> = self.next.tunables.list().collect();
        let shown = |(name, value): &(&str, String)| Tuning {
            name: (*name).to_owned(),
            value: value.clone(),
        };
        if names.is_empty() {
            return Ok(all.iter().map(shown).collect());
        }
        let named = |wanted: &String| {
            let found = all.iter().find(|(name, _)| name == wanted).map(shown);
            found.ok_or_else(|| Refusal::Tunable {
                name: wanted.clone(),
                reason: pvs_sched::tunables::TunableError::Unknown.to_string(),
            })
        };
        names.iter().map(named).collect()
    }
}
