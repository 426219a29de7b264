//! An address with or without a port, as ipvsadm writes services and servers.

use super::names::Names;
use super::notation::{inet_aton, number};
use pvs_sched::config::Transport;
use std::net::{IpAddr, Ipv6Addr};

/// Reads `host[:port]`, `v6` or `[v6]:port`; a port's name is one of this transport.
///
/// Brackets need a port behind them. What stands in them and is no IPv6 address is read like a text
/// without brackets, the port behind them forgotten: so does ipvsadm.
pub(crate) fn parse(
    text: &str,
    transport: Option<Transport>,
    names: &dyn Names,
) -> Option<(IpAddr, Option<u16>)> {
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (host, behind) = match text.strip_prefix('[') {
        Some(inner) => {
            let (host, rest) = inner.split_once(']')?;
            (host, Some(rest.strip_prefix(':')?))
        }
        None => (text, None),
    };
    let (address, port) = match host.parse::<Ipv6Addr>() {
        Ok(address) => (IpAddr::V6(address), behind),
        Err(_) => {
            let (host, port) = match host.rsplit_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (host, None),
            };
            (
                IpAddr::V4(inet_aton(host).or_else(|| names.address(host))?),
                port,
            )
        }
    };
    let port = match port {
        Some(port) => Some(port_number(port, transport, names)?),
        None => None,
    };
    Some((address, port))
}

fn port_number(text: &str, transport: Option<Transport>, names: &dyn Names) -> Option<u16> {
    match number(text, 0, u16::MAX.into()) {
        Some(port) => u16::try_from(port).ok(),
        None => names.port(text, transport?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::names::FileNames;

    fn read(text: &str) -> Option<String> {
        let names = FileNames::parse("10.1.2.3 web1\n", "http 80/tcp\n");
        let (address, port) = parse(text, Some(Transport::Tcp), &names)?;
        Some(format!(
            "{address} {}",
            port.map_or("-".into(), |p| p.to_string())
        ))
    }

    #[test]
    fn what_ipvsadm_takes() {
        for (text, is) in [
            ("10.0.0.1:80", "10.0.0.1 80"),
            ("10.0.0.1", "10.0.0.1 -"),
            ("10.1: +80", "10.0.0.1 80"),
            ("web1:http", "10.1.2.3 80"),
            ("fd00::1", "fd00::1 -"),
            ("[fd00::1]:http", "fd00::1 80"),
            ("fd00::1:80", "fd00::1:80 -"),
            ("[10.0.0.1]:80", "10.0.0.1 -"),
            ("[10.0.0.1:90]:80", "10.0.0.1 90"),
            ("167772260:80", "10.0.0.100 80"),
        ] {
            assert_eq!(read(text).as_deref(), Some(is), "{text}");
        }
    }

    #[test]
    fn what_ipvsadm_does_not_take() {
        for text in [
            "",
            "80",
            "167772260",
            "10.0.0.1:",
            "10.0.0.1:65536",
            "10.0.0.1:-1",
            "10.0.0.1:https",
            "nosuch:80",
            "[fd00::1]",
            "[fd00::1",
            "[fd00::1]80",
            "10.0.0.300:80",
            ":80",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
