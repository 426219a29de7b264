//! What was compared, what differed, and how that is told.

use super::case::{Case, Line, Outcome, Suite};
use super::way::StandIn;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fmt::{self, Debug, Display};

/// A recorded field that came out otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Where in the recorded line it is: a JSON pointer.
    pub field: String,
    /// What was recorded, and what is here.
    pub text: String,
}

impl Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.text)
    }
}

/// The comparisons of one recorded line.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// Every field that was compared, as a JSON pointer.
    pub fields: Vec<String>,
    /// Those that differ.
    pub differences: Vec<Difference>,
    /// How often which stand-in answered.
    pub stand_ins: BTreeMap<StandIn, usize>,
}

impl Ledger {
    /// Compares a field.
    pub fn compare<T: PartialEq + Debug + ?Sized>(
        &mut self,
        field: impl Into<String>,
        recorded: &T,
        here: &T,
    ) {
        let said = (recorded != here).then(|| format!("recorded {recorded:?}, here {here:?}"));
        self.note(field, said);
    }

    /// Enters a field that was compared elsewhere, with what is wrong about it.
    pub fn note(&mut self, field: impl Into<String>, wrong: Option<String>) {
        let field = field.into();
        if let Some(text) = wrong {
            self.differences.push(Difference {
                field: field.clone(),
                text,
            });
        }
        self.fields.push(field);
    }
}

/// The outcomes of a whole file.
#[derive(Clone, Debug)]
pub struct Report {
    suite: Suite,
    /// Lines that came out as recorded.
    pub passed: usize,
    /// Lines with differences, by name.
    pub failed: Vec<(String, Vec<Difference>)>,
    /// Lines that were left out, by rule.
    pub excluded: BTreeMap<String, usize>,
    /// How often which stand-in answered.
    pub stand_ins: BTreeMap<StandIn, usize>,
}

impl Report {
    /// Replays cases and gathers their outcomes.
    ///
    /// # Errors
    /// If a recording is not understood.
    pub fn of(suite: Suite, cases: &[Case]) -> Result<Self> {
        let mut report = Self {
            suite,
            passed: 0,
            failed: Vec::new(),
            excluded: BTreeMap::new(),
            stand_ins: BTreeMap::new(),
        };
        for case in cases {
            let outcomes = case.replay().with_context(|| case.name().to_owned())?;
            for (line, outcome) in case.lines.iter().zip(outcomes) {
                report.enter(line, outcome);
            }
        }
        Ok(report)
    }

    fn enter(&mut self, line: &Line, outcome: Outcome) {
        match outcome {
            Outcome::Excluded(rule) => *self.excluded.entry(rule).or_default() += 1,
            Outcome::Compared(ledger) => {
                for (stand_in, n) in ledger.stand_ins {
                    *self.stand_ins.entry(stand_in).or_default() += n;
                }
                if ledger.differences.is_empty() {
                    self.passed += 1;
                } else {
                    self.failed.push((line.name.clone(), ledger.differences));
                }
            }
        }
    }

    /// What differs, a field a line under its recording's name.
    #[must_use]
    pub fn differences(&self) -> String {
        let mut text = String::new();
        for (name, differences) in &self.failed {
            text += &format!("{name}\n");
            for difference in differences {
                text += &format!("  {difference}\n");
            }
        }
        text
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let excluded: usize = self.excluded.values().sum();
        let all = self.passed + self.failed.len() + excluded;
        let (suite, passed) = (self.suite.name(), self.passed);
        let rules = counts(&self.excluded);
        write!(
            f,
            "{suite}: {passed} of {all} passed ({excluded} excluded by rule: {rules}"
        )?;
        if !self.stand_ins.is_empty() {
            write!(f, "; stood in: {}", counts(&self.stand_ins))?;
        }
        f.write_str(")")
    }
}

fn counts<K: Display>(counts: &BTreeMap<K, usize>) -> String {
    let each: Vec<String> = counts
        .iter()
        .map(|(what, n)| format!("{what} {n}"))
        .collect();
    each.join(", ")
}
