//! `-S`: the table as the commands that make it up.
//!
//! Thresholds are not among them: ipvsadm leaves them out, and so they are lost by a restore.

use super::label::Labels;
use super::services::{mask, scheduler_flags, transport};
use super::{Format, sort};
use crate::reply::ServiceView;
use pvs_sched::config::{
    AddressFamily, Method, ServerConfig, ServiceConfig, ServiceFlags, ServiceKey, Transport,
    TunnelKind,
};
use std::fmt::Write;

/// One line for each service and server.
#[must_use]
pub fn rules(mut views: Vec<ServiceView>, format: Format, labels: &Labels<'_>) -> String {
    let mut text = String::new();
    if format.sorted {
        sort::services(&mut views);
    }
    for mut view in views {
        let name = service_option(&view.config.key, labels);
        // Writing to a string cannot fail, here and below.
        let _ = writeln!(text, "-A {name} -s {}", service_options(&view.config));
        if format.sorted {
            sort::servers(&mut view.servers);
        }
        let transport = transport(&view.config.key);
        for server in &view.servers {
            let _ = writeln!(
                text,
                "-a {name} -r {}",
                server_options(&server.config, transport, labels)
            );
        }
    }
    text
}

pub(super) fn service_option(key: &ServiceKey, labels: &Labels<'_>) -> String {
    match *key {
        ServiceKey::Address {
            protocol,
            address,
            port,
        } => {
            let option = match protocol {
                Transport::Tcp => "-t",
                Transport::Udp => "-u",
                Transport::Sctp => "--sctp-service",
            };
            format!("{option} {}", labels.label(address, port, Some(protocol)))
        }
        ServiceKey::Mark { mark, family } => {
            let family = if family == AddressFamily::Ipv6 {
                " -6"
            } else {
                ""
            };
            format!("-f {}{family}", mark as i32)
        }
    }
}

pub(super) fn service_options(config: &ServiceConfig) -> String {
    let mut text = config.scheduler.as_str().to_owned();
    if let Some(persistence) = config.persistence {
        let _ = write!(text, " -p {}", persistence.timeout_secs);
        if let Some(mask) = mask(config.key.family(), persistence) {
            let _ = write!(text, " -M {mask}");
        }
    }
    if let Some(engine) = &config.engine {
        let _ = write!(text, " --pe {engine}");
    }
    if config.flags.has(ServiceFlags::ONE_PACKET) {
        text.push_str(" -o");
    }
    if let Some(flags) = scheduler_flags(config) {
        let _ = write!(text, " -b {flags}");
    }
    text
}

pub(super) fn server_options(
    config: &ServerConfig,
    transport: Option<Transport>,
    labels: &Labels<'_>,
) -> String {
    let label = labels.label(config.key.address, config.key.port, transport);
    let method = match config.method {
        Method::Masquerade => "-m",
        Method::Tunnel => "-i",
        Method::Local | Method::Route => "-g",
    };
    let mut text = format!("{label} {method} -w {}", config.weight);
    if config.method == Method::Tunnel {
        let checksum = match config.tunnel.flags {
            0 => "--tun-nocsum",
            1 => "--tun-csum",
            _ => "--tun-remcsum",
        };
        let _ = match config.tunnel.kind {
            TunnelKind::Ipip => write!(text, " --tun-type ipip"),
            TunnelKind::Gue => {
                write!(
                    text,
                    " --tun-type gue --tun-port {} {checksum}",
                    config.tunnel.port
                )
            }
            TunnelKind::Gre => write!(text, " --tun-type gre {checksum}"),
        };
    }
    text
}
