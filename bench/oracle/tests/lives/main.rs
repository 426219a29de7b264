//! What decides which server a client gets and how long that holds, beside the scheduler:
//! templates, thresholds, marks, one-packet scheduling, persistence engines, the defences and the
//! tunables. Commands go in as words, packets as frames, and listings come out. What is expected
//! was seen in kernel 6.1.192, or is stated in IPVS-DIFFERENCES.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

#[path = "../common/mod.rs"]
mod common;

mod begins;
mod calls;
mod explain;
mod limits;
mod marks;
mod table;
mod templates;
