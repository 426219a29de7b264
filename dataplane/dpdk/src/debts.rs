//! Hugepages that pvs processes owe the kernel: a note for each reservation, on a file
//! system that a boot empties. A killed process leaves its note, and the next one that
//! reserves takes the debt over.
//!
//! Read and written under the lock of `hugepages.rs`. Notes are a courtesy: where they can't be
//! written, what a killed process added stays added.

use crate::process::Process;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Where the notes are.
pub(crate) const DIRECTORY: &str = "/run/pvs-hugepages";

/// Notes of this process so far, for their names.
static WRITTEN: AtomicU64 = AtomicU64::new(0);

/// Pages that this process owes; their note goes with them.
#[derive(Debug)]
pub(crate) struct Debt {
    note: PathBuf,
    pages: u64,
}

impl Debt {
    /// A new one, of no page, and not noted yet.
    pub(crate) fn new(directory: &Path) -> Self {
        let number = WRITTEN.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}.{number}", Process::own().name());
        Self {
            note: directory.join(name),
            pages: 0,
        }
    }

    /// What dead processes noted, where the kernel has `lasting` pages now: this one owes it from
    /// now on. Each note is renamed, so that nothing is owed twice whenever this ends.
    pub(crate) fn inherited(directory: &Path, lasting: u64) -> Vec<Self> {
        let mut found = Vec::new();
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let owner = name
                .to_str()
                .and_then(|name| Process::parse(name.split_once('.')?.0));
            if owner.is_none_or(Process::is_alive) {
                continue;
            }
            let text = fs::read_to_string(entry.path()).unwrap_or_default();
            let pages = owed(&text, lasting);
            let half_written = entry.path().extension().is_some_and(|e| e == "new");
            let mut debt = Self::new(directory);
            if pages == 0 || half_written || fs::rename(entry.path(), &debt.note).is_err() {
                remove(&entry.path());
                continue;
            }
            debt.settle(pages);
            found.push(debt);
        }
        found
    }

    /// How many are owed.
    pub(crate) fn pages(&self) -> u64 {
        self.pages
    }

    /// About to have `pages` more than `base`, or to go back to it: whoever finds this sees from the
    /// kernel's count how far it came.
    pub(crate) fn announce(&self, pages: u64, base: u64) {
        self.write(&format!("{pages} after {base}"));
    }

    /// So many are owed.
    pub(crate) fn settle(&mut self, pages: u64) {
        self.pages = pages;
        if pages > 0 {
            self.write(&pages.to_string());
        } else {
            self.forget();
        }
    }

    fn write(&self, text: &str) {
        // Moved into place, so that no note is ever half written.
        let made = self.note.with_extension("new");
        let directory = self.note.parent().unwrap_or(Path::new("/"));
        let result = fs::create_dir_all(directory)
            .and_then(|()| fs::write(&made, text))
            .and_then(|()| fs::rename(&made, &self.note));
        if let Err(error) = result {
            tracing::debug!("{}: {error}", self.note.display());
        }
    }

    /// Nothing is owed any more.
    pub(crate) fn forget(&self) {
        remove(&self.note);
    }
}

/// What a note means; nothing, if it means nothing.
fn owed(text: &str, lasting: u64) -> u64 {
    match text.split_once(" after ") {
        None => text.parse().unwrap_or(0),
        Some((pages, before)) => match (pages.parse::<u64>(), before.parse::<u64>()) {
            (Ok(pages), Ok(before)) => lasting.saturating_sub(before).min(pages),
            _ => 0,
        },
    }
}

fn remove(note: &Path) {
    match fs::remove_file(note) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => tracing::debug!("{}: {error}", note.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Debt, owed};
    use std::fs;

    #[test]
    fn the_debts_of_the_dead_are_taken_over_and_no_others() {
        let directory = std::env::temp_dir().join(format!("pvs-debts-{}", std::process::id()));
        let mut debt = Debt::new(&directory);
        debt.announce(5, 10);
        debt.settle(7);
        assert!(Debt::inherited(&directory, 40).is_empty());
        // Above the kernel's largest pid (2^22), so never alive.
        for (note, text) in [
            ("4194999-17.0", "31"),
            ("4194999-17.1", "31 after 20"),
            // Given back, but for the note.
            ("4194999-17.2", "8 after 40"),
            // Killed while it wrote.
            ("4194999-17.new", "31"),
        ] {
            fs::write(directory.join(note), text).unwrap();
        }
        let found = Debt::inherited(&directory, 40);
        let mut pages: Vec<_> = found.iter().map(Debt::pages).collect();
        pages.sort_unstable();
        assert_eq!(pages, [20, 31]);
        let notes = || fs::read_dir(&directory).unwrap().flatten();
        let own = std::process::id().to_string();
        assert!(notes().all(|n| n.file_name().to_str().unwrap().starts_with(&own)));
        assert_eq!(notes().count(), 3);
        assert!(Debt::inherited(&directory, 40).is_empty(), "not twice");
        found.iter().for_each(Debt::forget);
        debt.settle(0);
        assert_eq!(notes().count(), 0);
        fs::remove_dir(&directory).unwrap();
    }

    #[test]
    fn what_was_announced_is_owed_as_far_as_it_came() {
        assert_eq!(owed("8 after 10", 10), 0);
        assert_eq!(owed("8 after 10", 13), 3);
        assert_eq!(owed("8 after 10", 50), 8);
        assert_eq!(owed("8 after 10", 2), 0);
        assert_eq!(owed("12", 2), 12);
        assert_eq!(owed("", 2) + owed("x after 1", 2), 0);
    }
}
