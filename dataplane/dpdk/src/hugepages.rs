//! Hugepages: are there enough free ones, and if not, may 2 MiB pages be added.
//!
//! DPDK cannot be started a second time in a process, so whether it will get its memory has to be
//! known before. The check and the start are held together by a lock, so that two pvs processes do
//! not count the same pages. It is a file below /run: the kernel's own control file is another one
//! in each network namespace that `ip netns exec` has entered. What was added is taken away at
//! exit; what a killed process had added, at the exit of the next one (`debts.rs`). Not a mount
//! helper: DPDK runs with `--in-memory`, which needs no hugetlbfs.

#![allow(unsafe_code)]

use crate::debts::{self, Debt};
use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};
use thiserror::Error;

const SYSFS: &str = "/sys/kernel/mm/hugepages";
const SMALL: &str = "hugepages-2048kB";
const SMALL_MIB: u64 = 2;

/// How long another process may count pages: DPDK clears its memory meanwhile, which takes a second
/// for some GiB.
const COUNTING_TIME_MAX: Duration = Duration::from_secs(60);

/// How long the end of a process waits for that.
const GIVE_BACK_TIME_MAX: Duration = Duration::from_secs(5);

/// How often it is tried.
const LOOK_PERIOD: Duration = Duration::from_millis(20);

/// Why there are not enough hugepages.
#[derive(Debug, Error)]
pub enum Shortage {
    /// The kernel has no 2 MiB pages, or hides them.
    #[error("no hugepages in this kernel ({0})")]
    Absent(io::Error),
    /// Another process does not let go of the lock.
    #[error("hugepages are being counted by another process ({0})")]
    Busy(io::Error),
    /// Too few, and the number may not be raised.
    #[error(
        "{free} MiB of {wanted} MiB of hugepages are free, and adding to them failed ({error})"
    )]
    NotAllowed {
        /// MiB that were asked for.
        wanted: u64,
        /// MiB that are free.
        free: u64,
        /// Why there are no more.
        error: io::Error,
    },
    /// Too few, and the kernel has no more memory in whole pages.
    #[error("{free} MiB of {wanted} MiB of hugepages are free, and the kernel finds no more")]
    TooFew {
        /// MiB that were asked for.
        wanted: u64,
        /// MiB that are free.
        free: u64,
    },
}

/// Pages that are free for their user, who has not taken them yet. Meanwhile no other process of
/// pvs counts pages. Dropped as it is, it gives them back.
#[derive(Debug)]
pub struct Reserved {
    /// Goes first: giving pages back takes the lock anew.
    _counting: Lock,
    pages: Reservation,
}

impl Reserved {
    /// Their user has them: others may count.
    #[must_use]
    pub fn taken(self) -> Reservation {
        self.pages
    }
}

/// Pages that this process added, or that dead ones had added before; taken away on drop.
#[derive(Debug)]
pub struct Reservation {
    directory: PathBuf,
    notes: PathBuf,
    debts: Vec<Debt>,
}

/// Sees to it that `mib` MiB of hugepages are free, adding 2 MiB pages where that is allowed.
///
/// # Errors
/// [`Shortage`]; no page was added, and what dead processes had added is given back.
pub fn reserve(mib: u32) -> Result<Reserved, Shortage> {
    let notes = Path::new(debts::DIRECTORY);
    reserve_in(Path::new(SYSFS), notes, u64::from(mib))
}

fn reserve_in(sysfs: &Path, notes: &Path, wanted: u64) -> Result<Reserved, Shortage> {
    let directory = sysfs.join(SMALL);
    let counting = Lock::take(notes, &directory, COUNTING_TIME_MAX)?;
    let mut pages = Reservation {
        directory,
        notes: notes.to_owned(),
        debts: Vec::new(),
    };
    match pages.add(sysfs, wanted) {
        Ok(()) => Ok(Reserved {
            _counting: counting,
            pages,
        }),
        Err(shortage) => {
            pages.give_back();
            Err(shortage)
        }
    }
}

/// The kernel's count of 2 MiB pages.
struct Pages {
    all: u64,
    surplus: u64,
}

impl Pages {
    /// What a write to nr_hugepages sets; a read of it tells `all`.
    fn lasting(&self) -> u64 {
        self.all.saturating_sub(self.surplus)
    }
}

impl Reservation {
    /// A process that exits gives surplus pages back at any time: reads until that stands still.
    fn pages(&self) -> io::Result<Pages> {
        let mut surplus = self.surplus()?;
        loop {
            let all = read_number(&self.directory.join("nr_hugepages"))?;
            let again = self.surplus()?;
            if again == surplus {
                return Ok(Pages { all, surplus });
            }
            surplus = again;
        }
    }

