//! DPDK's runtime directories, which it makes at every start and leaves behind at every exit.
//!
//! They are called after the file prefix, here `pvs-<pid>`. Nothing in them is needed: pvs runs no
//! secondary process. Own ones are removed at exit, those of dead processes at start.

use crate::process;
use std::fs;
use std::path::Path;

const PREFIX: &str = "pvs-";

/// The file prefix of this process.
pub(crate) fn own_prefix() -> String {
    format!("{PREFIX}{}", std::process::id())
}

/// Removes one directory and what is in it; a failure only leaves litter, and is not reported.
pub(crate) fn remove(directory: &Path) {
    if let Err(error) = fs::remove_dir_all(directory) {
        tracing::debug!("{}: {error}", directory.display());
    }
}

/// Removes the directories in `parent` whose processes are gone.
pub(crate) fn remove_stale(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let pid = name
            .to_str()
            .and_then(|name| name.strip_prefix(PREFIX)?.parse::<u32>().ok());
        if pid.is_some_and(|pid| process::started(pid).is_none()) {
            remove(&entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{PREFIX, own_prefix, remove, remove_stale};
    use std::fs;

    #[test]
    fn only_directories_of_dead_processes_go() {
        let parent = std::env::temp_dir().join(format!("{}rundir", own_prefix()));
        // Above the kernel's largest pid (2^22), so never alive.
        let dead = parent.join(format!("{PREFIX}4194999"));
        let alive = parent.join(own_prefix());
        let foreign = parent.join("rte");
        let other = parent.join(format!("{PREFIX}x"));
        for directory in [&dead, &alive, &foreign, &other] {
            fs::create_dir_all(directory).unwrap();
            fs::write(directory.join("config"), b"").unwrap();
        }
        remove_stale(&parent);
        assert!(!dead.exists());
        assert!(alive.exists() && foreign.exists() && other.exists());
        remove(&parent);
        assert!(!parent.exists());
    }
}
