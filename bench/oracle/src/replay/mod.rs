//! The kernel's recordings, played again to the whole engine.
//!
//! A recording is a line of a file under `data/`; the lines that one director saw are a [`Case`].
//! Commands go in as argument vectors through pvsadm's command line and the store, packets as
//! frames through the ports, and time is set to what was recorded; nothing here calls the table, a
//! scheduler or a state function. What comes out is compared field by field in a [`Ledger`].
//!
//! What the director can't do fails. What it does otherwise on purpose is excused by a rule
//! ([`Stated`]), and what is not the same at each recording is masked by one ([`Mask`]); neither
//! knows a recording by its name. Where Linux would answer, a stand-in does, and is counted: see
//! [`StandIn`](way::StandIn).

mod alter;
mod case;
mod cli;
mod frame;
mod hash;
mod lab;
mod ledger;
mod link;
mod linux;
mod listing;
mod marks;
mod masks;
mod packets;
mod plane;
mod random;
mod report;
mod sched;
mod stated;
mod states;
mod sysctl;
mod tunnel;
mod unhooked;
pub mod way;

pub use alter::{ALTERED, Altered, alter};
pub use case::{Case, Line, SUITES, Suite, folder};
pub use lab::{Lab, Said};
pub use ledger::{Compared, Difference, Ledger};
pub use masks::Mask;
pub use plane::InProcess;
pub use report::{Report, replay};
pub use stated::Stated;
