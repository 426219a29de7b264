//! Commands, the configuration store, the control socket and pvsadm.
//!
//! `argv -> tokens -> validated Command -> JSON frame -> store.apply -> Snapshot -> publish -> Reply -> text`.
#![forbid(unsafe_code)]

pub mod plane;
