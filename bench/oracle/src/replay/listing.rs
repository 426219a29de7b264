//! Listings of connections: compared as sets, and the time left as a recorder saw it between two
//! moments.

use super::lab::Lab;
use super::ledger::Ledger;
use super::stated::Stated;
use super::unhooked::Hooks;
use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use std::fmt;

/// The two lines above the entries.
const HEADING_LINES: usize = 2;

/// An entry.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Entry {
    pub(crate) pro: String,
    pub(crate) expire: String,
    pub(crate) state: String,
    pub(crate) src: String,
    pub(crate) virt: String,
    pub(crate) dest: String,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            pro,
            expire,
            state,
            src,
            virt,
            dest,
        } = self;
        write!(f, "{pro} {expire} {state} {src} {virt} {dest}")
    }
}

impl Entry {
    /// Out of a line; nothing is wrong with a line that is none, it just equals no entry.
    pub(crate) fn parse(line: &str) -> Self {
        let mut words = line.split_ascii_whitespace().map(str::to_owned);
        let mut word = || words.next().unwrap_or_default();
        Self {
            pro: word(),
            expire: word(),
            state: word(),
            src: word(),
            virt: word(),
            dest: word(),
        }
    }

    fn names(&self, other: &Self) -> bool {
        (&self.pro, &self.src, &self.virt) == (&other.pro, &other.src, &other.virt)
    }

    /// Seconds left.
    pub(crate) fn left_secs(&self) -> Option<u64> {
        let (minutes, seconds) = self.expire.split_once(':')?;
        let minutes: u64 = minutes.parse().ok()?;
        minutes.checked_mul(60)?.checked_add(seconds.parse().ok()?)
    }
}

/// The connections at two moments, between which the recorder looked.
pub(crate) struct Window {
    pub(crate) heading: String,
    from_ms: u64,
    to_ms: u64,
    early: Vec<Entry>,
    late: Vec<Entry>,
}

impl Window {
    /// Lists the connections at both moments; the laboratory's time is the later one's then.
    pub(crate) fn look(lab: &mut Lab, from_ms: u64, to_ms: u64) -> Result<Self> {
        // A listing took the recorder a millisecond at least, and times are rounded.
        let to_ms = to_ms.max(from_ms + 1);
        lab.until(from_ms);
        let (heading, early) = list(lab)?;
        lab.until(to_ms);
        let (_, late) = list(lab)?;
        Ok(Self {
            heading,
            from_ms,
            to_ms,
            early,
            late,
        })
    }

    /// The entry of a client.
    pub(crate) fn of_client(&self, client: &str) -> Option<&Entry> {
        self.early.iter().find(|entry| entry.src == client)
    }

    /// What is wrong about an entry of this connection; `None` if the recorder may have seen it so.
    pub(crate) fn wrong(&self, recorded: &Entry) -> Option<String> {
        let Some(early) = self.early.iter().find(|here| here.names(recorded)) else {
            return Some(format!("recorded {recorded}, not here"));
        };
        let late = self.late.iter().find(|here| here.names(recorded));
        // An entry that is gone by then had no time left.
        let least = late.map_or(Some(0), Entry::left_secs);
        let in_time = recorded.left_secs().is_some_and(|left| {
            least.is_some_and(|least| least <= left)
                && early.left_secs().is_some_and(|most| left <= most)
        });
        let same = (&early.state, &early.dest) == (&recorded.state, &recorded.dest);
        (!same || !in_time).then(|| format!("recorded {recorded}, here {early}"))
    }

    /// Entries that were there all the time, and that the recorder did not see.
    fn unrecorded(&self, recorded: &[Entry]) -> Option<String> {
        let there = |entry: &Entry| self.late.iter().any(|late| late.names(entry));
        let extra: Vec<String> = self
            .early
            .iter()
            .filter(|here| there(here) && !recorded.iter().any(|r| r.names(here)))
            .map(Entry::to_string)
            .collect();
        (!extra.is_empty()).then(|| format!("here, not recorded: {}", extra.join("; ")))
    }

    /// Compares entries as a set: a field for each, and one for what is too many.
    pub(crate) fn compare(&self, ledger: &mut Ledger, field: &str, recorded: &[Entry]) {
        self.compare_hooked(ledger, field, recorded, &Hooks::default());
    }

    /// The same where the hooks may be gone, or may have been: state and time of an entry are
    /// excused, if it was recorded as it was when they went.
    pub(crate) fn compare_hooked(
        &self,
        ledger: &mut Ledger,
        field: &str,
        recorded: &[Entry],
        hooks: &Hooks,
    ) {
        for (at, entry) in recorded.iter().enumerate() {
            let mut wrong = self.wrong(entry);
            let is_here = |here: &Entry| here.names(entry) && here.dest == entry.dest;
            if wrong.is_some()
                && hooks.kept(entry, self.from_ms, self.to_ms)
                && self.early.iter().any(is_here)
            {
                ledger.excuse(Stated::LastService);
                wrong = None;
            }
            ledger.note(format!("{field}/{at}"), wrong);
        }
        ledger.note(field, self.unrecorded(recorded));
    }

    /// What is wrong about a whole listing.
    pub(crate) fn wrong_text(&self, recorded: &str) -> Option<String> {
        let (heading, entries) = split(recorded);
        let mut said: Vec<String> = entries.iter().filter_map(|e| self.wrong(e)).collect();
        said.extend(self.unrecorded(&entries));
        if heading != self.heading {
            said.push(format!("recorded {heading:?}, here {:?}", self.heading));
        }
        (!said.is_empty()).then(|| said.join("\n  "))
    }
}

fn list(lab: &mut Lab) -> Result<(String, Vec<Entry>)> {
    let said = lab.run(&["-Lnc"])?;
    ensure!(said.rc == 0 && said.stderr.is_empty(), "-Lnc: {said:?}");
    Ok(split(&said.stdout))
}

fn split(text: &str) -> (String, Vec<Entry>) {
    let heading = text.split_inclusive('\n').take(HEADING_LINES).collect();
    let entries = text.lines().skip(HEADING_LINES).map(Entry::parse).collect();
    (heading, entries)
}

/// Milliseconds of a recorded moment.
pub(crate) fn ms(seconds: f64) -> u64 {
    (seconds * 1000.0).round() as u64
}

/// Active and inactive connections of a server in a listing of services; `None` if it is not there.
pub(crate) fn load(lab: &mut Lab, server: &str) -> Result<Option<(u64, u64)>> {
    let said = lab.run(&["-Ln"])?;
    ensure!(said.rc == 0 && said.stderr.is_empty(), "-Ln: {said:?}");
    let lines = said.stdout.lines().map(str::split_ascii_whitespace);
    let of_server = |words: &mut std::str::SplitAsciiWhitespace<'_>| {
        words.next() == Some("->")
            && words
                .next()
                .is_some_and(|at| at.rsplit_once(':').is_some_and(|(a, _)| a == server))
    };
    for mut words in lines {
        if of_server(&mut words) {
            let mut number = || {
                words
                    .next_back()
                    .context("a count")?
                    .parse()
                    .context("a count")
            };
            let (inactive, active) = (number()?, number()?);
            return Ok(Some((active, inactive)));
        }
    }
    Ok(None)
}
