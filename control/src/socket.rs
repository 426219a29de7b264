//! The control socket in the file system: bound under a private name with its mode and group, then
//! moved into place, so that nobody meets it half made. A stale socket is replaced only if nobody
//! answers on it; a lock beside it keeps two daemons from doing so at once.

use rustix::fs::{FlockOperation, flock};
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{
    DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown,
};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a killed process may take to be gone.
const DEATH_TIME_MAX: Duration = Duration::from_secs(1);

/// How often it is looked for.
const LOOK_PERIOD: Duration = Duration::from_millis(20);

/// Where pvsd listens if nothing else is said.
pub const DEFAULT_PATH: &str = "/run/pvs/pvsd.sock";

/// Where and how to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketConfig {
    /// The socket's path.
    pub path: PathBuf,
    /// Its mode.
    pub mode: u32,
    /// Its group, by name or number; `None` leaves the group of the process.
    pub group: Option<String>,
}

impl Default for SocketConfig {
    fn default() -> Self {
        Self {
            path: DEFAULT_PATH.into(),
            mode: 0o660,
            group: None,
        }
    }
}

/// Why pvsd cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another process answers on the socket, or is about to.
    #[error("{}: another pvsd is listening there", .0.display())]
    InUse(PathBuf),
    /// Something else is in its place.
    #[error("{}: not a socket, and not touched", .0.display())]
    NotASocket(PathBuf),
    /// The group does not exist.
    #[error("no such group: {0}")]
    NoSuchGroup(String),
    /// The file system said no.
    #[error("{}: {error}", path.display())]
    Io {
        /// What was being made.
        path: PathBuf,
        /// What was said.
        error: io::Error,
    },
}

/// A listening socket, removed from the file system when dropped.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) listener: UnixListener,
    path: PathBuf,
    inode: u64,
    _lock: File,
}

