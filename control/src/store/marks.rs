//! Mark rules: what `pvsadm mark` changes. Like a chain of iptables, and kept apart from services.

use super::Store;
use crate::reply::Refusal;
use pvs_sched::limits::MARK_RULES_MAX;
use pvs_sched::marks::{MarkRule, MarkRules};
use std::sync::Arc;

impl Store {
    /// The rules, in their order.
    pub(super) fn marks(&self) -> Vec<MarkRule> {
        self.next.marks.rules().to_vec()
    }

    /// Puts a rule before the one that has this number, counted from 1; behind all
    /// others if none is given.
    pub(super) fn add_mark(&mut self, at: Option<u32>, rule: &MarkRule) -> Result<(), Refusal> {
        let mut rules = self.marks();
        let place = match at {
            None => rules.len(),
            Some(number) => (number as usize)
                .checked_sub(1)
                .filter(|place| *place <= rules.len())
                .ok_or_else(|| no_rule(number, rules.len()))?,
        };
        rules.insert(place, rule.clone());
        self.set_marks(rules)
    }

    /// Takes out the rule that has this number.
    pub(super) fn delete_mark(&mut self, number: u32) -> Result<(), Refusal> {
        let mut rules = self.marks();
        let place = (number as usize).checked_sub(1);
        let place = place.filter(|place| *place < rules.len());
        rules.remove(place.ok_or_else(|| no_rule(number, rules.len()))?);
        self.set_marks(rules)
    }

    /// Takes out the first rule that says the same.
    pub(super) fn delete_mark_rule(&mut self, rule: &MarkRule) -> Result<(), Refusal> {
        let mut rules = self.marks();
        let place = rules.iter().position(|known| known == rule);
        rules.remove(place.ok_or(Refusal::MarkRuleUnknown)?);
        self.set_marks(rules)
    }

    /// These rules in place of all others.
    pub(super) fn set_marks(&mut self, rules: Vec<MarkRule>) -> Result<(), Refusal> {
        if rules.len() > MARK_RULES_MAX {
            return Err(Refusal::MarkRule {
                reason: format!("at most {MARK_RULES_MAX} mark rules are possible"),
            });
        }
        if let Some(error) = rules.iter().find_map(|rule| rule.check().err()) {
            return Err(Refusal::MarkRule {
                reason: error.to_string(),
            });
        }
        let rules = MarkRules::new(rules);
        if *self.next.marks != rules {
            self.next.marks = Arc::new(rules);
            self.changed = true;
        }
        Ok(())
    }
}

fn no_rule(number: u32, rules: usize) -> Refusal {
    Refusal::MarkRule {
        reason: format!("there is no mark rule {number}: there are {rules}"),
    }
}
