//! `pvsadm explain`: what becomes of a client's packet, out of its options.

use super::given::Given;
use super::plan::{Plan, Show};
use super::row::{Row, value};
use crate::command::{Command, ExplainRequest};
use pvs_sched::Transport;
use std::net::SocketAddr;

/// The packet.
pub(super) const OPTIONS: &[Row] = &[
    value(
        "tcp-service",
        Some('t'),
        "ADDR:PORT",
        "to this address and port by TCP",
    ),
    value(
        "udp-service",
        Some('u'),
        "ADDR:PORT",
        "to this address and port by UDP",
    ),
    value(
        "sctp-service",
        None,
        "ADDR:PORT",
        "to this address and port by SCTP",
    ),
    value("from", Some('f'), "ADDR:PORT", "from this client"),
    value(
        "interface",
        Some('i'),
        "NAME",
        "in by this interface of a mirror, for mark rules",
    ),
    super::words::JSON,
    super::words::HELP,
];

pub(super) const ABOUT: &str = "\
Tells what would become of a packet of this client, and why: which service takes it and whether
its address is local; whether there is a connection, or a template; else which server the scheduler
would pick now, and why each other one would not be; the next hop to the server; the worker that
owns the connection. Nothing changes: the next connection gets what it would have got. Addresses
and ports are numeric; an IPv6 address has brackets.

JSON: an object with the fields that docs/STATUS.md names.";

/// What is asked for.
pub(super) fn plan(given: &Given) -> Result<Plan, String> {
    let services = [
        ("tcp-service", Transport::Tcp),
        ("udp-service", Transport::Udp),
        ("sctp-service", Transport::Sctp),
    ];
    let named = services.iter().filter_map(|(option, protocol)| {
        let value = given.value(option)?;
        Some((*protocol, value))
    });
    let named: Vec<_> = named.collect();
    let [(protocol, target)] = named.as_slice() else {
        return Err("name the service by one of -t, -u and --sctp-service".to_owned());
    };
    let client = given
        .value("from")
        .ok_or("name the client by --from ADDR:PORT")?;
    let (client, virtual_) = (end(client)?, end(target)?);
    if client.is_ipv4() != virtual_.is_ipv4() {
        return Err("client and service are of different address families".to_owned());
    }
    Ok(Plan::Ask {
        command: Command::Explain(ExplainRequest {
            protocol: *protocol,
            client,
            virtual_,
            interface: given.value("interface").map(str::to_owned),
        }),
        show: Show::Report(given.detail()),
    })
}

fn end(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!("{text}: an address and a port are expected, as 10.0.0.1:80 or [fd00::1]:80")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{FileNames, plan as plan_line};

    fn planned(line: &str) -> Result<Plan, String> {
        let argv: Vec<String> = format!("pvsadm explain {line}")
            .split_ascii_whitespace()
            .map(str::to_owned)
            .collect();
        plan_line(&argv, &FileNames::default()).map_err(|failure| failure.to_string())
    }

    #[test]
    fn a_packet_has_a_service_and_a_client() {
        let Ok(Plan::Ask {
            command: Command::Explain(request),
            ..
        }) = planned("-t [fd00::100]:80 --from [fd09::1]:4000 -i eth0")
        else {
            panic!("no explanation");
        };
        assert_eq!(request.protocol, Transport::Tcp);
        assert_eq!(request.client.to_string(), "[fd09::1]:4000");
        assert_eq!(request.interface.as_deref(), Some("eth0"));
        for (line, said) in [
            ("-t 10.0.0.1:80", "name the client"),
            ("--from 10.0.0.1:80", "name the service"),
            ("-t 10.0.0.1:80 -u 10.0.0.1:80 --from 10.0.0.2:1", "one of"),
            ("-t 10.0.0.1 --from 10.0.0.2:1", "a port are expected"),
            ("-t 10.0.0.1:80 --from [fd00::1]:1", "families"),
        ] {
            let told = planned(line).unwrap_err();
            assert!(
                told.contains(said) && told.lines().count() == 1,
                "{line}: {told}"
            );
        }
    }
}
