//! The text of `/proc/net/ip_vs`, `ip_vs_conn` and `ip_vs_stats`, as the kernel formats it
//! (`ip_vs_ctl.c`, `ip_vs_conn.c`): for programs that read these files.

use super::services::protocol_name;
use crate::reply::{ConnectionView, Figures, ServerView, ServiceView};
use pvs_sched::config::{AddressFamily, ServiceConfig, ServiceFlags, ServiceKey};
use std::fmt::Write;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// A file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcFile {
    /// `ip_vs`: services and servers.
    Services,
    /// `ip_vs_conn`: connections.
    Connections,
    /// `ip_vs_stats`: what all services have counted.
    Totals,
}

/// The kernel shows the timeout of persistence in its ticks: Debian's has 250 a second.
const JIFFIES_PER_SEC: u64 = 250;

/// `ip_vs`.
pub(crate) fn services(views: &[ServiceView], table_size: u64) -> String {
    let mut text = format!(
        "IP Virtual Server version 1.2.1 (size={table_size})\n\
         Prot LocalAddress:Port Scheduler Flags\n  \
         -> RemoteAddress:Port Forward Weight ActiveConn InActConn\n"
    );
    for view in views {
        text.push_str(&service(&view.config));
        text.extend(view.servers.iter().map(server));
    }
    text
}

fn service(config: &ServiceConfig) -> String {
    let scheduler = config.scheduler.as_str();
    let ops = match config.flags.has(ServiceFlags::ONE_PACKET) {
        true => "ops ",
        false => "",
    };
    let mut text = match config.key {
        ServiceKey::Address {
            protocol,
            address,
            port,
        } => {
            let protocol = protocol_name(protocol);
            let place = place(address, port);
            match address {
                IpAddr::V4(_) => format!("{protocol}  {place} {scheduler} {ops} "),
                // Whether each packet is scheduled is not told.
                IpAddr::V6(_) => format!("{protocol}  {place} {scheduler} "),
            }
        }
        ServiceKey::Mark { mark, .. } => format!("FWM  {mark:08X} {scheduler} {ops}"),
    };
    // Writing to a string cannot fail, here and below.
    let _ = match config.persistence {
        Some(persistence) => {
            let mask = match config.key.family() {
                AddressFamily::Ipv4 => persistence.netmask,
                // A length, of which the kernel turns the bytes round like a mask's.
                AddressFamily::Ipv6 => persistence.netmask.swap_bytes(),
            };
            let timeout = u64::from(persistence.timeout_secs) * JIFFIES_PER_SEC;
            writeln!(text, "persistent {timeout} {mask:08X}")
        }
        None => writeln!(text),
    };
    text
}

fn server(view: &ServerView) -> String {
    let config = &view.config;
    format!(
        "  -> {}      {:<7} {:<6} {:<10} {:<10}\n",
        place(config.key.address, config.key.port),
        config.method.label(),
        config.weight,
        view.active,
        view.inactive
    )
}

fn place(address: IpAddr, port: u16) -> String {
    match address {
        IpAddr::V4(a) => format!("{:08X}:{port:04X}", a.to_bits()),
        IpAddr::V6(a) => format!("[{}]:{port:04X}", whole(a)),
    }
}

/// An IPv6 address with all its digits (`%pI6`).
fn whole(address: Ipv6Addr) -> String {
    address
        .segments()
        .map(|part| format!("{part:04x}"))
        .join(":")
}

/// The line above connections.
pub(crate) const CONNECTIONS: &str =
    "Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData\n";

/// A line of `ip_vs_conn`.
pub(crate) fn connection(view: &ConnectionView) -> String {
    let end = |end: SocketAddr| match end.ip() {
        IpAddr::V4(a) => format!("{:08X} {:04X}", a.to_bits(), end.port()),
        IpAddr::V6(a) => format!("{} {:04X}", whole(a), end.port()),
    };
    let ConnectionView {
        protocol,
        state,
        expires_secs,
        ..
    } = view;
    let engine = match &view.engine {
        Some((name, data)) => format!(" {name} {data}"),
        None => String::new(),
    };
    format!(
        "{protocol:<3} {} {} {} {state:<11} {expires_secs:>7}{engine}\n",
        end(view.client),
        end(view.virtual_),
        end(view.server)
    )
}

