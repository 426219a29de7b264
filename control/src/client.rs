//! The other end of the control socket: a conversation with pvsd.

use crate::cli::{Asked, Link, LinkError};
use crate::command::Command;
use crate::frame::{FrameError, FrameReader, Request, Response, VERSION, decode, encode};
use crate::limits::{SEEN_TIME_MAX, WRITE_TIME_MAX};
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The environment variable that names the socket.
pub const SOCKET_VARIABLE: &str = "PVS_SOCKET";

/// How long an answer may take: pvsd may be waiting for its workers, for others before us too.
const ANSWER_TIME_MAX: Duration = SEEN_TIME_MAX.saturating_mul(30);

/// How long a report may take, which waits for no worker: whoever watches pvsd wants to know
/// in time that it is stuck.
const REPORT_TIME_MAX: Duration = Duration::from_secs(5);

/// A way to pvsd that is opened when something is asked.
#[derive(Clone, Debug)]
pub struct Client {
    path: PathBuf,
}

impl Client {
    /// pvsd at this socket.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// pvsd at the socket that the environment names, or at the usual one.
    #[must_use]
    pub fn from_environment() -> Self {
        let named = std::env::var_os(SOCKET_VARIABLE).filter(|name| !name.is_empty());
        Self::new(named.map_or_else(|| crate::socket::DEFAULT_PATH.into(), PathBuf::from))
    }

    /// The socket's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn connect(&self) -> Result<UnixStream, LinkError> {
        let opened = UnixStream::connect(&self.path).and_then(|stream| {
            stream.set_write_timeout(Some(WRITE_TIME_MAX))?;
            Ok(stream)
        });
        opened.map_err(|error| LinkError::Unreachable {
            path: self.path.display().to_string(),
            error,
        })
    }
}

impl Link for Client {
    fn ask(&mut self, commands: &[Command], asked: Asked<'_>) -> Result<Option<String>, LinkError> {
        let bytes = encode(&Request {
            version: VERSION,
            commands: commands.to_vec(),
        })?;
        let mut stream = self.connect()?;
        let report = |command: &Command| matches!(command, Command::Status | Command::Drops);
        let limit = match commands.iter().all(report) {
            true => REPORT_TIME_MAX,
            false => ANSWER_TIME_MAX,
        };
        let until = Instant::now() + limit;
        let sent = stream.write_all(&bytes);
        let mut reader = FrameReader::with_limit(stream, limit);
        loop {
            let frame = match reader.next_frame() {
                Ok(Some(frame)) => frame,
                Ok(None) if Instant::now() >= until => return Err(LinkError::Silent(limit)),
                Ok(None) => {
                    sent.map_err(FrameError::Io)?;
                    return Err(LinkError::Ended);
                }
                Err(error) => return Err(error.into()),
            };
            let response: Response = decode(&frame)?;
            if let Some(error) = response.error {
                return Err(LinkError::NotUnderstood(error));
            }
            for outcome in response.outcomes {
                asked(outcome).map_err(LinkError::Output)?;
            }
            if response.last {
                return Ok(response.warning);
            }
        }
    }
}
