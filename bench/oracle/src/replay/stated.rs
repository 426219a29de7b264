//! The stated differences as rules. Each stands for a sentence of docs/IPVS-DIFFERENCES.md, and
//! excuses only the fields that it names, where what was recorded is the kernel's way and what
//! is here is the stated one.

use std::fmt;

/// A stated difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stated {
    /// While no service is left, packets of connections are treated as with another service left;
    /// it excuses where such a packet goes, and state and timer of its connection from there on.
    LastService,
    /// Linux's list of cached routes, which has no path MTU that a worker was told of.
    RouteCache,
    /// A queue of synchronisation that the kernel sizes by the machine's memory.
    SyncQueue,
}

impl Stated {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::LastService, Self::SyncQueue, Self::RouteCache];

    /// What it is called in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LastService => "last service removed",
            Self::RouteCache => "route cache",
            Self::SyncQueue => "sync_qlen_max",
        }
    }

    /// The sentence that it stands for.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::LastService => {
                "pvs goes on to translate replies, and drops packets to the removed server as the kernel \
                 does while another service is left."
            }
            Self::RouteCache => "Linux is not told of it: `ip route show cache` does not list it.",
            Self::SyncQueue => {
                "`sync_qlen_max` is 0 until it is set, where the kernel derives it from its memory."
            }
        }
    }
}

impl fmt::Display for Stated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::masks::one_line;

    #[test]
    fn each_rule_stands_for_a_sentence_of_the_page() {
        let page = one_line(include_str!("../../../../docs/IPVS-DIFFERENCES.md"));
        for stated in Stated::ALL {
            assert!(page.contains(stated.sentence()), "{stated}");
        }
    }
}
