//! Frames on the control socket: one JSON value a line, versioned, bounded in size and in time.
//!
//! A request is a list of commands that take effect as one snapshot; a response is one or more
//! frames with the outcomes in the order of the commands, the last one marked. A frame that cannot
//! be understood is answered with a sentence, and ends the conversation.

use crate::command::Command;
use crate::limits::{FRAME_BYTES_MAX, FRAME_TIME_MAX};
use crate::reply::Outcome;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// The version of the frames that this crate speaks.
pub const VERSION: u32 = 1;

/// Commands for pvsd.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// [`VERSION`].
    pub version: u32,
    /// Carried out in this order; the workers see all of them at once.
    pub commands: Vec<Command>,
}

/// A part of pvsd's answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Response {
    /// [`VERSION`].
    pub version: u32,
    /// Outcomes of the next commands.
    #[serde(default)]
    pub outcomes: Vec<Outcome>,
    /// No further frame belongs to this answer.
    pub last: bool,
    /// All was done, but there is something to know: a worker lags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
    /// The request was not understood, and nothing was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What can be wrong with a frame.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// More bytes than allowed.
    #[error("the frame is longer than {FRAME_BYTES_MAX} bytes")]
    TooLong,
    /// No JSON.
    #[error("the frame is not JSON: {0}")]
    NotJson(serde_json::Error),
    /// JSON of another shape: an unknown or missing field, a value of the wrong type.
    #[error("the frame is not understood: {0}")]
    Shape(serde_json::Error),
    /// Another version.
    #[error("the frame has version {0}, this side speaks version {VERSION}")]
    Version(u64),
    /// The other side ended in the middle of a frame.
    #[error("the frame is cut off")]
    Cut,
    /// The other side fell silent in the middle of a frame.
    #[error("the frame was not complete within {} seconds", FRAME_TIME_MAX.as_secs())]
    Slow,
    /// The socket failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Any frame's version.
#[derive(Deserialize)]
struct Versioned {
    version: u64,
}

/// A frame's bytes, the line feed included.
///
/// # Errors
/// [`FrameError::TooLong`], or [`FrameError::Shape`] for a value that JSON cannot express.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, FrameError> {
    let mut bytes = serde_json::to_vec(value).map_err(FrameError::Shape)?;
    bytes.push(b'\n');
    if bytes.len() > FRAME_BYTES_MAX {
        Err(FrameError::TooLong)
    } else {
        Ok(bytes)
    }
}

/// The value of a frame.
///
/// # Errors
/// [`FrameError::NotJson`], [`FrameError::Version`], [`FrameError::Shape`].
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, FrameError> {
    let versioned: Versioned = serde_json::from_slice(bytes).map_err(classify)?;
    if versioned.version != u64::from(VERSION) {
        return Err(FrameError::Version(versioned.version));
    }
    serde_json::from_slice(bytes).map_err(classify)
}

fn classify(error: serde_json::Error) -> FrameError {
    match error.classify() {
        serde_json::error::Category::Data => FrameError::Shape(error),
        _ => FrameError::NotJson(error),
    }
}

/// Something to read from that can be told how long a read may take.
pub trait Timed: Read {
    /// The next read gives up after this long.
    ///
    /// # Errors
    /// If the limit cannot be set.
    fn set_limit(&self, limit: Duration) -> io::Result<()>;
}

impl Timed for UnixStream {
    fn set_limit(&self, limit: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(limit))
    }
}

impl Timed for &[u8] {
    fn set_limit(&self, _: Duration) -> io::Result<()> {
        Ok(())
    }
}

/// Cuts a stream into frames.
#[derive(Debug)]
pub struct FrameReader<S> {
    stream: S,
    limit: Duration,
    pending: Vec<u8>,
}

impl<S: Timed> FrameReader<S> {
    /// Frames of this stream, each of which may take [`FRAME_TIME_MAX`].
    pub const fn new(stream: S) -> Self {
        Self::with_limit(stream, FRAME_TIME_MAX)
    }

    /// Frames of this stream, each of which may take `limit`.
    pub const fn with_limit(stream: S, limit: Duration) -> Self {
        Self {
            stream,
            limit,
            pending: Vec::new(),
        }
    }

