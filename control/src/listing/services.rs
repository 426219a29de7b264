//! Tables of services and their servers.

use super::figures::figure;
use super::label::{Labels, cut};
use super::{Columns, Format, sort};
use crate::cli::legality::{COMMON_FLAGS, SCHEDULER_FLAGS};
use crate::cli::request::host_mask;
use crate::reply::{Figures, ServerView, ServiceView};
use pvs_sched::config::{
    AddressFamily, Method, Persistence, ServiceConfig, ServiceFlags, ServiceKey, Transport,
    TunnelKind,
};
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};

/// Bytes of an IPv4 service's column and of an IPv4 server's label; IPv6 ones are not cut.
const SERVICE_BYTES_MAX: usize = 33;
const SERVER_BYTES_MAX: usize = 28;

/// A table of services, its headings included.
#[must_use]
pub fn services(
    mut views: Vec<ServiceView>,
    table_size: u64,
    format: Format,
    labels: &Labels<'_>,
) -> String {
    let mut text = String::new();
    if !format.one_service {
        // Writing to a string cannot fail, here and below.
        let _ = writeln!(text, "IP Virtual Server version 1.2.1 (size={table_size})");
    }
    text.push_str(&headings(format.columns));
    if format.sorted {
        sort::services(&mut views);
    }
    for mut view in views {
        text.push_str(&service_line(&view, format, labels));
        if format.sorted {
            sort::servers(&mut view.servers);
        }
        let transport = transport(&view.config.key);
        for server in &view.servers {
            text.push_str(&server_line(server, transport, format, labels));
        }
    }
    text
}

/// The two lines above a table.
fn headings(columns: Columns) -> String {
    let place = "Prot LocalAddress:Port";
    let five =
        |[a, b, c, d, e]: [&str; 5]| format!("{place:<33} {a:>8} {b:>8} {c:>8} {d:>8} {e:>8}");
    let first = match columns {
        Columns::Stats => five(["Conns", "InPkts", "OutPkts", "InBytes", "OutBytes"]),
        Columns::Rate => five(["CPS", "InPPS", "OutPPS", "InBPS", "OutBPS"]),
        Columns::Thresholds => {
            let (upper, lower) = ("Uthreshold", "Lthreshold");
            format!("{place:<33} {upper:<10} {lower:<10} ActiveConn InActConn ")
        }
        Columns::PersistentConnections => {
            format!(
                "{place:<33} {:<9} PersistConn ActiveConn InActConn ",
                "Weight"
            )
        }
        Columns::Tunnels => {
            return "Prot LocalAddress:Port Scheduler Flags\n  -> RemoteAddress:Port           \
                    Forward TunnelInfo    Weight ActiveConn InActConn\n"
                .to_owned();
        }
        Columns::Load => {
            return "Prot LocalAddress:Port Scheduler Flags\n  -> RemoteAddress:Port           \
                    Forward Weight ActiveConn InActConn\n"
                .to_owned();
        }
    };
    format!("{first}\n  -> RemoteAddress:Port\n")
}

fn service_line(view: &ServiceView, format: Format, labels: &Labels<'_>) -> String {
    let name = service_name(&view.config.key, labels);
    match format.columns {
        Columns::Stats => format!("{name:<33}{}\n", five(&view.stats, format.exact)),
        Columns::Rate => format!("{name:<33}{}\n", five(&view.rates, format.exact)),
        _ => format!("{name} {}\n", described(&view.config)),
    }
}

/// Protocol and place of a service.
fn service_name(key: &ServiceKey, labels: &Labels<'_>) -> String {
    match *key {
        ServiceKey::Address {
            protocol,
            address,
            port,
        } => {
            let label = labels.label(address, port, Some(protocol));
            let name = format!("{:<4} {label}", protocol_name(protocol));
            if address.is_ipv4() {
                cut(&name, SERVICE_BYTES_MAX).to_owned()
            } else {
                name
            }
        }
        ServiceKey::Mark { mark, family } => {
            // ipvsadm shows a mark as a signed number.
            let mark = mark as i32;
            let family = if family == AddressFamily::Ipv6 {
                " IPv6"
            } else {
                ""
            };
            format!("FWM  {mark}{family}")
        }
    }
}

/// Scheduler, flags and persistence of a service.
fn described(config: &ServiceConfig) -> String {
    let mut text = config.scheduler.as_str().to_owned();
    if let Some(flags) = scheduler_flags(config) {
        let _ = write!(text, " ({flags})");
    }
    if let Some(persistence) = config.persistence {
        let _ = write!(text, " persistent {}", persistence.timeout_secs);
        if let Some(mask) = mask(config.key.family(), persistence) {
            let _ = write!(text, " mask {mask}");
        }
        if let Some(engine) = &config.engine {
            let _ = write!(text, " pe {engine}");
        }
    }
    if config.flags.has(ServiceFlags::ONE_PACKET) {
        text.push_str(" ops");
    }
    text
}