impl Socket {
    pub(crate) fn bind(config: &SocketConfig) -> Result<Self, BindError> {
        let path = &config.path;
        let failed = |error| BindError::Io {
            path: path.clone(),
            error,
        };
        let group = config.group.as_deref().map(group_id).transpose()?;
        let dir = path
            .parent()
            .filter(|d| !d.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        fs::create_dir_all(dir).map_err(failed)?;
        let lock = patiently(|| lock(path))?;
        patiently(|| clear(path))?;
        let nest = Nest::new(path).map_err(failed)?;
        let made = nest.0.join("s");
        let listener = UnixListener::bind(&made).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        chown(&made, None, group).map_err(failed)?;
        fs::set_permissions(&made, Permissions::from_mode(config.mode)).map_err(failed)?;
        let inode = fs::symlink_metadata(&made).map_err(failed)?.ino();
        fs::rename(&made, path).map_err(failed)?;
        Ok(Self {
            listener,
            path: path.clone(),
            inode,
            _lock: lock,
        })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path).is_ok_and(|m| m.ino() == self.inode);
        if ours {
            // The lock file stays: removing it would let two others lock two files of one name.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A private folder beside the socket, gone when dropped. Whoever holds the socket's lock makes it,
/// so that one which a killed process left is in nobody's way.
struct Nest(PathBuf);

impl Nest {
    fn new(socket: &Path) -> io::Result<Self> {
        let mut name = socket.to_path_buf().into_os_string();
        name.push(".new");
        let path = PathBuf::from(name);
        let _ = fs::remove_dir_all(&path);
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Nest {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Tries again while the place is taken: a killed process holds its lock and its socket until the
/// last of its threads is gone.
fn patiently<T>(mut attempt: impl FnMut() -> Result<T, BindError>) -> Result<T, BindError> {
    let until = Instant::now() + DEATH_TIME_MAX;
    loop {
        match attempt() {
            Err(BindError::InUse(_)) if Instant::now() < until => {
                std::thread::sleep(LOOK_PERIOD);
            }
            result => return result,
        }
    }
}

/// Locks the file beside the socket for as long as it is open.
fn lock(path: &Path) -> Result<File, BindError> {
    let mut name = path.to_path_buf().into_os_string();
    name.push(".lock");
    let name = PathBuf::from(name);
    let open = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        // Who can open it can lock it.
        .mode(0o600)
        .open(&name);
    let file = open.map_err(|error| BindError::Io {
        path: name.clone(),
        error,
    })?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(BindError::InUse(path.to_path_buf())),
        Err(errno) => Err(BindError::Io {
            path: name,
            error: errno.into(),
        }),
    }
}

/// Refuses if anybody answers on the path, or if it is no socket.
fn clear(path: &Path) -> Result<(), BindError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(BindError::Io {
            path: path.to_path_buf(),
            error,
        }),
        Ok(found) if !found.file_type().is_socket() => {
            Err(BindError::NotASocket(path.to_path_buf()))
        }
        Ok(_) => match UnixStream::connect(path) {
            Ok(_) => Err(BindError::InUse(path.to_path_buf())),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
            Err(error) => Err(BindError::Io {
                path: path.to_path_buf(),
                error,
            }),
        },
    }
}

/// A group's number, by its name in /etc/group or as a number.
fn group_id(group: &str) -> Result<u32, BindError> {
    let unknown = || BindError::NoSuchGroup(group.to_owned());
    if let Ok(id) = group.parse() {
        return Ok(id);
    }
    let groups = fs::read_to_string("/etc/group").map_err(|_| unknown())?;
    find_group(&groups, group).ok_or_else(unknown)
}

fn find_group(groups: &str, name: &str) -> Option<u32> {
    let mut lines = groups.lines().map(|l| l.split(':'));
    let mut line = lines.find(|fields| fields.clone().next() == Some(name))?;
    line.nth(2)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(dir: &tempfile::TempDir) -> SocketConfig {
        SocketConfig {
            path: dir.path().join("sub/pvsd.sock"),
            ..SocketConfig::default()
        }
    }

    #[test]
    fn a_socket_has_its_mode_and_goes_away() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(&dir);
        let socket = Socket::bind(&config).unwrap();
        let mode = fs::symlink_metadata(&config.path).unwrap().mode();
        assert_eq!(mode & 0o777, 0o660);
        let beside: Vec<_> = fs::read_dir(config.path.parent().unwrap())
            .unwrap()
            .collect();
        assert_eq!(beside.len(), 2, "the socket and its lock");
        drop(socket);
        assert!(!config.path.exists());
    }

    #[test]
    fn a_stale_socket_is_replaced_and_a_living_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(&dir);
        fs::create_dir_all(config.path.parent().unwrap()).unwrap();
        drop(UnixListener::bind(&config.path).unwrap());
        assert!(config.path.exists());
        let socket = Socket::bind(&config).unwrap();
        assert!(matches!(Socket::bind(&config), Err(BindError::InUse(_))));
        drop(socket);
        let foreign = UnixListener::bind(&config.path).unwrap();
        assert!(matches!(Socket::bind(&config), Err(BindError::InUse(_))));
        drop(foreign);
        assert!(Socket::bind(&config).is_ok());
    }

    #[test]
    fn another_file_is_not_touched() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(&dir);
        fs::create_dir_all(config.path.parent().unwrap()).unwrap();
        fs::write(&config.path, "mine").unwrap();
        assert!(matches!(
            Socket::bind(&config),
            Err(BindError::NotASocket(_))
        ));
        assert_eq!(fs::read_to_string(&config.path).unwrap(), "mine");
    }

    #[test]
    fn groups_by_name_and_number() {
        let groups = "root:x:0:\nwheel:x:10:me\n";
        assert_eq!(find_group(groups, "wheel"), Some(10));
        assert_eq!(find_group(groups, "nobody"), None);
        assert_eq!(group_id("77").unwrap(), 77);
        let dir = tempfile::tempdir().unwrap();
        let config = SocketConfig {
            group: Some("no such group".into()),
            ..config(&dir)
        };
        assert!(matches!(
            Socket::bind(&config),
            Err(BindError::NoSuchGroup(_))
        ));
    }
}
