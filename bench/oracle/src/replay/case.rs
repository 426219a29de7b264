//! Recordings as they are stored, and what replaying them leads to.

use super::ledger::Ledger;
use super::{packets, sched, states};
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
    /// What each packet comes out as.
    Packets,
}

impl Suite {
    /// Every suite that can be replayed.
    pub const ALL: [Self; 3] = [Self::Sched, Self::States, Self::Packets];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sched => "sched",
            Self::States => "states",
            Self::Packets => "packets",
        }
    }

    /// Its cases, in the order of the file.
    ///
    /// # Errors
    /// If the file can't be read or is none.
    pub fn cases(self, folder: &Path) -> Result<Vec<Case>> {
        let files: &[&str] = match self {
            Self::Sched => &["sched.jsonl"],
            Self::States => &["states.jsonl"],
            Self::Packets => &["packets/packets.jsonl", "packets/tunnels.jsonl"],
        };
        let mut lines = Vec::new();
        for (at, file) in files.iter().enumerate() {
            let file = folder.join(file);
            // What was recorded later need not be in every folder.
            if at > 0 && !file.exists() {
                continue;
            }
            let shown = file.display();
            let text = std::fs::read_to_string(&file).with_context(|| shown.to_string())?;
            for (number, line) in (1..).zip(text.lines()) {
                let value: Value =
                    serde_json::from_str(line).with_context(|| format!("{shown}:{number}"))?;
                lines.push(value);
            }
        }
        Ok(match self {
            Self::Sched => sched::cases(lines),
            Self::States => states::cases(lines),
            Self::Packets => packets::cases(lines),
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
            Suite::Packets => packets::replay(&self.lines),
        }
    }
}

/// What sysctls that are set in recordings are by default.
const SYSCTL_DEFAULTS: [(&str, i64); 7] = [
    ("conn_reuse_mode", 1),
    ("expire_nodest_conn", 0),
    ("nat_icmp_send", 0),
    ("pmtu_disc", 1),
    ("schedule_icmp", 0),
    ("secure_tcp", 0),
    ("sloppy_tcp", 0),
];

/// The rule that leaves a recording with other sysctls than the kernel's defaults out.
pub(super) fn sysctl_rule(line: &Value) -> Option<String> {
    let set = line.get("sysctl")?.as_object()?;
    let named = set.iter().map(|(path, value)| {
        let name = path.rsplit('/').next().unwrap_or(path);
        (name, value.as_i64())
    });
    let mut other = named.filter(|(name, value)| {
        !SYSCTL_DEFAULTS
            .iter()
            .any(|(n, v)| n == name && Some(*v) == *value)
    });
    let (name, _) = other.next()?;
    Some(format!("sysctl {name}"))
}