/// The names of a service's scheduler flags; `None` if it has none.
pub(super) fn scheduler_flags(config: &ServiceConfig) -> Option<String> {
    let scheduler = config.scheduler.as_str();
    let own = SCHEDULER_FLAGS
        .iter()
        .filter(|(owner, _, _)| *owner == scheduler);
    let own: Vec<_> = own.map(|(_, name, flag)| (*name, *flag)).collect();
    // A scheduler with names of its own shows no other flag.
    let known = if own.is_empty() {
        COMMON_FLAGS.to_vec()
    } else {
        own
    };
    let any = COMMON_FLAGS.iter().any(|(_, flag)| config.flags.has(*flag));
    let set = known
        .into_iter()
        .filter(|(_, flag)| config.flags.has(*flag));
    any.then(|| set.map(|(name, _)| name).collect::<Vec<_>>().join(","))
}

/// A persistence's mask in the notation of its family; `None` if it is that of a single client.
pub(super) fn mask(family: AddressFamily, persistence: Persistence) -> Option<String> {
    let netmask = persistence.netmask;
    (netmask != host_mask(family)).then(|| match family {
        AddressFamily::Ipv4 => Ipv4Addr::from_bits(netmask).to_string(),
        AddressFamily::Ipv6 => netmask.to_string(),
    })
}

fn server_line(
    server: &ServerView,
    transport: Option<Transport>,
    format: Format,
    labels: &Labels<'_>,
) -> String {
    let ServerView {
        config,
        active,
        inactive,
        persistent,
        stats,
        rates,
    } = server;
    let label = labels.label(config.key.address, config.key.port, transport);
    let label = match config.key.address {
        IpAddr::V4(_) => cut(&label, SERVER_BYTES_MAX),
        IpAddr::V6(_) => &label,
    };
    let (weight, method) = (config.weight, config.method.label());
    let columns = match format.columns {
        Columns::Stats => five(stats, format.exact),
        Columns::Rate => {
            let Figures {
                connections,
                in_packets,
                out_packets,
                in_bytes,
                out_bytes,
            } = rates;
            format!(
                " {connections:>8} {in_packets:>8} {out_packets:>8}{}{}",
                figure(*in_bytes, format.exact),
                figure(*out_bytes, format.exact)
            )
        }
        Columns::Thresholds => {
            let (upper, lower) = (config.upper_threshold, config.lower_threshold);
            format!(" {upper:<10} {lower:<10} {active:<10} {inactive:<10}")
        }
        Columns::PersistentConnections => {
            format!(" {weight:<9} {persistent:<11} {active:<10} {inactive:<10}")
        }
        Columns::Tunnels => {
            let tunnel = tunnel(server);
            format!(" {method:<7} {tunnel:<13} {weight:<6} {active:<10} {inactive:<10}")
        }
        Columns::Load => format!(" {method:<7} {weight:<6} {active:<10} {inactive:<10}"),
    };
    format!("  -> {label:<28}{columns}\n")
}

/// Kind, port and checksum of a server's tunnel.
fn tunnel(server: &ServerView) -> String {
    let tunnel = server.config.tunnel;
    let checksum = match tunnel.flags {
        0 => "-c",
        1 => "+c",
        _ => "r+c",
    };
    match (server.config.method, tunnel.kind) {
        (Method::Tunnel, TunnelKind::Ipip) => "ipip".to_owned(),
        (Method::Tunnel, TunnelKind::Gue) => format!("gue:{}:{checksum}", tunnel.port),
        (Method::Tunnel, TunnelKind::Gre) => format!("gre:{checksum}"),
        _ => "n/a".to_owned(),
    }
}

fn five(figures: &Figures, exact: bool) -> String {
    let Figures {
        connections,
        in_packets,
        out_packets,
        in_bytes,
        out_bytes,
    } = *figures;
    [connections, in_packets, out_packets, in_bytes, out_bytes]
        .map(|n| figure(n, exact))
        .concat()
}

/// The transport under which the ports of a service's servers have names. A
/// mark has none of its own.
pub(super) const fn transport(key: &ServiceKey) -> Option<Transport> {
    match key {
        ServiceKey::Address { protocol, .. } => Some(*protocol),
        ServiceKey::Mark { .. } => None,
    }
}

/// As listings name it.
pub(super) const fn protocol_name(transport: Transport) -> &'static str {
    match transport {
        Transport::Tcp => "TCP",
        Transport::Udp => "UDP",
        Transport::Sctp => "SCTP",
    }
}
