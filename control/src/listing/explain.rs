//! `explain`: what would become of a packet, a line for each question, and the servers as a table.

use super::Detail;
use super::columns::Table;
use crate::explain::{Because, Explanation, WaySeen, WhyNot};
use pvs_sched::config::{ServerKey, ServiceKey};

/// The explanation as text, or as a line of JSON.
#[must_use]
pub fn explanation(told: &Explanation, detail: Detail) -> String {
    if detail.json {
        return super::json(told);
    }
    let lines = [
        ("packet", packet(told)),
        ("service", service(told)),
        ("connection", connection(told)),
        ("template", template(told)),
        ("server", server(told)),
        ("next hop", way(told)),
        ("worker", owner(told)),
    ];
    let mut text: String = lines
        .iter()
        .filter(|(_, line)| !line.is_empty())
        .map(|(name, line)| format!("{name:<11} {line}\n"))
        .collect();
    if told.servers.is_empty() {
        return text;
    }
    let mut table = Table::new(&[
        "Server",
        "Forward",
        ">Weight",
        ">Active",
        ">InActive",
        "Why not",
    ]);
    for candidate in &told.servers {
        table.row([
            name(&candidate.server),
            candidate.method.label().to_owned(),
            candidate.weight.to_string(),
            candidate.active.to_string(),
            candidate.inactive.to_string(),
            candidate.why_not.map_or("it is the one", why).to_owned(),
        ]);
    }
    text.push('\n');
    text + &table.text("")
}

fn packet(told: &Explanation) -> String {
    let end =
        |end: Option<std::net::SocketAddr>| end.map(|end| end.to_string()).unwrap_or_default();
    let mark = match told.mark {
        0 => String::new(),
        mark => format!(", mark {mark}"),
    };
    format!(
        "{} {} -> {}{mark}",
        told.protocol,
        end(told.client),
        end(told.virtual_)
    )
}

fn service(told: &Explanation) -> String {
    let Some(key) = &told.service else {
        return match (told.dropped, told.is_local) {
            (true, _) => "a mark rule drops it: pvsadm mark".to_owned(),
            (_, true) => "none takes it: it is Linux's".to_owned(),
            (_, false) => "none takes it, its destination is not local: Linux routes it".to_owned(),
        };
    };
    let key = match key {
        ServiceKey::Address {
            protocol,
            address,
            port,
        } => {
            let address = std::net::SocketAddr::new(*address, *port);
            format!("{} {address}", protocol.protocol().name())
        }
        ServiceKey::Mark { mark, .. } => format!("FWM {mark}"),
    };
    let persistent = match told.persistence_secs {
        Some(secs) => format!(", persistent {secs}"),
        None => String::new(),
    };
    let table = match told.mh_slots {
        Some(slots) => format!(" with {slots} slots"),
        None => String::new(),
    };
    format!(
        "{key} {}{table}{persistent}; its address is local",
        told.scheduler
    )
}

fn connection(told: &Explanation) -> String {
    match &told.connection {
        Some(c) => format!(
            "{} with {}, {} packets, idle {} s, expires in {} s, at worker {}",
            c.state, c.server, c.packets, c.idle_secs, c.expires_secs, c.worker
        ),
        None => "none".to_owned(),
    }
}

fn template(told: &Explanation) -> String {
    let Some(template) = &told.template else {
        return match told.persistence_secs {
            Some(_) => "none".to_owned(),
            None => String::new(),
        };
    };
    let unusable = match template.is_usable {
        true => "",
        false => "; not used: its server is not in service",
    };
    let state = if template.is_assured {
        "ASSURED"
    } else {
        "NONE"
    };
    format!(
        "{state} with {}, expires in {} s{unusable}",
        name(&template.server),
        template.expires_secs
    )
}

fn server(told: &Explanation) -> String {
    let because = match told.because {
        Because::NoService | Because::Dropped => return String::new(),
        Because::NoServer => {
            return "none may take it: refused by ICMP port unreachable".to_owned();
        }
        Because::Connection => "its connection has it",
        Because::Template => "the client's template has it",
        Because::Scheduler => "the scheduler would pick it now",
    };
    match &told.server {
        Some(server) => format!("{}: {because}", name(server)),
        None => String::new(),
    }
}

fn way(told: &Explanation) -> String {
    match &told.way {
        None => String::new(),
        Some(WaySeen::Local) => "the director itself".to_owned(),
        Some(WaySeen::Unreachable) => "none: there is no route".to_owned(),
        Some(WaySeen::Elsewhere) => {
            "none: the route leads out by an interface that is no port".to_owned()
        }
        Some(WaySeen::Neighbour {
            address,
            interface,
            mac,
            failed,
        }) => {
            let state = match (mac, failed) {
                (Some(mac), _) => format!("at {mac}"),
                (None, true) => "which does not answer".to_owned(),
                (None, false) => "which Linux is asked for".to_owned(),
            };
            format!("{address} by {interface}, {state}")
        }
    }
}

fn owner(told: &Explanation) -> String {
    match told.owner {
        Some(worker) => worker.to_string(),
        None => "whoever receives it".to_owned(),
    }
}

const fn why(why_not: WhyNot) -> &'static str {
    match why_not {
        WhyNot::Weight => "its weight is 0",
        WhyNot::Threshold => "it is at its upper threshold",
        WhyNot::Remembered => "the client is another one's",
        WhyNot::Load => "another one is preferred by load and weight",
        WhyNot::Hash => "the hash leads elsewhere",
        WhyNot::Turn => "it is another one's turn",
    }
}

fn name(server: &ServerKey) -> String {
    std::net::SocketAddr::new(server.address, server.port).to_string()
}
