//! The command line: ipvsadm's, to the byte, and pvsadm's own words ([`words`]).
//!
//! Two steps, [`tokens`] in the order in which they are written and then a validated
//! [`Command`](crate::command::Command) ([`plan`](mod@plan)), out of one table
//! ([`options`], of [`row`]s). [`run`](mod@run) puts them together with standard input,
//! pvsd's answers and the exit status.

mod answers;
mod companions;
mod complete;
mod draft;
mod endpoint;
mod explain;
mod given;
pub mod help;
pub(crate) mod legality;
mod manual;
mod marks;
mod mh;
pub mod names;
pub(crate) mod notation;
pub mod options;
pub mod plan;
pub(crate) mod request;
mod restore;
pub mod row;
pub mod run;
mod table;
#[cfg(test)]
mod tests;
pub mod tokens;
pub mod words;

pub use marks::parse_marks;
pub use mh::service_named;
pub use names::{FileNames, Names, SystemNames};
pub use plan::{Failure, Plan, Show, TableUse, plan};
pub use restore::commands;
pub use run::{Asked, Io, Link, LinkError, run};
