//! The sections about Linux: interfaces, next hops, what goes there and comes from there.

use super::list;
use crate::listing::Detail;
use crate::listing::columns::{Table, wrapped};
use crate::status::{HopState, InterfaceKind, InterfaceView, LinuxView, StatusView};

/// Addresses of an interface that are shown if not all are wanted.
const ADDRESSES_SHOWN: usize = 8;

/// Interfaces that are shown if not all are wanted.
const INTERFACES_SHOWN: usize = 32;

/// Interfaces with their states and addresses.
pub(super) fn interfaces(linux: &LinuxView, detail: Detail) -> String {
    if linux.interfaces.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&[
        "Interface",
        "Kind",
        ">Port",
        ">Index",
        "State",
        ">MTU",
        "Addresses",
    ]);
    let shown = if detail.all {
        linux.interfaces.len()
    } else {
        INTERFACES_SHOWN
    };
    for interface in linux.interfaces.iter().take(shown) {
        table.row([
            interface.name.clone(),
            kind(interface),
            interface.port.to_string(),
            interface.ifindex.to_string(),
            state(interface).to_owned(),
            interface.mtu.to_string(),
            addresses(linux, interface, detail),
        ]);
    }
    let rest = match linux.interfaces.len().saturating_sub(shown) {
        0 => String::new(),
        more => format!("  and {more} more: pvsadm status --all\n"),
    };
    format!(
        "Linux, namespace {} (prefixes routed: {} IPv4, {} IPv6; neighbours: {})\n{}{rest}{}",
        linux.namespace,
        linux.routes_v4,
        linux.routes_v6,
        linux.neighbours,
        table.text("  "),
        missed(linux)
    )
}

/// What Linux told in vain.
fn missed(linux: &LinuxView) -> String {
    match (linux.overruns, linux.unread) {
        (0, 0) => String::new(),
        (overruns, unread) => {
            format!(
                "  events overrun: {overruns} times; messages that could not be read: {unread}\n"
            )
        }
    }
}

fn kind(interface: &InterfaceView) -> String {
    match (interface.kind, interface.vlan) {
        (InterfaceKind::Tap, _) => "tap".to_owned(),
        (InterfaceKind::Vlan, Some(vlan)) => format!("vlan {vlan}"),
        (InterfaceKind::Vlan, None) => "vlan".to_owned(),
        (InterfaceKind::Macvlan, _) => "macvlan".to_owned(),
    }
}

const fn state(interface: &InterfaceView) -> &'static str {
    match (interface.gone, interface.up, interface.carrier) {
        (true, ..) => "gone",
        (_, false, _) => "down",
        (_, true, false) => "no carrier",
        (_, true, true) => "up",
    }
}

fn addresses(linux: &LinuxView, interface: &InterfaceView, detail: Detail) -> String {
    let all = linux
        .addresses
        .iter()
        .filter(|a| a.interface == interface.name);
    let all: Vec<String> = all
        .map(|a| format!("{}/{}", a.address, a.prefix_len))
        .collect();
    let shown = if detail.all {
        all.len()
    } else {
        ADDRESSES_SHOWN
    };
    let mut text = all
        .iter()
        .take(shown)
        .cloned()
        .collect::<Vec<_>>()
        .join(" ");
    if all.len() > shown {
        text.push_str(&format!(" and {} more", all.len() - shown));
    }
    text
}

/// Next hops that are kept, and those that are not known; servers that are not reached.
pub(super) fn hops(linux: &LinuxView, detail: Detail) -> String {
    let mut text = format!(
        "Next hops kept: {} for servers, {} for clients and gateways; requests refused: {}\n",
        linux.hops_for_servers, linux.hops_for_clients, linux.hops_refused
    );
    if !linux.unresolved.is_empty() {
        let mut table = Table::new(&["Unresolved", "Interface", "State", ">Seconds", "For"]);
        let shown = if detail.all {
            linux.unresolved.len()
        } else {
            super::SHOWN
        };
        for hop in linux.unresolved.iter().take(shown) {
            let state = match hop.state {
                HopState::Asked => "asked",
                HopState::Failed => "failed",
                HopState::Absent => "not asked",
            };
            let wanted = if hop.for_server { "servers" } else { "clients" };
            table.row([
                hop.address.to_string(),
                hop.interface.clone(),
                state.to_owned(),
                hop.secs.to_string(),
                wanted.to_owned(),
            ]);
        }
        text.push_str(&table.text("  "));
        match linux.unresolved.len().saturating_sub(shown) {
            0 => {}
            more => text.push_str(&format!("  and {more} more: pvsadm status --all\n")),
        }
    }
    text + &list(&linux.astray, detail, |astray| {
        let server = astray.server;
        match (&astray.interface, astray.has_route) {
            (_, false) => format!("  server {server}: no route\n"),
            (Some(name), true) => {
                format!("  server {server}: by {name}, which is no port of pvs\n")
            }
            (None, true) => format!("  server {server}: by a route that pvs does not follow\n"),
        }
    })
}

/// Frames for Linux by class, and what became of them.
pub(super) fn punts(status: &StatusView) -> String {
    if status.punts.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&["Class", ">Passed", ">Dropped", ">Waiting", ">Limit"]);
    for punt in &status.punts {
        let [passed, dropped, waiting, limit] =
            [punt.passed, punt.dropped, punt.waiting, punt.limit].map(|figure| figure.to_string());
        table.row([punt.class.clone(), passed, dropped, waiting, limit]);
    }
    let x = status.exchange;
    let icmp = status.icmp_errors.map_or(String::new(), |icmp| {
        let (sent, limited) = (icmp.sent, icmp.limited);
        format!("  ICMP errors of the director: {sent} sent, {limited} held back by the limit\n")
    });
    format!(
        "To Linux and from it\n{}  taken by Linux {}, refused {}, without a tap {}\n  \
         from Linux {}; lost: ring full {}, no buffer {}, too long {}\n{icmp}",
        table.text("  "),
        x.to_linux,
        x.refused_by_linux,
        x.no_tap,
        x.from_linux,
        x.inject_full,
        x.pool_empty,
        x.too_long
    )
}

/// What Linux is told to do and pvs does not.
pub(super) fn unsupported(linux: &LinuxView, detail: Detail) -> String {
    if linux.unsupported.is_empty() {
        return String::new();
    }
    let line = |sentence: &String| format!("  {}\n", wrapped(sentence, 2));
    format!(
        "Not followed of Linux's configuration\n{}",
        list(&linux.unsupported, detail, line)
    )
}
