//! Recordings as they are stored: suites, the lines of their files, and the
//! cases that lines make up.

use super::ledger::Ledger;
use super::{cli, hash, packets, sched, states};
use anyhow::{Context, Result};
use serde_json::Value;
use std::fmt;
use std::path::{Path, PathBuf};

/// The recordings that are checked in.
const CHECKED_IN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data");

/// Where the recordings are: the folder that `PVS_ORACLE` names, else the checked-in one.
#[must_use]
pub fn folder() -> PathBuf {
    std::env::var_os("PVS_ORACLE").map_or_else(|| CHECKED_IN.into(), PathBuf::from)
}

/// A kind of recordings.
pub struct Suite {
    /// Its name.
    pub name: &'static str,
    /// Its files; only the first one must be in a folder.
    pub files: &'static [&'static str],
    /// The cases that its lines make up.
    cases: fn(Vec<Value>) -> Vec<Case>,
    /// Replays the lines of a case: a ledger for each.
    replay: fn(&[Line]) -> Result<Vec<Ledger>>,
}

/// Every suite that can be replayed.
pub static SUITES: &[Suite] = &[
    Suite {
        name: "cli",
        files: &["cli.jsonl"],
        cases: cli::cases,
        replay: cli::replay,
    },
    Suite {
        name: "sched",
        files: &["sched.jsonl"],
        cases: sched::cases,
        replay: sched::replay,
    },
    Suite {
        name: "hash",
        files: &["hash.jsonl"],
        cases: hash::cases,
        replay: hash::replay,
    },
    Suite {
        name: "states",
        files: &["states.jsonl"],
        cases: states::cases,
        replay: states::replay,
    },
    Suite {
        name: "packets",
        files: &[
            "packets/packets.jsonl",
            "packets/tunnels.jsonl",
            "packets/fragments.jsonl",
        ],
        cases: packets::cases,
        replay: packets::replay,
    },
];

impl Suite {
    /// The suite of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        SUITES.iter().find(|suite| suite.name == name)
    }

    /// Its cases, in the order of the files; none if the first file is not in the folder.
    ///
    /// # Errors
    /// If a file can't be read or is none.
    pub fn cases(&'static self, folder: &Path) -> Result<Vec<Case>> {
        let mut lines = Vec::new();
        for file in self.files {
            let file = folder.join(file);
            let shown = file.display();
            let text = match std::fs::read_to_string(&file) {
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
                text => text.with_context(|| shown.to_string())?,
            };
            for (number, line) in (1..).zip(text.lines()) {
                let value: Value =
                    serde_json::from_str(line).with_context(|| format!("{shown}:{number}"))?;
                lines.push(value);
            }
        }
        Ok((self.cases)(lines))
    }

    /// Replays a case: a ledger for each of its lines. A recording that is not
    /// understood differs in its whole.
    #[must_use]
    pub fn replay(&self, case: &Case) -> Vec<Ledger> {
        (self.replay)(&case.lines).unwrap_or_else(|e| {
            let failed = |_| Ledger::failed(format!("{e:#}"));
            case.lines.iter().map(failed).collect()
        })
    }
}

impl fmt::Debug for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// A recorded line.
#[derive(Clone, Debug)]
pub struct Line {
    /// What it is called.
    pub name: String,
    /// What passes and fails are also counted by, if by anything.
    pub group: Option<String>,
    /// It is a case; else a line that holds for all others, and is told of only if it differs.
    pub is_case: bool,
    /// As it was recorded.
    pub value: Value,
}

impl Line {
    /// A line in no group.
    pub(super) const fn new(name: String, value: Value) -> Self {
        Self {
            name,
            group: None,
            is_case: true,
            value,
        }
    }
}

/// What one director saw: lines in their order.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its lines.
    pub lines: Vec<Line>,
}

impl From<Line> for Case {
    fn from(line: Line) -> Self {
        Self { lines: vec![line] }
    }
}
