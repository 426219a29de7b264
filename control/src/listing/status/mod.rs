//! `status`: how the director is, section by section, what needs attention first.

mod linux;
mod workers;

use super::Detail;
use super::columns::{Table, wrapped};
use super::drops;
use super::services::protocol_name;
use crate::status::{PortView, ServicesView, StatusView};
use pvs_sched::config::{AddressFamily, ServiceKey};
use serde::Serialize;

/// Entries of a list that are shown if not all are wanted.
const SHOWN: usize = 10;

/// Reasons for losses that are shown if not all are wanted.
const DROPS_SHOWN: usize = 5;

/// The status as text, or as a line of JSON, with what needs attention.
#[must_use]
pub fn status(status: &StatusView, attention: &[String], detail: Detail) -> String {
    if detail.json {
        #[derive(Serialize)]
        struct Report<'a> {
            attention: &'a [String],
            #[serde(flatten)]
            status: &'a StatusView,
        }
        return super::json(&Report { attention, status });
    }
    let mut text = String::new();
    for sentence in attention {
        text.push_str(&format!("attention: {}\n", wrapped(sentence, 11)));
    }
    let sections = [
        heading(status),
        ports(&status.ports),
        workers::workers(status),
        workers::tables(status),
        services(&status.services, detail),
        linux::interfaces(&status.linux, detail),
        linux::hops(&status.linux, detail),
        linux::punts(status),
        losses(status, detail),
        linux::unsupported(&status.linux, detail),
    ];
    for section in sections.iter().filter(|section| !section.is_empty()) {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(section);
    }
    text
}

fn heading(status: &StatusView) -> String {
    let dpdk = match status.dpdk.as_str() {
        "" => String::new(),
        version => format!(", {version}"),
    };
    format!(
        "pvsd {}, up {}{dpdk}\n",
        status.version,
        duration(status.uptime_secs)
    )
}

/// Days, and hours, minutes and seconds.
fn duration(secs: u64) -> String {
    let (days, hours) = (secs / 86_400, secs / 3600 % 24);
    let clock = format!("{hours:02}:{:02}:{:02}", secs / 60 % 60, secs % 60);
    match days {
        0 => clock,
        1 => format!("1 day {clock}"),
        _ => format!("{days} days {clock}"),
    }
}

fn ports(ports: &[PortView]) -> String {
    if ports.is_empty() {
        return String::new();
    }
    let mut devices = Table::new(&[
        ">Port", "Device", "Driver", "Mirror", "MAC", ">MTU", "Link", "Role", ">Queues",
    ]);
    let mut received = Table::new(&[
        ">Port",
        ">Received",
        ">Bytes",
        ">Missed",
        ">Errors",
        ">NoBuffer",
        ">Chained",
    ]);
    let mut sent = Table::new(&[">Port", ">Sent", ">Bytes", ">Errors"]);
    for port in ports {
        let number = port.port.to_string();
        devices.row([
            number.clone(),
            port.device.clone(),
            port.driver.clone(),
            port.mirror.clone(),
            port.mac.clone(),
            port.mtu.to_string(),
            link(port),
            port.role.clone(),
            port.queues.to_string(),
        ]);
        let figures = [
            port.rx_packets,
            port.rx_bytes,
            port.rx_missed,
            port.rx_errors,
            port.rx_no_buffer,
            port.rx_chained,
        ];
        let [packets, bytes, missed, errors, no_buffer, chained] = figures.map(|f| f.to_string());
        received.row([
            number.clone(),
            packets,
            bytes,
            missed,
            errors,
            no_buffer,
            chained,
        ]);
        let [packets, bytes, errors] =
            [port.tx_packets, port.tx_bytes, port.tx_errors].map(|f| f.to_string());
        sent.row([number, packets, bytes, errors]);
    }
    let tables = [devices, received, sent].map(|table| table.text("  "));
    format!("Ports\n{}", tables.join("\n"))
}

fn link(port: &PortView) -> String {
    match (port.link_up, port.speed_mbps) {
        (None, _) => "unknown".to_owned(),
        (Some(false), _) => "down".to_owned(),
        (Some(true), None) => "up".to_owned(),
        (Some(true), Some(mbps)) if mbps >= 1000 && mbps % 1000 == 0 => {
            format!("up {}G", mbps / 1000)
        }
        (Some(true), Some(mbps)) => format!("up {mbps}M"),
    }
}

fn services(view: &ServicesView, detail: Detail) -> String {
    let mut text = format!(
        "Services: {}, real servers: {}\n",
        view.services, view.servers
    );
    if view.without_servers > 0 {
        text.push_str(&format!(
            "  without a server that takes new connections: {}\n",
            view.without_servers
        ));
    }
    if !view.waiting.is_empty() {
        text.push_str(&format!(
            "  waiting for their address, which is not local: {}\n",
            view.waiting.len()
        ));
        text.push_str(&list(&view.waiting, detail, |key| {
            format!("    {}\n", service(key))
        }));
    }
    text
}

fn service(key: &ServiceKey) -> String {
    match *key {
        ServiceKey::Address {
            protocol,
            address,
            port,
        } => {
            let protocol = protocol_name(protocol);
            format!("{protocol} {}", std::net::SocketAddr::new(address, port))
        }
        ServiceKey::Mark {
            mark,
            family: AddressFamily::Ipv4,
        } => format!("FWM {mark}"),
        ServiceKey::Mark {
            mark,
            family: AddressFamily::Ipv6,
        } => format!("FWM {mark} IPv6"),
    }
}

fn losses(status: &StatusView, detail: Detail) -> String {
    let mut losses = status.drops.clone();
    losses.retain(|loss| loss.packets > 0);
    if losses.is_empty() {
        return "Packets lost: none\n".to_owned();
    }
    drops::sort(&mut losses);
    let mut table = Table::new(&[">Packets", "Reason", "Meaning"]);
    let shown = if detail.all {
        losses.len()
    } else {
        DROPS_SHOWN
    };
    for loss in losses.iter().take(shown) {
        let cells = [
            loss.packets.to_string(),
            loss.reason.clone(),
            loss.sentence.clone(),
        ];
        table.row(cells);
    }
    let more = losses.len().saturating_sub(shown);
    let rest = match more {
        0 => String::new(),
        _ => format!("  reasons left out: {more}; pvsadm drops has them\n"),
    };
    format!("Packets lost\n{}{rest}", table.text("  "))
}

/// Entries of a list, and how many more there are.
fn list<T>(entries: &[T], detail: Detail, line: impl FnMut(&T) -> String) -> String {
    let shown = if detail.all { entries.len() } else { SHOWN };
    let text: String = entries.iter().take(shown).map(line).collect();
    match entries.len().saturating_sub(shown) {
        0 => text,
        more => format!("{text}    and {more} more: pvsadm status --all\n"),
    }
}
