//! The calling thread's CPU affinity, saved over rte_eal_init.
//!
//! DPDK pins the thread that starts it, and threads started later inherit the pin; without this,
//! all of pvsd would share one CPU. Pinning workers is not done here: that is their starter's.

#![allow(unsafe_code)]

use std::io;
use std::mem;

/// An affinity mask.
pub(crate) struct Affinity(libc::cpu_set_t);

impl Affinity {
    /// The calling thread's mask.
    pub(crate) fn current() -> io::Result<Self> {
        // SAFETY: a cpu_set_t is an array of integers, for which all-zero is a value.
        let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
        // SAFETY: thread 0 is the caller; `set` is writable for the size that is passed.
        let rc = unsafe { libc::sched_getaffinity(0, mem::size_of_val(&set), &raw mut set) };
        if rc == 0 {
            Ok(Self(set))
        } else {
            Err(io::Error::last_os_error())
        }
    }

    /// The mask of these CPUs; one past the end of the set is left out.
    pub(crate) fn of(cpus: &[usize]) -> Self {
        // SAFETY: a cpu_set_t is an array of integers, for which all-zero is a value.
        let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
        let highest = mem::size_of_val(&set) * 8;
        for cpu in cpus.iter().filter(|cpu| **cpu < highest) {
            // SAFETY: `cpu` is below the number of bits in the set.
            unsafe { libc::CPU_SET(*cpu, &mut set) };
        }
        Self(set)
    }

    /// The CPUs in the mask.
    pub(crate) fn cpus(&self) -> Vec<usize> {
        let highest = mem::size_of_val(&self.0) * 8;
        (0..highest)
            .filter(|&cpu| {
                // SAFETY: `cpu` is below the number of bits in the set.
                unsafe { libc::CPU_ISSET(cpu, &self.0) }
            })
            .collect()
    }

    /// Gives the calling thread this mask.
    pub(crate) fn apply(&self) -> io::Result<()> {
        // SAFETY: thread 0 is the caller; the set is readable for the size that is passed.
        let rc =
            unsafe { libc::sched_setaffinity(0, mem::size_of_val(&self.0), &raw const self.0) };
        if rc == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Affinity;

    #[test]
    fn a_saved_mask_comes_back() {
        let saved = Affinity::current().unwrap();
        assert!(!saved.cpus().is_empty());
        saved.apply().unwrap();
        assert_eq!(Affinity::current().unwrap().cpus(), saved.cpus());
    }

    #[test]
    fn a_mask_holds_the_cpus_it_was_made_of() {
        assert_eq!(Affinity::of(&[3, 0, 1 << 20]).cpus(), [0, 3]);
    }
}
