//! Which process is meant, and whether it lives: a pid alone may be another's by now.

use std::fs;

/// A process that lives, or lived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pid: u32,
    /// When it was started, in the kernel's ticks.
    started: u64,
}

impl Process {
    /// This one.
    pub(crate) fn own() -> Self {
        let pid = std::process::id();
        Self {
            pid,
            started: started(pid).unwrap_or(0),
        }
    }

    pub(crate) fn is_alive(self) -> bool {
        started(self.pid) == Some(self.started)
    }

    /// As a part of a file's name.
    pub(crate) fn name(self) -> String {
        format!("{}-{}", self.pid, self.started)
    }

    /// The reverse of `name`.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let (pid, started) = name.split_once('-')?;
        Some(Self {
            pid: pid.parse().ok()?,
            started: started.parse().ok()?,
        })
    }
}

/// The 22nd field of /proc/PID/stat, the 20th behind the name's bracket; none of one that is dead,
/// and that its parent has not asked about yet.
pub(crate) fn started(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let dead = matches!(fields.next()?, "Z" | "X");
    let at = fields.nth(18)?.parse().ok()?;
    (!dead).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::Process;

    #[test]
    fn a_process_is_told_from_a_later_one_with_its_number() {
        let own = Process::own();
        assert!(own.is_alive());
        assert_eq!(Process::parse(&own.name()), Some(own));
        let earlier = Process {
            started: own.started - 1,
            ..own
        };
        assert!(!earlier.is_alive());
        assert_eq!(Process::parse("17"), None);
    }
}