    /// Adds what is missing; what dead processes had added is this one's from now on.
    fn add(&mut self, sysfs: &Path, wanted: u64) -> Result<(), Shortage> {
        let before = self.pages().map_err(Shortage::Absent)?;
        self.debts = Debt::inherited(&self.notes, before.lasting());
        let free = free_mib(sysfs);
        let Some(missing) = wanted.checked_sub(free).filter(|missing| *missing > 0) else {
            return Ok(());
        };
        let missing = missing.div_ceil(SMALL_MIB);
        let mut debt = Debt::new(&self.notes);
        debt.announce(missing, before.lasting());
        // Surplus pages (in use, and to go when their user does) are the first to be counted in.
        if let Err(error) = self.configure(before.all + missing) {
            debt.forget();
            return Err(Shortage::NotAllowed {
                wanted,
                free,
                error,
            });
        }
        let after = self.pages().map_err(Shortage::Absent)?;
        debt.settle(after.lasting().saturating_sub(before.lasting()));
        self.debts.push(debt);
        if after.all < before.all + missing && free_mib(sysfs) < wanted {
            return Err(Shortage::TooFew { wanted, free });
        }
        Ok(())
    }

    fn surplus(&self) -> io::Result<u64> {
        read_number(&self.directory.join("surplus_hugepages"))
    }

    fn configure(&self, pages: u64) -> io::Result<()> {
        fs::write(self.directory.join("nr_hugepages"), pages.to_string())
    }

    /// Pages in use meanwhile become surplus, and go when their user does. A process that is killed
    /// within this leaves notes from which the next one sees how far it came.
    fn give_back(&mut self) {
        for debt in std::mem::take(&mut self.debts) {
            let pages = debt.pages();
            let result = self.pages().and_then(|now| {
                let less = now.lasting().saturating_sub(pages);
                debt.announce(now.lasting() - less, less);
                self.configure(less)
            });
            if let Err(error) = result {
                tracing::debug!("{pages} hugepages stay reserved: {error}");
            }
            debt.forget();
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.debts.is_empty() {
            // Who does not get it in time gives back all the same.
            let _counting = Lock::take(&self.notes, &self.directory, GIVE_BACK_TIME_MAX);
            self.give_back();
        }
    }
}

/// Other processes of pvs do not count pages while this is held.
#[derive(Debug)]
struct Lock {
    _file: File,
}

impl Lock {
    /// Where the notes are; or, if nothing can be written there, on the kernel's file.
    fn take(notes: &Path, directory: &Path, patience: Duration) -> Result<Self, Shortage> {
        let kernels = File::open(directory.join("nr_hugepages")).map_err(Shortage::Absent)?;
        let file = own_file(notes).unwrap_or(kernels);
        let until = Instant::now() + patience;
        loop {
            // SAFETY: the descriptor belongs to `file`, which is open.
            let rc = unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) };
            if rc == 0 {
                return Ok(Self { _file: file });
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::WouldBlock || Instant::now() >= until {
                return Err(Shortage::Busy(error));
            }
            sleep(LOOK_PERIOD);
        }
    }
}

/// Only root may open it: who can open a file can lock it.
fn own_file(notes: &Path) -> io::Result<File> {
    let mut folder = DirBuilder::new();
    folder.recursive(true).mode(0o700).create(notes)?;
    let mut options = File::options();
    options.create(true).append(true).mode(0o600);
    let file = options.open(notes.join("lock"))?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    Ok(file)
}

/// Free and unreserved pages of all sizes.
fn free_mib(sysfs: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(sysfs) else {
        return 0;
    };
    entries
        .flatten()
        .filter_map(|entry| free_of_size(&entry.path()))
        .sum()
}

fn free_of_size(directory: &Path) -> Option<u64> {
    let name = directory.file_name()?.to_str()?;
    let kib: u64 = name
        .strip_prefix("hugepages-")?
        .strip_suffix("kB")?
        .parse()
        .ok()?;
    let free = read_number(&directory.join("free_hugepages")).ok()?;
    let promised = read_number(&directory.join("resv_hugepages")).unwrap_or(0);
    Some(free.saturating_sub(promised) * kib / 1024)
}

fn read_number(path: &Path) -> io::Result<u64> {
    fs::read_to_string(path)?
        .trim()
        .parse()
        .map_err(io::Error::other)
}

#[cfg(test)]
mod tests;
