//! `--json`: listings for programs, with the keys that docs/CONTROL.md lists.

use super::{Format, json, sort};
use crate::reply::{ConnectionView, DaemonView, ServiceView};
use serde_json::json;

/// Services with their servers, in the order of the table.
pub(crate) fn services(mut views: Vec<ServiceView>, table_size: u64, format: Format) -> String {
    if format.sorted {
        sort::services(&mut views);
        for view in &mut views {
            sort::servers(&mut view.servers);
        }
    }
    json(&json!({ "table_size": table_size, "services": views }))
}

/// Connections.
pub(crate) fn connections(views: &[ConnectionView]) -> String {
    json(&json!({ "connections": views }))
}

/// The three timeouts.
pub(crate) fn timeouts(tcp_secs: u32, tcp_fin_secs: u32, udp_secs: u32) -> String {
    let timeouts = json!({
        "tcp_secs": tcp_secs,
        "tcp_fin_secs": tcp_fin_secs,
        "udp_secs": udp_secs,
    });
    json(&json!({ "timeouts": timeouts }))
}

/// Synchronisation daemons.
pub(crate) fn daemons(views: &[DaemonView]) -> String {
    json(&json!({ "daemons": views }))
}
