//! Recordings as they are stored, and what replaying them leads to.

use super::ledger::Ledger;
use super::{sched, states};
use anyhow::{Context, Result};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The recordings that are checked in.
const CHECKED_IN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data");

/// Where the recordings are: the folder that `PVS_ORACLE` names, else the checked-in one.
#[must_use]
pub fn folder() -> PathBuf {
    std::env::var_os("PVS_ORACLE").map_or_else(|| CHECKED_IN.into(), PathBuf::from)
}

/// A file of recordings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    /// Which server gets which connection.
    Sched,
    /// What each packet does to a connection's state and timer.
    States,
}

impl Suite {
    /// Every suite that can be replayed.
    pub const ALL: [Self; 2] = [Self::Sched, Self::States];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sched => "sched",
            Self::States => "states",
        }
    }

    /// Its cases, in the order of the file.
    ///
    /// # Errors
    /// If the file can't be read or is none.
    pub fn cases(self, folder: &Path) -> Result<Vec<Case>> {
        let file = folder.join(self.name()).with_extension("jsonl");
        let shown = file.display();
        let text = std::fs::read_to_string(&file).with_context(|| shown.to_string())?;
        let mut lines = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let value: Value =
                serde_json::from_str(line).with_context(|| format!("{shown}:{number}"))?;
            lines.push(value);
        }
        Ok(match self {
            Self::Sched => sched::cases(lines),
            Self::States => states::cases(lines),
        })
    }
}

/// A recorded line.
#[derive(Clone, Debug)]
pub struct Line {
    /// What it is called.
    pub name: String,
    /// As it was recorded.
    pub value: Value,
}

/// What one director saw.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its file.
    pub suite: Suite,
    /// Its lines, in their order.
    pub lines: Vec<Line>,
}

/// What became of a line.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It was replayed and compared.
    Compared(Ledger),
    /// A rule, named here, leaves it out.
    Excluded(String),
}

impl Case {
    /// A case of one line.
    pub(super) fn single(suite: Suite, name: String, value: Value) -> Self {
        let lines = vec![Line { name, value }];
        Self { suite, lines }
    }

    /// What its first line is called.
    #[must_use]
    pub fn name(&self) -> &str {
        self.lines.first().map_or("", |line| &line.name)
    }

    /// Replays it; an outcome for each line.
    ///
    /// # Errors
    /// If a line is not understood, or the director's memory is exhausted.
    pub fn replay(&self) -> Result<Vec<Outcome>> {
        match self.suite {
            Suite::Sched => sched::replay(&self.lines),
            Suite::States => states::replay(&self.lines),
        }
    }
}

/// The rule that leaves a recording with other sysctls than the kernel's defaults out.
pub(super) fn sysctl_rule(line: &Value) -> Option<String> {
    let set = line.get("sysctl")?.as_object()?;
    let path = set.keys().next()?;
    let name = path.rsplit('/').next().unwrap_or(path);
    Some(format!("sysctl {name}"))
}
