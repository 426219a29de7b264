//! The kernel's recordings, played again to the whole engine.
//!
//! A recording is a line of a file under `data/`; the lines that one director saw are a [`Case`].
//! Commands go in as argument vectors through pvsadm's command line and the store, packets as
//! frames through the ports, and time is set to what was recorded; nothing here calls the table, a
//! scheduler or a state function. What comes out is compared field by field in a [`Ledger`].
//!
//! What the dataplane can't do yet is left out by rule, never by name: a command that is refused as
//! unsupported, a scheduler that does not exist, a sysctl, another program, what is in a packet. Where Linux or a later
//! part of the director would answer, a stand-in does, and is counted:
//! see [`StandIn`](way::StandIn).

mod case;
mod frame;
mod lab;
mod ledger;
mod listing;
mod packets;
mod plane;
mod sched;
mod states;
pub mod way;

pub use case::{Case, Line, Outcome, Suite, folder};
pub use lab::{Lab, Said};
pub use ledger::{Difference, Ledger, Report};
pub use plane::InProcess;
