//! Network namespaces: doing something inside one without moving the caller.
//!
//! `setns` moves one thread. Each piece of work gets a thread of its own that moves, works and
//! ends; what it returns (file descriptors, sockets) belongs to that namespace for ever and may be
//! used from anywhere. A thread that pvs keeps never changes its namespace.

use crate::Error;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

/// Where `ip netns` keeps the names.
const NAMED: &str = "/run/netns";

/// What an operator writes for the namespace that pvsd was started in.
pub const CURRENT: &str = "current";

/// An open network namespace: it lives on while this value does, even without its name.
#[derive(Clone, Debug)]
pub struct Namespace {
    file: Arc<File>,
    /// `None` for the current one, which has no name to lose.
    path: Option<PathBuf>,
    name: String,
    id: (u64, u64),
}

impl Namespace {
    /// Opens a namespace by name as `ip netns` knows it, by path, or as [`CURRENT`].
    ///
    /// # Errors
    /// There is none by that name, or the file is no network namespace.
    pub fn open(name: &str) -> Result<Self, Error> {
        if name == CURRENT {
            return Self::current();
        }
        let path = if name.contains('/') {
            PathBuf::from(name)
        } else {
            Path::new(NAMED).join(name)
        };
        let file = File::open(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => Error::NoNamespace {
                name: name.to_owned(),
            },
            _ => Error::BadNamespace {
                path: path.clone(),
                source,
            },
        })?;
        let opened = Self::from_file(file, Some(&path), name)?;
        // Entering it once tells a namespace from any other file.
        match opened.run(|| ()) {
            Err(Error::EnterNamespace { source, .. })
                if source.kind() == io::ErrorKind::InvalidInput =>
            {
                Err(Error::BadNamespace { path, source })
            }
            Err(other) => Err(other),
            Ok(()) => Ok(opened),
        }
    }

    /// The namespace of the calling thread.
    ///
    /// # Errors
    /// /proc is not mounted.
    pub fn current() -> Result<Self, Error> {
        let path = Path::new("/proc/thread-self/ns/net");
        let file = File::open(path).map_err(|source| Error::BadNamespace {
            path: path.to_owned(),
            source,
        })?;
        Self::from_file(file, None, CURRENT)
    }

    fn from_file(file: File, path: Option<&Path>, name: &str) -> Result<Self, Error> {
        let about = file.metadata().map_err(|source| Error::BadNamespace {
            path: path.unwrap_or(Path::new(name)).to_owned(),
            source,
        })?;
        let id = (about.dev(), about.ino());
        Ok(Self {
            file: Arc::new(file),
            path: path.map(Path::to_owned),
            name: name.to_owned(),
            id,
        })
    }

    /// As the operator wrote it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// True if both are the same namespace, whatever they are called.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.id == other.id
    }

    /// Does `work` inside the namespace, on a thread that ends with it.
    ///
    /// # Errors
    /// The kernel refuses the entry, or has no thread left.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, Error> {
        let refused = |source| Error::EnterNamespace {
            name: self.name.clone(),
            source,
        };
        let entered = || -> io::Result<T> {
            move_into_link_name_space(self.file.as_fd(), Some(LinkNameSpaceType::Network))?;
            Ok(work())
        };
        thread::scope(|scope| {
            let worker = thread::Builder::new()
                .name("pvs-netns".into())
                .spawn_scoped(scope, entered);
            match worker.map_err(refused)?.join() {
                Ok(done) => done.map_err(refused),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// Makes sure that the name still leads to this namespace.
    ///
    /// # Errors
    /// [`Error::NamespaceGone`] if `ip netns del` took the name away.
    pub fn check(&self) -> Result<(), Error> {
        let Some(path) = &self.path else {
            return Ok(());
        };
        match std::fs::metadata(path) {
            Ok(about) if (about.dev(), about.ino()) == self.id => Ok(()),
            _ => Err(Error::NamespaceGone {
                name: self.name.clone(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_nowhere_are_told() {
        let error = Namespace::open("no-such-namespace").unwrap_err();
        assert_eq!(
            error.to_string(),
            "network namespace no-such-namespace does not exist: `ip netns add no-such-namespace` makes it"
        );
    }

    #[test]
    fn the_current_one_is_itself() {
        let here = Namespace::open(CURRENT).unwrap();
        assert!(here.is_same(&Namespace::current().unwrap()));
        assert_eq!(here.name(), "current");
        here.check().unwrap();
    }
}
