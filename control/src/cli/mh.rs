//! `pvsadm mh`: how many slots the table of an mh service has, out of its options; and a service by
//! its option alone, as pvsd.toml names it.

use super::given::Given;
use super::plan::{Plan, Show};
use super::row::{Row, flag, value};
use crate::command::Command;
use pvs_sched::{AddressFamily, MhSlots, ServiceKey, Transport};
use std::net::SocketAddr;

/// The service, and what is to be done with it.
pub(super) const OPTIONS: &[Row] = &[
    value(
        "tcp-service",
        Some('t'),
        "ADDR:PORT",
        "the TCP service of this address and port",
    ),
    value(
        "udp-service",
        Some('u'),
        "ADDR:PORT",
        "the UDP service of this address and port",
    ),
    value(
        "sctp-service",
        None,
        "ADDR:PORT",
        "the SCTP service of this address and port",
    ),
    value(
        "fwmark-service",
        Some('f'),
        "MARK",
        "the service of this mark",
    ),
    flag("ipv6", Some('6'), "", "the mark's service is one of IPv6"),
    value(
        "slots",
        Some('n'),
        "N",
        "from now on its table has this number of slots, a prime",
    ),
    super::words::JSON,
    super::words::HELP,
];

pub(super) const ABOUT: &str = "\
Shows how many slots the tables of the services with the scheduler mh have, or of one of them, or
sets it. A table has 4093 slots unless told otherwise, as in the kernel, and picks as the kernel
does. With more of them, fewer clients of other servers move when a server comes or goes (one of a
hundred: 0.6 % of the others' with 65537, 2.9 % with 4093), and clients are spread more evenly.
The numbers there are: 251, 509, 1021, 2039, 4093, 8191, 16381, 32749, 65521, 65537, 131071. A slot
costs 4 bytes. Another number is another table: most clients without a connection get another
server. Directors that are to pick alike need the same number.

The number belongs to the name of the service: it holds when the service is edited, deleted and
added again, also by -R, which like -S knows nothing of it, until pvsd ends. What is to be there at
start goes into pvsd.toml, rules.mh_slots. Addresses and ports are numeric.

JSON: {\"mh\": [{\"service\": KEY, \"slots\", \"running\"}, ...]}; running is false for a name that no mh
service has now.";

/// What is asked for.
pub(super) fn plan(given: &Given) -> Result<Plan, String> {
    let named = [
        "tcp-service",
        "udp-service",
        "sctp-service",
        "fwmark-service",
        "ipv6",
    ];
    let key = match named.iter().any(|option| given.has(option)) {
        true => Some(service(given)?),
        false => None,
    };
    let Some(slots) = given.value("slots") else {
        let command = Command::ListSlots(key);
        let show = Show::Report(given.detail());
        return Ok(Plan::Ask { command, show });
    };
    let service = key.ok_or(NAME_ONE)?;
    let number = slots.parse().ok().ok_or("a number is expected".to_owned());
    let number = number.and_then(|n| MhSlots::new(n).map_err(|error| error.to_string()));
    let slots = number.map_err(|wrong| format!("--slots {slots}: {wrong}"))?;
    Ok(Plan::Ask {
        command: Command::SetSlots { service, slots },
        show: Show::Nothing,
    })
}

const NAME_ONE: &str = "name the service by one of -t, -u, --sctp-service and -f";

/// A service by its option alone: `-t 10.0.0.100:80`, `-f 1 -6`.
///
/// # Errors
/// What is wrong with it, in a sentence.
pub fn service_named(text: &str) -> Result<ServiceKey, String> {
    let words = text.split_ascii_whitespace().map(str::to_owned).collect();
    let given = Given::read(OPTIONS, words)?;
    let is_more = ["slots", "json"].iter().any(|option| given.has(option));
    match given.arguments.first() {
        Some(left) => Err(format!("unexpected argument {left}")),
        None if is_more => Err("only a service is expected".to_owned()),
        None => service(&given),
    }
}

/// The one service that the options name.
fn service(given: &Given) -> Result<ServiceKey, String> {
    let transports = [
        ("tcp-service", Transport::Tcp),
        ("udp-service", Transport::Udp),
        ("sctp-service", Transport::Sctp),
    ];
    let addresses = transports.iter().filter_map(|(option, protocol)| {
        let text = given.value(option)?;
        Some(end(*protocol, text))
    });
    let mark = given.value("fwmark-service");
    let marks = mark.map(|text| marked(text, given.has("ipv6")));
    let mut named = addresses.chain(marks);
    match (named.next(), named.next()) {
        (Some(Ok(ServiceKey::Address { .. })), None) if given.has("ipv6") => {
            Err("-6 belongs to -f: an address says its family".to_owned())
        }
        (Some(key), None) => key,
        _ => Err(NAME_ONE.to_owned()),
    }
}

fn end(protocol: Transport, text: &str) -> Result<ServiceKey, String> {
    let end: SocketAddr = text.parse().map_err(|_| {
        format!("{text}: an address and a port are expected, as 10.0.0.1:80 or [fd00::1]:80")
    })?;
    Ok(ServiceKey::Address {
        protocol,
        address: end.ip(),
        port: end.port(),
    })
}

fn marked(text: &str, is_ipv6: bool) -> Result<ServiceKey, String> {
    let mark = text.parse().ok().filter(|mark| *mark != 0);
    Ok(ServiceKey::Mark {
        mark: mark.ok_or_else(|| format!("{text}: a mark is a number from 1 to 4294967295"))?,
        family: match is_ipv6 {
            true => AddressFamily::Ipv6,
            false => AddressFamily::Ipv4,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{FileNames, plan as plan_line};

    fn planned(line: &str) -> Result<Plan, String> {
        let argv: Vec<String> = format!("pvsadm mh {line}")
            .split_ascii_whitespace()
            .map(str::to_owned)
            .collect();
        plan_line(&argv, &FileNames::default()).map_err(|failure| failure.to_string())
    }

    #[test]
    fn a_number_is_set_for_a_service_and_shown_for_one_or_all() {
        for (line, name) in [
            ("-t 10.0.0.100:80 --slots 65537", "-t 10.0.0.100:80"),
            ("-n 65537 --udp-service [fd00::100]:53", "-u [fd00::100]:53"),
            ("--slots=65537 -f 3 -6", "-f 3 -6"),
        ] {
            let (service, slots) = (service_named(name).unwrap(), MhSlots::new(65_537).unwrap());
            let plan = Plan::Ask {
                command: Command::SetSlots { service, slots },
                show: Show::Nothing,
            };
            assert_eq!(planned(line), Ok(plan), "{line}");
        }
        let asked = |line: &str| match planned(line) {
            Ok(Plan::Ask { command, .. }) => command,
            other => panic!("{other:?}"),
        };
        assert_eq!(asked("--json"), Command::ListSlots(None));
        let service = service_named("-f 3").unwrap();
        assert_eq!(asked("-f 3"), Command::ListSlots(Some(service)));
    }

    #[test]
    fn what_is_wrong_is_said_in_a_line() {
        for (line, said) in [
            ("--slots 65537", "name the service"),
            ("-t 10.0.0.1:80 -u 10.0.0.1:80", "name the service by one"),
            ("-t 10.0.0.1:80 --slots 65536", "4093, 8191"),
            ("-t 10.0.0.1:80 --slots -1", "a number is expected"),
            ("-t 10.0.0.1 --slots 251", "a port are expected"),
            ("-t 10.0.0.1:80 -6", "-6 belongs to -f"),
            ("-f 0", "a mark is a number"),
            ("-6", "name the service"),
            ("251", "unexpected argument 251"),
        ] {
            let told = planned(line).unwrap_err();
            let lines = told.lines().count();
            assert!(told.contains(said) && lines == 1, "{line}: {told}");
        }
        for text in [
            "",
            "-t 10.0.0.1:80 x",
            "-t 10.0.0.1:80 --slots 251",
            "--bad",
        ] {
            assert!(service_named(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_help_has_every_number_there_is() {
        let has = |slots: &u32| ABOUT.contains(&slots.to_string());
        assert!(MhSlots::ALL.iter().all(has));
    }
}
