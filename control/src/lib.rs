//! Commands, the configuration store, the control socket and pvsadm.
//!
//! `argv -> tokens -> validated Command -> JSON frame -> store.apply -> Snapshot -> publish ->
//! Reply -> text`. pvsd uses [`server`], [`store`], [`socket`] and implements [`plane`];
//! pvsadm uses [`cli`], [`client`] and [`listing`]; both share [`command`], [`reply`],
//! [`status`] and [`frame`].
#![forbid(unsafe_code)]

pub mod cli;
pub mod client;
mod clients;
pub mod clock;
pub mod command;
pub mod explain;
pub mod frame;
pub mod limits;
pub mod listing;
pub mod plane;
pub mod reply;
pub mod server;
mod session;
pub mod socket;
pub mod status;
pub mod store;

pub use clock::{Clock, SystemClock};
pub use plane::{Connection, Cursor, Lag, Locality, NoPlane, Plane};
pub use server::{Handle, Server};
pub use socket::{BindError, SocketConfig};
pub use store::{Capabilities, Store};
