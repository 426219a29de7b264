//! Transport state tables: what a packet does to a connection's state, and
//! how long that state lasts.
//!
//! A connection's state is one byte in its table entry, whose meaning depends on the protocol.
//! For each protocol the transitions are written as rules, which the compiler turns into a
//! table; a packet costs one look-up. [`advance`] is what the dataplane calls, [`label`] what
//! listings print. Which packet may create a connection, and when an old entry is scheduled
//! anew, is the dataplane's.

pub mod sctp;
mod step;
pub mod tcp;
mod timeouts;
pub mod udp;

pub use step::{Direction, Event, NONE, Step, Variant, advance, is_active, label, template_label};
pub use timeouts::Timeouts;

pub use sctp::State as SctpState;
pub use tcp::State as TcpState;
