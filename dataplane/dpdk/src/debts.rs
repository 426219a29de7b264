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

/// What one reservation owes; its note goes with it.
#[derive(Debug)]
pub(crate) struct Debt {
    note: PathBuf,
}

/// What dead processes owe.
#[derive(Debug, Default)]
pub(crate) struct Inherited {
    pub(crate) pages: u64,
    notes: Vec<PathBuf>,
}

impl Debt {
    /// The note of a new reservation, not written yet.
    pub(crate) fn new(directory: &Path) -> Self {
        let number = WRITTEN.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}.{number}", Process::own().name());
        Self {
            note: directory.join(name),
        }
    }

    /// Where the notes are.
    pub(crate) fn directory(&self) -> &Path {
        self.note.parent().unwrap_or(Path::new("/"))
    }

    /// About to add `pages` to `before`: whoever finds this sees from the count how far it came.
    pub(crate) fn announce(&self, pages: u64, before: u64) {
        self.write(&format!("{pages} after {before}"));
    }

    /// So many are owed.
    pub(crate) fn settle(&self, pages: u64) {
        if pages > 0 {
            self.write(&pages.to_string());
        } else {
            self.forget();
        }
    }

    fn write(&self, text: &str) {
        // Moved into place, so that no note is ever half written.
        let made = self.note.with_extension("new");
        let result = fs::create_dir_all(self.directory())
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

impl Inherited {
    /// What dead processes noted, where the kernel has `lasting` pages now.
    pub(crate) fn find(directory: &Path, lasting: u64) -> Self {
        let mut found = Self::default();
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let owner = name
                .to_str()
                .and_then(|name| Process::parse(name.split_once('.')?.0));
            if owner.is_some_and(|owner| !owner.is_alive()) {
                let text = fs::read_to_string(entry.path()).unwrap_or_default();
                found.pages += owed(&text, lasting);
                found.notes.push(entry.path());
            }
        }
        found
    }

    /// They are noted elsewhere now.
    pub(crate) fn forget(self) {
        self.notes.iter().for_each(|note| remove(note));
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
    use super::{Debt, Inherited, owed};
    use std::fs;

    #[test]
    fn only_the_debts_of_the_dead_are_found() {
        let directory = std::env::temp_dir().join(format!("pvs-debts-{}", std::process::id()));
        let debt = Debt::new(&directory);
        debt.announce(5, 10);
        debt.settle(7);
        assert_eq!(Inherited::find(&directory, 40).pages, 0);
        // Above the kernel's largest pid (2^22), so never alive.
        fs::write(directory.join("4194999-17.0"), "31").unwrap();
        fs::write(directory.join("4194999-17.1"), "31 after 20").unwrap();
        let found = Inherited::find(&directory, 40);
        assert_eq!(found.pages, 31 + 20);
        found.forget();
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
        debt.settle(0);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
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
