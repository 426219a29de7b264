//! The outcomes of a whole suite, and how they are told.

use super::case::{Case, Line, Suite};
use super::ledger::{Difference, Ledger};
use super::masks::Mask;
use super::stated::Stated;
use super::way::StandIn;
use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

/// Cases are replayed by so many threads: each director is alone in its own.
const THREADS: usize = 2;

/// The outcomes of a suite's lines.
#[derive(Clone, Debug)]
pub struct Report {
    suite: &'static str,
    /// Lines that came out as recorded, but for what is stated.
    pub passed: usize,
    /// Those of them in which a stated difference was met.
    pub stated: usize,
    /// Lines with differences, by name.
    pub failed: Vec<(String, Vec<Difference>)>,
    /// Passed and all, by group.
    pub groups: BTreeMap<String, (usize, usize)>,
    /// How often which mask covered something.
    pub masked: BTreeMap<Mask, usize>,
    /// How often which stated difference excused something.
    pub excused: BTreeMap<Stated, usize>,
    /// How often which stand-in answered.
    pub stand_ins: BTreeMap<StandIn, usize>,
}

/// Replays cases: their ledgers, in the order of the cases.
#[must_use]
pub fn replay(suite: &Suite, cases: &[Case]) -> Vec<Vec<Ledger>> {
    let (next, all) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    let work = || {
        let mut own = Vec::new();
        loop {
            let at = next.fetch_add(1, Relaxed);
            let Some(case) = cases.get(at) else { break };
            own.push((at, suite.replay(case)));
        }
        if let Ok(mut all) = all.lock() {
            all.extend(own);
        }
    };
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(work);
        }
    });
    all.into_inner().unwrap_or_default().into_values().collect()
}

impl Report {
    /// Replays cases and gathers their outcomes.
    #[must_use]
    pub fn of(suite: &Suite, cases: &[Case]) -> Self {
        let mut report = Self {
            suite: suite.name,
            passed: 0,
            stated: 0,
            failed: Vec::new(),
            groups: BTreeMap::new(),
            masked: BTreeMap::new(),
            excused: BTreeMap::new(),
            stand_ins: BTreeMap::new(),
        };
        for (case, ledgers) in cases.iter().zip(replay(suite, cases)) {
            for (line, ledger) in case.lines.iter().zip(ledgers) {
                report.enter(line, ledger);
            }
        }
        report
    }

    fn enter(&mut self, line: &Line, ledger: Ledger) {
        let passed = ledger.differences.is_empty();
        if passed && !line.is_case {
            return;
        }
        if let Some(group) = &line.group {
            let (of_group, all) = self.groups.entry(group.clone()).or_default();
            *of_group += usize::from(passed);
            *all += 1;
        }
        add(&mut self.masked, ledger.masked);
        add(&mut self.stand_ins, ledger.stand_ins);
        if passed {
            self.passed += 1;
            self.stated += usize::from(!ledger.excused.is_empty());
        } else {
            self.failed.push((line.name.clone(), ledger.differences));
        }
        add(&mut self.excused, ledger.excused);
    }

    /// How many lines there are.
    #[must_use]
    pub fn total(&self) -> usize {
        self.passed + self.failed.len()
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

    /// What stood behind the figures: groups, rules, masks and stand-ins, each
    /// with how often it was met.
    #[must_use]
    pub fn details(&self) -> String {
        let groups = self.groups.iter().map(|(g, (p, n))| format!("{g} {p}/{n}"));
        let mut text = String::new();
        for (what, said) in [
            ("passed", groups.collect::<Vec<_>>().join(", ")),
            ("stated", counts(&self.excused)),
            ("masked", counts(&self.masked)),
            ("stood in", counts(&self.stand_ins)),
        ] {
            if !said.is_empty() {
                text += &format!("{} {what}: {said}\n", self.suite);
            }
        }
        text
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let masked: usize = self.masked.values().sum();
        let Self {
            suite,
            passed,
            stated,
            ..
        } = self;
        let all = self.total();
        write!(
            f,
            "{suite}: {passed} of {all} passed ({stated} by stated difference, {masked} fields masked)"
        )
    }
}

fn add<K: Ord>(all: &mut BTreeMap<K, usize>, more: BTreeMap<K, usize>) {
    for (what, n) in more {
        *all.entry(what).or_default() += n;
    }
}

fn counts<K: Display>(counts: &BTreeMap<K, usize>) -> String {
    let each: Vec<String> = counts
        .iter()
        .map(|(what, n)| format!("{what} {n}"))
        .collect();
    each.join(", ")
}
