//! Names of hosts and ports: where the system knows some, and from texts for tests and replays.

use pvs_sched::config::Transport;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, ToSocketAddrs};

/// What is asked about names.
pub trait Names {
    /// The IPv4 address of a host (ipvsadm asks for no other).
    fn address(&self, host: &str) -> Option<Ipv4Addr>;
    /// The host of an address.
    fn host(&self, address: IpAddr) -> Option<String>;
    /// The port of a service.
    fn port(&self, service: &str, transport: Transport) -> Option<u16>;
    /// The service of a port.
    fn service(&self, port: u16, transport: Transport) -> Option<String>;
}

/// `/etc/services` in memory.
#[derive(Clone, Debug, Default)]
pub struct Services {
    ports: HashMap<(String, &'static str), u16>,
    names: HashMap<(u16, &'static str), String>,
}

impl Services {
    /// Reads the text of `/etc/services`; what is not understood is skipped.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut services = Self::default();
        for line in lines(text) {
            let mut words = line.split_ascii_whitespace();
            let (Some(name), Some(place)) = (words.next(), words.next()) else {
                continue;
            };
            let Some((port, transport)) = place.split_once('/') else {
                continue;
            };
            let transport = [Transport::Tcp, Transport::Udp, Transport::Sctp]
                .map(database_name)
                .into_iter()
                .find(|t| *t == transport);
            let (Ok(port), Some(transport)) = (port.parse(), transport) else {
                continue;
            };
            services
                .names
                .entry((port, transport))
                .or_insert_with(|| name.to_owned());
            for name in std::iter::once(name).chain(words) {
                services
                    .ports
                    .entry((name.to_owned(), transport))
                    .or_insert(port);
            }
        }
        services
    }

    fn port(&self, service: &str, transport: Transport) -> Option<u16> {
        self.ports
            .get(&(service.to_owned(), database_name(transport)))
            .copied()
    }

    fn name(&self, port: u16, transport: Transport) -> Option<String> {
        self.names.get(&(port, database_name(transport))).cloned()
    }
}

const fn database_name(transport: Transport) -> &'static str {
    match transport {
        Transport::Tcp => "tcp",
        Transport::Udp => "udp",
        Transport::Sctp => "sctp",
    }
}

/// The lines of a text without comments.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .map(|line| line.split('#').next().unwrap_or(line))
}

/// The names that the system knows: its resolver's, and those of `/etc/services`.
#[derive(Clone, Debug)]
pub struct SystemNames {
    services: Services,
}

impl SystemNames {
    /// Reads `/etc/services`; without it ports have no names.
    #[must_use]
    pub fn new() -> Self {
        let text = std::fs::read_to_string("/etc/services").unwrap_or_default();
        Self {
            services: Services::parse(&text),
        }
    }
}

impl Default for SystemNames {
    fn default() -> Self {
        Self::new()
    }
}

impl Names for SystemNames {
    fn address(&self, host: &str) -> Option<Ipv4Addr> {
        (host, 0)
            .to_socket_addrs()
            .ok()?
            .find_map(|found| match found.ip() {
                IpAddr::V4(address) => Some(address),
                IpAddr::V6(_) => None,
            })
    }

    fn host(&self, address: IpAddr) -> Option<String> {
        let name = dns_lookup::lookup_addr(&address).ok()?;
        // Without a name the resolver answers with the address itself.
        (name.parse::<IpAddr>() != Ok(address)).then_some(name)
    }

    fn port(&self, service: &str, transport: Transport) -> Option<u16> {
        self.services.port(service, transport)
    }

    fn service(&self, port: u16, transport: Transport) -> Option<String> {
        self.services.name(port, transport)
    }
}

/// The names of a hosts file and a services file.
#[derive(Clone, Debug, Default)]
pub struct FileNames {
    addresses: HashMap<String, Ipv4Addr>,
    hosts: HashMap<IpAddr, String>,
    services: Services,
}

impl FileNames {
    /// Reads the texts of `/etc/hosts` and `/etc/services`.
    #[must_use]
    pub fn parse(hosts: &str, services: &str) -> Self {
        let mut names = Self {
            services: Services::parse(services),
            ..Self::default()
        };
        for line in lines(hosts) {
            let mut words = line.split_ascii_whitespace();
            let Some(Ok(address)) = words.next().map(str::parse::<IpAddr>) else {
                continue;
            };
            for (at, name) in words.enumerate() {
                if at == 0 {
                    names
                        .hosts
                        .entry(address)
                        .or_insert_with(|| name.to_owned());
                }
                if let IpAddr::V4(address) = address {
                    names.addresses.entry(name.to_owned()).or_insert(address);
                }
            }
        }
        names
    }
}

impl Names for FileNames {
    fn address(&self, host: &str) -> Option<Ipv4Addr> {
        self.addresses.get(host).copied()
    }

    fn host(&self, address: IpAddr) -> Option<String> {
        self.hosts.get(&address).cloned()
    }

    fn port(&self, service: &str, transport: Transport) -> Option<u16> {
        self.services.port(service, transport)
    }

    fn service(&self, port: u16, transport: Transport) -> Option<String> {
        self.services.name(port, transport)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_give_names() {
        let hosts = "127.0.0.1 localhost # me\n10.1.2.3 web1.example web1\nfd00:2::1 six.example\n";
        let services = "http 80/tcp www # web\ndomain 53/tcp\ndomain 53/udp\namqp 5672/sctp\n";
        let names = FileNames::parse(hosts, services);
        assert_eq!(names.address("web1"), Some([10, 1, 2, 3].into()));
        assert_eq!(names.address("six.example"), None);
        assert_eq!(
            names.host("10.1.2.3".parse().unwrap()).unwrap(),
            "web1.example"
        );
        assert_eq!(
            names.host("fd00:2::1".parse().unwrap()).unwrap(),
            "six.example"
        );
        assert_eq!(names.port("www", Transport::Tcp), Some(80));
        assert_eq!(names.port("http", Transport::Udp), None);
        assert_eq!(names.service(80, Transport::Tcp).unwrap(), "http");
        assert_eq!(names.service(5672, Transport::Sctp).unwrap(), "amqp");
    }

    #[test]
    fn the_system_knows_its_loopback() {
        let names = SystemNames::new();
        assert_eq!(names.address("localhost"), Some(Ipv4Addr::LOCALHOST));
        assert_eq!(names.host("192.0.2.77".parse().unwrap()), None);
    }
}