    /// The stream.
    pub const fn stream(&self) -> &S {
        &self.stream
    }

    /// The next frame's bytes; `None` if the other side has ended, or has been silent, between two
    /// frames.
    ///
    /// # Errors
    /// [`FrameError::TooLong`], [`FrameError::Cut`], [`FrameError::Slow`], [`FrameError::Io`].
    pub fn next_frame(&mut self) -> Result<Option<Vec<u8>>, FrameError> {
        let deadline = Instant::now() + self.limit;
        let mut searched = 0;
        let mut chunk = vec![0; 64 << 10];
        loop {
            let unsearched = self.pending.iter().skip(searched);
            if let Some(at) = unsearched.into_iter().position(|b| *b == b'\n') {
                let rest = self.pending.split_off(searched + at + 1);
                return Ok(Some(std::mem::replace(&mut self.pending, rest)));
            }
            searched = self.pending.len();
            if searched > FRAME_BYTES_MAX {
                return Err(FrameError::TooLong);
            }
            match self.read(&mut chunk, deadline)? {
                Some(0) if searched == 0 => return Ok(None),
                Some(0) => return Err(FrameError::Cut),
                Some(n) => self
                    .pending
                    .extend_from_slice(chunk.get(..n).unwrap_or_default()),
                None if searched == 0 => return Ok(None),
                None => return Err(FrameError::Slow),
            }
        }
    }

    /// Reads some bytes; `None` once the deadline has passed.
    fn read(&mut self, chunk: &mut [u8], deadline: Instant) -> io::Result<Option<usize>> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.stream.set_limit(left)?;
            match self.stream.read(chunk) {
                Ok(n) => return Ok(Some(n)),
                Err(e) => match e.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => return Ok(None),
                    _ => return Err(e),
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Request {
        Request {
            version: VERSION,
            commands: vec![Command::Flush, Command::Zero(None)],
        }
    }

    #[test]
    fn a_frame_comes_back_as_it_went() {
        let bytes = encode(&request()).unwrap();
        assert_eq!(bytes.iter().filter(|b| **b == b'\n').count(), 1);
        assert_eq!(decode::<Request>(&bytes).unwrap(), request());
    }

    #[test]
    fn what_is_wrong_is_said() {
        let said = |text: &str| decode::<Request>(text.as_bytes()).unwrap_err().to_string();
        assert!(said("hello").starts_with("the frame is not JSON"));
        assert!(said("{\"version\":1,").starts_with("the frame is not JSON"));
        assert_eq!(
            said("{\"version\":7,\"what\":0}"),
            "the frame has version 7, this side speaks version 1"
        );
        assert!(said("{\"commands\":[]}").contains("missing field `version`"));
        assert!(said("{\"version\":1,\"commands\":[],\"x\":1}").contains("unknown field `x`"));
        assert!(said("{\"version\":1,\"commands\":[\"dance\"]}").contains("unknown variant"));
        let delete = r#"{"version":1,"commands":[{"delete-service":{"mark":1,"family":"ipv4"}}]}"#;
        assert!(decode::<Request>(delete.as_bytes()).is_ok());
        let worse = delete.replace("\"mark\"", "\"colour\":2,\"mark\"");
        assert!(said(&worse).starts_with("the frame is not understood"));
    }

    #[test]
    fn a_stream_is_cut_at_line_feeds() {
        let mut reader = FrameReader::new(&b"one\ntwo\nthr"[..]);
        assert_eq!(reader.next_frame().unwrap().unwrap(), b"one\n");
        assert_eq!(reader.next_frame().unwrap().unwrap(), b"two\n");
        assert!(matches!(reader.next_frame(), Err(FrameError::Cut)));
        assert!(FrameReader::new(&b""[..]).next_frame().unwrap().is_none());
    }

    #[test]
    fn a_frame_may_not_be_longer_than_the_limit() {
        let long = vec![b' '; FRAME_BYTES_MAX + 2];
        assert!(matches!(
            FrameReader::with_limit(&long[..], Duration::from_secs(3600)).next_frame(),
            Err(FrameError::TooLong)
        ));
    }
}