/// `ip_vs_stats`.
pub(crate) fn totals(stats: &Figures, rates: &Figures) -> String {
    let five = |figures: &Figures| {
        let Figures {
            connections,
            in_packets,
            out_packets,
            in_bytes,
            out_bytes,
        } = figures;
        format!(
            "{connections:>8X} {in_packets:>8X} {out_packets:>8X} {in_bytes:>16X} {out_bytes:>16X}\n"
        )
    };
    format!(
        "   Total Incoming Outgoing         Incoming         Outgoing\n   \
         Conns  Packets  Packets            Bytes            Bytes\n{}\n \
         Conns/s   Pkts/s   Pkts/s          Bytes/s          Bytes/s\n{}",
        five(stats),
        five(rates)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{FileNames, Plan, plan};
    use crate::command::Command;
    use crate::plane::NoPlane;
    use crate::reply::Outcome;
    use crate::store::{Capabilities, Store};
    use pvs_sched::config::Method;

    /// What Linux 6.1.192 printed after these commands, each service alone.
    const PRINTED: &[(&[&str], &str)] = &[
        (
            &[
                "-A -t 10.0.0.100:80 -s wrr -p 120",
                "-a -t 10.0.0.100:80 -r 10.0.1.1:80 -g -w 3",
                "-a -t 10.0.0.100:80 -r 10.0.1.2:8080 -m -w 2147483647",
            ],
            "TCP  0A000064:0050 wrr  persistent 30000 FFFFFFFF
  -> 0A000102:1F90      Masq    2147483647 0          0         \n  \
             -> 0A000101:0050      Route   3      0          0         \n",
        ),
        (
            &[
                "-A -u 10.0.0.100:53 -s rr -o",
                "-a -u 10.0.0.100:53 -r 10.0.1.1:53 -m",
            ],
            "UDP  0A000064:0035 rr ops  \n  -> 0A000101:0035      Masq    1      0          0         \n",
        ),
        (
            &[
                "-A -t [fd00::100]:443 -s lc -p 1 -M 1",
                "-a -t [fd00::100]:443 -r [2001:db8:1111:2222:3333:4444:5555:6666]:10443 -m -w 0",
            ],
            "TCP  [fd00:0000:0000:0000:0000:0000:0000:0100]:01BB lc persistent 250 01000000
  -> [2001:0db8:1111:2222:3333:4444:5555:6666]:28CB      Masq    0      0          0         \n",
        ),
        (
            &[
                "-A -t [fd00:2::1]:80",
                "-a -t [fd00:2::1]:80 -r 10.1.2.3 -i",
            ],
            "TCP  [fd00:0002:0000:0000:0000:0000:0000:0001]:0050 wlc \n  \
             -> 0A010203:0050      Tunnel  1      0          0         \n",
        ),
        (
            &["-A --sctp-service 10.0.0.100:3868 -s nq"],
            "SCTP  0A000064:0F1C nq  \n",
        ),
        (&["-A -f 4294967295 -s dh"], "FWM  FFFFFFFF dh \n"),
        (
            &["-A -f 3 -6 -s mh -p 77 -M 64"],
            "FWM  00000003 mh persistent 19250 40000000\n",
        ),
    ];

    fn command(line: &str) -> Command {
        let argv: Vec<String> = ["ipvsadm"]
            .into_iter()
            .chain(line.split(' '))
            .map(str::to_owned)
            .collect();
        match plan(&argv, &FileNames::default()) {
            Ok(Plan::Ask { command, .. }) => command,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn services_are_formatted_as_by_the_kernel() {
        for (lines, printed) in PRINTED {
            let mut store = Store::new(Capabilities::ALL);
            for line in *lines {
                assert_eq!(
                    store.apply(&command(line), &NoPlane),
                    Ok(Outcome::Done),
                    "{line}"
                );
            }
            let Ok(Outcome::Services {
                services: views, ..
            }) = store.apply(&Command::ListServices, &NoPlane)
            else {
                panic!()
            };
            let text = services(&views, 4096);
            let heading = "IP Virtual Server version 1.2.1 (size=4096)\n\
                Prot LocalAddress:Port Scheduler Flags\n  \
                -> RemoteAddress:Port Forward Weight ActiveConn InActConn\n";
            assert_eq!(text, format!("{heading}{printed}"));
        }
    }

    #[test]
    fn connections_and_totals_are_formatted_as_by_the_kernel() {
        let view = |protocol: &str, state: &str, secs, ends: [&str; 3]| {
            let [client, virtual_, server] = ends.map(|e| e.parse().unwrap());
            connection(&ConnectionView {
                protocol: protocol.to_owned(),
                expires_secs: secs,
                state: state.to_owned(),
                client,
                virtual_,
                server,
                method: Method::Route,
                engine: None,
            })
        };
        assert_eq!(
            view(
                "TCP",
                "SYN_RECV",
                59,
                ["10.0.0.1:4003", "10.0.0.100:80", "10.0.0.12:8080"]
            ),
            "TCP 0A000001 0FA3 0A000064 0050 0A00000C 1F90 SYN_RECV         59\n"
        );
        assert_eq!(
            view("IP", "NONE", 88, ["10.0.0.2:0", "0.0.0.7:0", "10.0.0.13:0"]),
            "IP  0A000002 0000 00000007 0000 0A00000D 0000 NONE             88\n"
        );
        assert_eq!(
            view(
                "UDP",
                "UDP",
                298,
                ["[fd00::1]:4002", "[fd00::100]:53", "[fd00::11]:53"]
            ),
            "UDP fd00:0000:0000:0000:0000:0000:0000:0001 0FA2 \
             fd00:0000:0000:0000:0000:0000:0000:0100 0035 \
             fd00:0000:0000:0000:0000:0000:0000:0011 0035 UDP             298\n"
        );
        let stats = Figures {
            connections: 4,
            in_packets: 347,
            in_bytes: 314_674,
            ..Figures::default()
        };
        let rates = Figures {
            in_packets: 18,
            in_bytes: 16_599,
            ..Figures::default()
        };
        assert_eq!(
            totals(&stats, &rates),
            "   Total Incoming Outgoing         Incoming         Outgoing
   Conns  Packets  Packets            Bytes            Bytes
       4      15B        0            4CD32                0

 Conns/s   Pkts/s   Pkts/s          Bytes/s          Bytes/s
       0       12        0             40D7                0
"
        );
    }
}
