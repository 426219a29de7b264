//! `mark`: the mark rules, numbered, as the lines that make them, or as JSON.

use super::Detail;
use pvs_sched::marks::MarkRule;
use serde::Serialize;

/// The rules with their numbers.
#[must_use]
pub fn marks(rules: &[MarkRule], detail: Detail) -> String {
    if detail.json {
        #[derive(Serialize)]
        struct Marks<'a> {
            marks: &'a [MarkRule],
        }
        return super::json(&Marks { marks: rules });
    }
    if rules.is_empty() {
        return "There are no mark rules.\n".to_owned();
    }
    let line = |(number, rule): (usize, &MarkRule)| format!("{number:>4}  {rule}\n");
    (1..).zip(rules).map(line).collect()
}

/// The rules as `pvsadm mark restore` reads them.
#[must_use]
pub fn mark_lines(rules: &[MarkRule]) -> String {
    rules.iter().map(|rule| format!("add {rule}\n")).collect()
}
