//! The mirror: what Linux knows of one namespace, kept up by netlink messages, and the forwarding
//! information made of it.
//!
//! A pure value: no socket, no clock, no root. [`Mirror::apply`] takes one event, the `list_`
//! methods take whole listings; [`Mirror::update`] yields what has changed for pvs. Where an event
//! leaves a doubt about routes, [`Mirror::doubts`] says which family to list anew. Ip rules are not
//! followed and are reported as unsupported.

mod address;
mod build;
mod link;
mod neighbour;
mod numbers;
mod route;
mod rule;
mod state;
mod survey;
#[cfg(test)]
pub(crate) mod tests;
mod types;

pub(crate) use route::ListedRoute;
pub use state::Mirror;
pub use survey::{Amounts, InterfaceKind, Reach, Sight};
pub use types::{Doubts, InterfaceState, NeighbourView, NextHop, TapBinding, Update};
