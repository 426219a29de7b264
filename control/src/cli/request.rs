//! Commands out of options that are legal with them, and what ipvsadm checks on the way.

use super::draft::{Draft, HOST_MASK_V4, HOST_MASK_V6};
use super::legality::{judge_tunnel, mentions_tunnel};
use super::plan::{Failure, Plan, Show};
use crate::command::{Command, DaemonRequest, DaemonRole, ServiceRequest};
use crate::listing::{Columns, Format};
use pvs_sched::config::{
    AddressFamily, Method, Persistence, ServerConfig, ServerKey, ServiceKey, Transport,
};
use std::net::IpAddr;

/// ipvsadm's default scheduler.
pub(super) const SCHEDULER: &str = "wlc";
/// ipvsadm's default multicast device.
const INTERFACE: &str = "eth0";

pub(super) fn service_request(draft: Draft) -> Result<ServiceRequest, Failure> {
    let needed = || Failure::wrong("the command names no service");
    let key = draft.service().ok_or_else(needed)?;
    if let ServiceKey::Address { protocol, port, .. } = key {
        if port == 0 && draft.timeout_secs.is_none() {
            return Err(Failure::wrong(
                "Zero port specified for non-persistent service",
            ));
        }
        if draft.has("ops") && protocol != Transport::Udp {
            return Err(Failure::wrong(
                "One-Packet Scheduling is only for UDP virtual services",
            ));
        }
    }
    let scheduler = if draft.scheduler.is_empty() {
        SCHEDULER.to_owned()
    } else {
        draft.scheduler
    };
    Ok(ServiceRequest {
        key,
        scheduler,
        flags: draft.flags,
        persistence: draft.timeout_secs.map(|timeout_secs| Persistence {
            timeout_secs,
            netmask: draft.netmask,
        }),
        engine: draft.engine.filter(|e| !e.is_empty()),
    })
}

pub(super) fn server_config(draft: &Draft) -> Result<(ServiceKey, ServerConfig), Failure> {
    let needed = || Failure::wrong("the command names no service or server");
    let (service, mut key) = draft.service().zip(draft.server()).ok_or_else(needed)?;
    let keeps_port =
        matches!(service, ServiceKey::Mark { .. }) || draft.method == Method::Masquerade;
    if !keeps_port {
        key = ServerKey {
            port: service.port(),
            ..key
        };
    }
    let tunnelled = draft.method == Method::Tunnel;
    if family(key.address) != service.family() && !tunnelled {
        let said = "Different address family is allowed only for tunneling servers";
        return Err(Failure::wrong(said));
    }
    if mentions_tunnel(draft) && !tunnelled {
        return Err(Failure::wrong(
            "Tunnel options conflict with forward method",
        ));
    }
    judge_tunnel(draft)?;
    let server = ServerConfig {
        key,
        method: draft.method,
        weight: draft.weight,
        upper_threshold: draft.upper_threshold,
        lower_threshold: draft.lower_threshold,
        tunnel: draft.tunnel,
    };
    Ok((service, server))
}

const fn family(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Ipv4,
        IpAddr::V6(_) => AddressFamily::Ipv6,
    }
}

pub(super) fn daemon(role: DaemonRole, draft: Draft) -> DaemonRequest {
    let interface = if draft.interface.is_empty() {
        INTERFACE.to_owned()
    } else {
        draft.interface
    };
    DaemonRequest {
        role,
        interface,
        sync_id: draft.sync_id,
        max_len: draft.sync_max_len,
        group: draft.group,
        port: draft.group_port,
        ttl: draft.group_ttl,
    }
}

pub(super) fn list(draft: &Draft) -> Result<Plan, Failure> {
    let any = |names: &[&str]| names.iter().any(|name| draft.has(name));
    let no_services = any(&["connection", "timeout", "daemon"]);
    if (no_services && any(&["stats", "rate", "thresholds"]))
        || (any(&["timeout", "daemon"]) && draft.has("persistent-conn"))
    {
        return Err(Failure::wrong("options conflicts in the list command"));
    }
    let command = if draft.has("connection") {
        Command::ListConnections
    } else if let Some(service) = draft.service() {
        Command::ListService(service)
    } else if draft.has("timeout") {
        Command::ListTimeouts
    } else if draft.has("daemon") {
        Command::ListDaemons
    } else {
        Command::ListServices
    };
    Ok(Plan::Ask {
        command,
        show: if draft.has("json") {
            Show::Json(format(draft))
        } else {
            Show::Table(format(draft))
        },
    })
}

pub(super) fn format(draft: &Draft) -> Format {
    let columns = [
        ("stats", Columns::Stats),
        ("rate", Columns::Rate),
        ("thresholds", Columns::Thresholds),
        ("persistent-conn", Columns::PersistentConnections),
        ("tun-info", Columns::Tunnels),
    ];
    let columns = columns.into_iter().find(|(name, _)| draft.has(name));
    Format {
        columns: columns.map_or(Columns::Load, |(_, columns)| columns),
        numeric: draft.has("numeric"),
        exact: draft.has("exact"),
        sorted: !draft.has("nosort"),
        one_service: draft.service().is_some(),
        engines: draft.has("persistent-conn"),
    }
}

/// The mask of one client alone: it is not shown.
#[must_use]
pub(crate) const fn host_mask(family: AddressFamily) -> u32 {
    match family {
        AddressFamily::Ipv4 => HOST_MASK_V4,
        AddressFamily::Ipv6 => HOST_MASK_V6,
    }
}
