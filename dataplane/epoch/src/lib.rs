//! Quiescent-state based reclamation of published values.
//!
//! One [`Publisher`] (control's thread) replaces a value as a whole; a fixed number of [`Reader`]s
//! (one for each worker) look at the newest one once per turn of their loop. A call of
//! [`Reader::poll`] is the reader's quiescent point: by it the reader says that it holds no
//! reference to any older value. A value that has been replaced is freed by
//! [`Publisher::reclaim`] once every reader has passed such a point or is offline.
//!
//! What a reader pays while nothing changes is one acquire load and one comparison. When the
//! value has changed it pays one release store more. Only a reader that comes back from offline
//! pays a full fence.
//!
//! Values are dropped on the publisher's thread, with one exception: what is still in use when
//! the publisher itself is dropped is freed by the last reader to be dropped, on its thread.
//!
//! This is deliberately not a general RCU: there is one publisher, the number of readers is fixed
//! at the start, a reader has no nested sections, and nothing here blocks or wakes anybody. How
//! many replaced values may be outstanding is the publisher's owner to decide; it can ask.
//!
//! Why it is right, in short. A reader's *seen word* holds the version that it polled last, which
//! is the oldest that it may still refer to, or that it is offline. A version is freed only if it
//! is below every seen word. A reader that comes online first announces that it may refer to
//! anything, then a sequentially consistent fence, then it loads the newest value; the publisher
//! replaces the value, then such a fence, then it reads the seen words. So either the publisher
//! sees the announcement or the reader sees the new value. The loom models in `tests/model.rs`
//! walk through the interleavings.

#![deny(unsafe_code)]

mod qsbr;
mod seen;
mod sync;

pub use qsbr::{Publisher, Reader, channel};
