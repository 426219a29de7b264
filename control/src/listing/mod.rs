//! The text of listings, in ipvsadm's widths and units, and of what pvsadm's own words show.
//!
//! Pure: values in, text out; names come from [`Names`](crate::cli::Names).

mod columns;
mod commands;
mod connections;
mod drops;
mod explain;
mod figures;
pub(crate) mod json;
mod label;
mod marks;
pub mod proc;
mod rules;
mod services;
mod slots;
mod sort;
mod status;
mod tunables;

pub use commands::command_line;
pub use connections::{connection, connections_heading};
pub use drops::drops;
pub use explain::explanation;
pub use label::Labels;
pub use marks::{mark_lines, marks};
pub use proc::ProcFile;
pub use rules::rules;
pub use services::services;
pub use slots::slots;
pub use status::status;
pub use tunables::tunables;

use crate::reply::DaemonView;
use std::fmt::Write;

/// Which columns a table of services has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Columns {
    /// Method, weight, connections.
    #[default]
    Load,
    /// `--stats`.
    Stats,
    /// `--rate`.
    Rate,
    /// `--thresholds`.
    Thresholds,
    /// `--persistent-conn`.
    PersistentConnections,
    /// `--tun-info`.
    Tunnels,
}

/// How a listing is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// Its columns.
    pub columns: Columns,
    /// `-n`.
    pub numeric: bool,
    /// `--exact`.
    pub exact: bool,
    /// Not `--nosort`.
    pub sorted: bool,
    /// One service was asked for: the version is left out.
    pub one_service: bool,
    /// `--persistent-conn` with connections: the engines' columns have headings.
    pub engines: bool,
}

impl Default for Format {
    fn default() -> Self {
        Self {
            columns: Columns::Load,
            numeric: false,
            exact: false,
            sorted: true,
            one_service: false,
            engines: false,
        }
    }
}

/// How much of a report is shown, and to whom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Detail {
    /// All there is, however much.
    pub all: bool,
    /// As JSON.
    pub json: bool,
}

/// `-L --timeout`.
#[must_use]
pub fn timeouts(tcp_secs: u32, tcp_fin_secs: u32, udp_secs: u32) -> String {
    format!("Timeout (tcp tcpfin udp): {tcp_secs} {tcp_fin_secs} {udp_secs}\n")
}

/// `-L --daemon`.
#[must_use]
pub fn daemons(daemons: &[DaemonView]) -> String {
    daemons.iter().fold(String::new(), |mut text, d| {
        let DaemonView {
            role,
            interface,
            sync_id,
            max_len,
            group,
            port,
            ttl,
        } = d;
        let role = role.as_str();
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{role} sync daemon (mcast={interface}, syncid={sync_id}, maxlen={max_len}, \
             group={group}, port={port}, ttl={ttl})"
        );
        text
    })
}

/// A value as a line of JSON.
fn json<T: serde::Serialize>(value: &T) -> String {
    // Plain data cannot fail to be written.
    let mut text = serde_json::to_string(value).unwrap_or_default();
    text.push('\n');
    text
}
