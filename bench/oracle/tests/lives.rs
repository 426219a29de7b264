//! What decides which server a client gets and how long that holds, beside the scheduler: templates, thresholds,
//! marks, one-packet scheduling, persistence engines, the defences and the tunables. Commands go in as words, packets as
//! frames, and listings come out. What is expected was seen in kernel 6.1.192, or is stated in IPVS-DIFFERENCES.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

use pvs_oracle::frames::{self, from_client};
use pvs_oracle::replay::{Lab, Ledger};
use pvs_oracle::scenario::at;
use pvs_oracle::{Side, frames::server_mac};
use pvs_proto::MacAddr;
use pvs_proto::wire::tcp::{ACK, FIN, RST, SYN};

/// A laboratory that is told what to do in lines.
struct Table {
    lab: Lab,
    now_ms: u64,
}

/// Where a packet went.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Went {
    Server(u8),
    Client,
    Linux,
    Lost(&'static str),
}
use Went::{Client, Linux, Lost, Server};

impl Table {
    fn new(lines: &[&str]) -> Self {
        let mut table = Self {
            lab: Lab::new().unwrap(),
            now_ms: 0,
        };
        for line in lines {
            table.run(line);
        }
        table
    }

    fn said(&mut self, line: &str) -> (i64, String) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let said = match words[0].starts_with('-') {
            true => self.lab.run(&words).unwrap(),
            false => self.lab.pvsadm(&words).unwrap(),
        };
        (said.rc, said.stdout + &said.stderr)
    }

    fn run(&mut self, line: &str) -> String {
        let (rc, text) = self.said(line);
        assert_eq!(rc, 0, "{line}: {text}");
        text
    }

    fn sleep(&mut self, ms: u64) {
        self.now_ms += ms;
        self.lab.until(self.now_ms);
    }

    fn send(&mut self, packet: &[u8]) -> Went {
        let frame = from_client(packet);
        let sent = self
            .lab
            .send_frame(Side::Client, &frame, &mut Ledger::default());
        let sent = sent.unwrap();
        if let Some(lost) = sent.lost.first() {
            return Lost(lost);
        }
        if !sent.punted.is_empty() {
            return Linux;
        }
        let left = sent.left.first().expect("it went somewhere");
        if left.side == Side::Client {
            return Client;
        }
        let mac = MacAddr(left.frame[..6].try_into().unwrap());
        Server(
            (1..=16)
                .find(|n| server_mac(*n) == mac)
                .expect("a server's"),
        )
    }

    fn tcp(&mut self, from: &str, to: &str, signal: u8) -> Went {
        self.send(&frames::tcp(at(from), at(to), signal, b""))
    }

    fn udp(&mut self, from: &str, to: &str, payload: &[u8]) -> Went {
        self.send(&frames::udp(at(from), at(to), payload))
    }

    /// The connections: protocol, time left, state, client, virtual address and server, sorted.
    fn connections(&mut self) -> Vec<String> {
        let text = self.run("-Lnc");
        let line = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut all: Vec<String> = text.lines().skip(2).map(line).collect();
        all.sort();
        all
    }

    /// Persistent, active and inactive connections of each server.
    fn counts(&mut self) -> Vec<[String; 3]> {
        let text = self.run("-Ln --persistent-conn");
        let servers = text.lines().skip(3).filter(|line| line.contains("->"));
        servers
            .map(|line| {
                let words: Vec<&str> = line.split_whitespace().rev().take(3).collect();
                [2, 1, 0].map(|n| words[n].to_owned())
            })
            .collect()
    }
}

const VIP: &str = "10.0.0.100:80";

fn two_servers(service: &str) -> Table {
    Table::new(&[
        &format!("-A -t 10.0.0.100:80 -s rr {service}"),
        "-a -t 10.0.0.100:80 -r 192.168.1.1:80 -m",
        "-a -t 10.0.0.100:80 -r 192.168.1.2:80 -m",
    ])
}

#[test]
fn a_template_lives_as_long_as_its_connections_do() {
    let mut t = two_servers("-p 4");
    assert_eq!(t.tcp("10.9.0.1:4001", VIP, SYN), Server(2));
    let connection = "TCP 01:00 SYN_RECV 10.9.0.1:4001 10.0.0.100:80 192.168.1.2:80";
    let template = "TCP 00:04 NONE 10.9.0.1:0 10.0.0.100:80 192.168.1.2:80";
    assert_eq!(t.connections(), [template, connection]);
    assert_eq!(t.counts()[1], ["1", "1", "0"]);
    assert_eq!(t.tcp("10.9.0.1:4001", VIP, ACK), Server(2));
    t.sleep(5000);
    // Due after four seconds, it goes on for a minute from then.
    assert_eq!(
        t.connections(),
        [
            "TCP 00:59 ASSURED 10.9.0.1:0 10.0.0.100:80 192.168.1.2:80",
            "TCP 14:55 ESTABLISHED 10.9.0.1:4001 10.0.0.100:80 192.168.1.2:80",
        ]
    );
    assert_eq!(t.tcp("10.9.0.1:4001", VIP, RST), Server(2));
    // Its last connection ends ten seconds later, and it at the end of its minute.
    t.sleep(58_000);
    assert_eq!(t.connections().len(), 1);
    assert_eq!(t.tcp("10.9.0.1:4002", VIP, SYN), Server(2), "remembered");
    t.sleep(130_000);
    assert!(t.connections().is_empty());
    assert_eq!(t.counts(), [["0", "0", "0"], ["0", "0", "0"]]);
    assert_eq!(t.tcp("10.9.0.1:4003", VIP, SYN), Server(1), "forgotten");
}

#[test]
fn weight_0_ends_a_template_only_if_that_is_asked_for() {
    let mut t = two_servers("-p 4");
    assert_eq!(t.tcp("10.9.0.1:4001", VIP, SYN), Server(2));
    t.run("-e -t 10.0.0.100:80 -r 192.168.1.2:80 -m -w 0");
    assert_eq!(t.tcp("10.9.0.1:4002", VIP, SYN), Server(2));
    t.run("sysctl expire_quiescent_template=1");
    assert_eq!(t.tcp("10.9.0.1:4003", VIP, SYN), Server(1));
    let templates: Vec<String> = t
        .connections()
        .into_iter()
        .filter(|c| c.contains(":0 "))
        .collect();
    assert_eq!(
        templates,
        [
            "TCP 00:04 NONE 10.9.0.1:0 10.0.0.100:65535 192.168.1.2:65535",
            "TCP 00:04 NONE 10.9.0.1:0 10.0.0.100:80 192.168.1.1:80",
        ]
    );
    assert_eq!(
        t.tcp("10.9.0.1:4004", VIP, SYN),
        Server(1),
        "the new one holds"
    );
}

#[test]
fn a_removed_server_s_templates_are_not_used_and_one_that_is_back_has_them_again() {
    let mut t = Table::new(&[
        "-A -t 10.0.0.100:80 -s rr -p 100",
        "-a -t 10.0.0.100:80 -r 192.168.1.1:80 -m",
    ]);
    for client in ["10.9.0.1:4001", "10.9.0.2:4001"] {
        assert_eq!(t.tcp(client, VIP, SYN), Server(1));
    }
    t.run("-d -t 10.0.0.100:80 -r 192.168.1.1:80");
    t.run("-a -t 10.0.0.100:80 -r 192.168.1.2:80 -m");
    assert_eq!(
        t.tcp("10.9.0.1:4002", VIP, SYN),
        Server(2),
        "another one for who asks meanwhile"
    );
    t.run("-a -t 10.0.0.100:80 -r 192.168.1.1:80 -m");
    assert_eq!(t.tcp("10.9.0.1:4003", VIP, SYN), Server(2));
    assert_eq!(t.tcp("10.9.0.2:4002", VIP, SYN), Server(1));
    assert_eq!(t.counts(), [["2", "3", "0"], ["1", "2", "0"]]);
    // A template is of addresses, not of a service: it outlives the service too.
    t.run("-D -t 10.0.0.100:80");
    t.run("-A -t 10.0.0.100:80 -s rr -p 50");
    t.run("-a -t 10.0.0.100:80 -r 192.168.1.1:80 -m");
    assert_eq!(t.tcp("10.9.0.2:4003", VIP, SYN), Server(1));
}

#[test]
fn clients_of_a_network_and_ports_of_a_mark_are_one() {
    let mut t = two_servers("-p 300 -M 255.255.255.0");
    for (client, server) in [
        ("10.9.1.1:4000", 2),
        ("10.9.1.200:4001", 2),
        ("10.9.2.1:4000", 1),
        ("10.9.1.7:4000", 2),
    ] {
        assert_eq!(t.tcp(client, VIP, SYN), Server(server), "{client}");
    }
    let mut t = Table::new(&[
        "mark add --protocol tcp --destination 10.0.0.100 --destination-ports 80,443 --set 5",
        "-A -f 5 -s rr -p 300",
        "-a -f 5 -r 192.168.1.1 -g",
        "-a -f 5 -r 192.168.1.2 -g",
    ]);
    assert_eq!(t.tcp("10.9.0.1:4000", "10.0.0.100:443", SYN), Server(2));
    assert_eq!(t.tcp("10.9.0.1:4001", "10.0.0.100:80", SYN), Server(2));
    assert_eq!(t.tcp("10.9.0.2:4001", "10.0.0.100:80", SYN), Server(1));
    assert_eq!(t.tcp("10.9.0.1:4002", "10.0.0.100:22", SYN), Linux);
    assert_eq!(t.udp("10.9.0.1:4002", "10.0.0.100:80", b""), Linux);
    assert!(
        t.connections()
            .contains(&"IP 05:00 NONE 10.9.0.1:0 0.0.0.5:0 192.168.1.2:0".to_owned()),
        "{:?}",
        t.connections()
    );
}

#[test]
fn a_mark_s_service_comes_before_an_address_s() {
    let mut t = Table::new(&[
        "-A -t 10.0.0.100:80 -s rr",
        "-a -t 10.0.0.100:80 -r 192.168.1.1:80 -m",
        "-A -f 1 -s rr",
        "-a -f 1 -r 192.168.1.2:8080 -m",
        "mark add --source 10.9.1.0/24 --set 1",
        "mark add --interface r1 --set 0",
    ]);
    assert_eq!(t.tcp("10.9.1.1:4000", VIP, SYN), Server(2));
    assert_eq!(t.tcp("10.9.2.1:4000", VIP, SYN), Server(1));
    assert_eq!(t.tcp("10.9.1.1:4001", "10.0.0.100:81", SYN), Server(2));
    t.run("mark add --at 2 --interface c1 --set 0/1");
    assert_eq!(
        t.tcp("10.9.1.1:4002", VIP, SYN),
        Server(1),
        "the last one that matches"
    );
    assert_eq!(
        t.run("mark"),
        "   1  --source 10.9.1.0/24 --set 1\n   2  --interface c1 --set 0x0/0x1\n   3  --interface r1 --set 0\n"
    );
    t.run("mark delete 2");
    t.run("mark delete --interface r1 --set 0");
    let (rc, said) = t.said("mark delete 2");
    assert_eq!(
        (rc, said.as_str()),
        (255, "there is no mark rule 2: there are 1\n")
    );
    assert_eq!(t.run("mark save"), "add --source 10.9.1.0/24 --set 1\n");
    t.run("mark flush");
    assert_eq!(t.tcp("10.9.1.1:4003", VIP, SYN), Server(1));
    assert!(!t.run("-S -n").contains("mark"), "not in -S");
}

#[test]
fn what_is_blocked_is_dropped_whatever_it_belongs_to() {
    let mut t = two_servers("");
    assert_eq!(t.tcp("10.9.0.1:4000", VIP, SYN), Server(2));
    t.run("mark add --source 10.9.0.0/24 --protocol tcp --drop");
    assert_eq!(t.tcp("10.9.0.1:4000", VIP, ACK), Lost("mark_rule"));
    assert_eq!(t.tcp("10.9.0.1:4001", VIP, SYN), Lost("mark_rule"));
    assert_eq!(
        t.tcp("10.9.0.1:4001", "10.0.0.100:22", SYN),
        Lost("mark_rule"),
        "Linux's too"
    );
    assert_eq!(t.tcp("10.9.1.1:4001", VIP, SYN), Server(1));
    t.run("mark add --at 1 --source 10.9.0.1 --accept");
    assert_eq!(t.tcp("10.9.0.1:4000", VIP, ACK), Server(2));
    assert_eq!(t.tcp("10.9.0.2:4000", VIP, SYN), Lost("mark_rule"));
}

#[test]
fn a_server_at_its_threshold_takes_no_more_until_it_is_below_the_lower_one() {
    let mut t = Table::new(&[
        "--set 0 0 3",
        "-A -u 10.0.0.100:53 -s rr",
        "-a -u 10.0.0.100:53 -r 192.168.1.1:53 -m -x 4 -y 2",
    ]);
    let mut port = 4000;
    let mut ask = |t: &mut Table| {
        port += 1;
        t.udp(&format!("10.9.0.1:{port}"), "10.0.0.100:53", b"x")
    };
    assert_eq!([0; 2].map(|_| ask(&mut t)), [Server(1), Server(1)]);
    t.sleep(1500);
    assert_eq!([0; 3].map(|_| ask(&mut t)), [Server(1), Server(1), Client]);
    t.sleep(1800);
    assert_eq!(ask(&mut t), Client, "two are left, which is not below two");
    t.sleep(1500);
    assert_eq!(ask(&mut t), Server(1));
    // An edit is judged at once.
    t.run("-e -u 10.0.0.100:53 -r 192.168.1.1:53 -m -x 1");
    assert_eq!(ask(&mut t), Client);
    t.run("-e -u 10.0.0.100:53 -r 192.168.1.1:53 -m -x 10");
    t.run("-e -u 10.0.0.100:53 -r 192.168.1.1:53 -m -x 2");
    assert_eq!([0; 2].map(|_| ask(&mut t)), [Server(1), Client]);
    // Removed and added again it is judged too.
    t.run("-d -u 10.0.0.100:53 -r 192.168.1.1:53");
    t.run("-a -u 10.0.0.100:53 -r 192.168.1.1:53 -m -x 2");
    assert_eq!(ask(&mut t), Client);
    t.run("-e -u 10.0.0.100:53 -r 192.168.1.1:53 -m");
    assert_eq!(ask(&mut t), Server(1));
}

#[test]
fn a_one_packet_service_leaves_no_connection_and_counts_each() {
    let mut t = Table::new(&[
        "-A -u 10.0.0.100:53 -s rr -o",
        "-a -u 10.0.0.100:53 -r 192.168.1.1:53 -m -x 1",
        "-a -u 10.0.0.100:53 -r 192.168.1.2:53 -g",
    ]);
    let ask = |t: &mut Table| t.udp("10.9.0.1:4000", "10.0.0.100:53", b"x");
    assert_eq!(
        [0; 4].map(|_| ask(&mut t)),
        [Server(2), Server(1), Server(2), Server(1)]
    );
    assert!(t.connections().is_empty());
    let stats = t.run("-Ln --stats");
    let service = stats.lines().nth(3).unwrap().split_whitespace().skip(2);
    assert_eq!(service.collect::<Vec<_>>(), ["4", "4", "0", "116", "0"]);
    assert_eq!(t.counts(), [["0", "0", "0"], ["0", "0", "0"]]);
}

#[test]
fn a_call_has_one_server_whoever_speaks() {
    let mut t = Table::new(&[
        "-A -u 10.0.0.100:5060 -s rr -p 60 --pe sip",
        "-a -u 10.0.0.100:5060 -r 192.168.1.1:5060 -m",
        "-a -u 10.0.0.100:5060 -r 192.168.1.2:5060 -m",
    ]);
    let message = |call: &str| format!("INVITE sip:b@c SIP/2.0\r\nCall-ID: {call}\r\n\r\n");
    let mut say = |from: &str, call: &str| t.udp(from, "10.0.0.100:5060", message(call).as_bytes());
    assert_eq!(say("10.9.0.1:4001", "one@here"), Server(2));
    assert_eq!(
        say("10.9.0.2:4001", "one@here"),
        Server(2),
        "another speaker"
    );
    assert_eq!(say("10.9.0.1:4002", "two@here"), Server(1), "another call");
    assert_eq!(say("10.9.0.3:4001", ""), Lost("no_call"));
    let text = t.run("-Lnc --persistent-conn");
    let heading = "pro expire state       source             virtual            destination        pe name          pe_data\n";
    assert!(text.contains(heading), "{text}");
    let call =
        "10.9.0.1:0         10.0.0.100:5060    192.168.1.2:5060   sip              one@here\n";
    assert!(text.contains(call), "{text}");
    assert_eq!(t.run("-Lnc").matches("sip").count(), 0);
}

#[test]
fn a_service_of_ftp_takes_its_data_connections_if_it_is_persistent() {
    let servers = [
        "-a -t 10.0.0.100:21 -r 192.168.1.1:21 -g",
        "-a -t 10.0.0.100:21 -r 192.168.1.2:21 -g",
    ];
    let mut t = Table::new(&[&["-A -t 10.0.0.100:21 -s rr -p 60"], &servers[..]].concat());
    assert_eq!(t.tcp("10.9.0.1:4000", "10.0.0.100:21", SYN), Server(2));
    assert_eq!(t.tcp("10.9.0.1:4001", "10.0.0.100:20", SYN), Server(2));
    assert_eq!(t.tcp("10.9.0.1:4002", "10.0.0.100:50000", SYN), Server(2));
    assert_eq!(t.tcp("10.9.0.1:4003", "10.0.0.100:80", SYN), Linux);
    assert_eq!(
        t.tcp("10.9.0.1:20", "10.0.0.100:21", SYN),
        Linux,
        "active FTP's data"
    );
    let mut t = Table::new(&[&["-A -t 10.0.0.100:21 -s rr"], &servers[..]].concat());
    assert_eq!(t.tcp("10.9.0.1:4000", "10.0.0.100:21", SYN), Server(2));
    assert_eq!(t.tcp("10.9.0.1:4001", "10.0.0.100:50000", SYN), Linux);
}

#[test]
fn port_0_takes_what_no_other_service_does() {
    let mut t = Table::new(&[
        "-A -t 10.0.0.100:0 -s rr -p 60",
        "-a -t 10.0.0.100:0 -r 192.168.1.1:0 -g",
        "-A -t 10.0.0.100:80 -s rr",
        "-a -t 10.0.0.100:80 -r 192.168.1.2:80 -g",
    ]);
    assert_eq!(t.tcp("10.9.0.1:4000", VIP, SYN), Server(2));
    assert_eq!(t.tcp("10.9.0.1:4000", "10.0.0.100:443", SYN), Server(1));
    assert!(
        t.connections()
            .contains(&"TCP 01:00 NONE 10.9.0.1:0 10.0.0.100:0 192.168.1.1:0".to_owned())
    );
    assert_eq!(t.udp("10.9.0.1:4000", "10.0.0.100:443", b""), Linux);
}

#[test]
fn only_a_lone_syn_begins_a_connection_unless_the_kernel_s_way_is_asked_for() {
    for (tunables, synack, synfin, ack) in [
        (&[][..], Linux, Linux, Linux),
        (&["sysctl strict_compat=1"][..], Server(1), Server(2), Linux),
        (
            &["sysctl sloppy_tcp=1"][..],
            Server(1),
            Server(2),
            Server(1),
        ),
    ] {
        let mut t = two_servers("");
        assert_eq!(t.tcp("10.9.0.1:4000", VIP, SYN), Server(2));
        for line in tunables {
            t.run(line);
        }
        assert_eq!(
            t.tcp("10.9.0.1:4001", VIP, SYN | ACK),
            synack,
            "{tunables:?}"
        );
        assert_eq!(
            t.tcp("10.9.0.1:4002", VIP, SYN | FIN),
            synfin,
            "{tunables:?}"
        );
        assert_eq!(t.tcp("10.9.0.1:4003", VIP, ACK), ack, "{tunables:?}");
        assert_eq!(t.tcp("10.9.0.1:4004", VIP, RST), Linux, "{tunables:?}");
    }
}

#[test]
fn a_segment_without_flags_changes_nothing_unless_the_kernel_s_way_is_asked_for() {
    let mut t = two_servers("");
    let state = |t: &mut Table, signal| {
        assert_eq!(t.tcp("10.9.0.1:4000", VIP, signal), Server(2));
        t.connections()[0].split(' ').nth(2).unwrap().to_owned()
    };
    assert_eq!(state(&mut t, SYN), "SYN_RECV");
    assert_eq!(state(&mut t, 0), "SYN_RECV");
    assert_eq!(state(&mut t, ACK), "ESTABLISHED");
    t.run("sysctl strict_compat=1");
    assert_eq!(state(&mut t, 0), "CLOSE");
}

#[test]
fn a_server_that_is_its_own_client_is_dropped_unless_the_kernel_s_way_is_asked_for() {
    let mut t = Table::new(&[
        "-A -t 10.0.0.100:80 -s rr",
        "-a -t 10.0.0.100:80 -r 192.168.1.1:80 -m",
    ]);
    assert_eq!(t.tcp("192.168.1.1:4000", VIP, SYN), Lost("hairpin"));
    assert_eq!(t.tcp("192.168.1.2:4000", VIP, SYN), Server(1));
    assert_eq!(t.counts(), [["0", "1", "0"]]);
    t.run("sysctl strict_compat=1");
    assert_eq!(t.tcp("192.168.1.1:4000", VIP, SYN), Server(1));
}

#[test]
fn the_defences_drop_one_packet_of_ten_and_embryonic_entries() {
    let mut t = two_servers("");
    assert_eq!(t.tcp("10.9.0.1:3999", VIP, SYN), Server(2));
    assert_eq!(t.tcp("10.9.0.1:3999", VIP, ACK), Server(2));
    t.run("sysctl drop_packet=3");
    let mut lost = Vec::new();
    for n in 0..25u16 {
        if t.tcp(&format!("10.9.0.1:{}", 4000 + n), VIP, SYN) == Lost("defence") {
            lost.push(n);
        }
    }
    assert_eq!(lost, [0, 10, 20]);
    assert_eq!(
        t.tcp("10.9.0.1:3999", VIP, ACK),
        Server(2),
        "connections are spared"
    );
    t.run("sysctl drop_packet=0 drop_entry=3");
    assert_eq!(t.connections().len(), 23);
    for _ in 0..34 {
        t.sleep(1000);
    }
    assert_eq!(t.connections().len(), 1, "{:?}", t.connections());
    assert_eq!(t.counts(), [["0", "0", "0"], ["0", "1", "0"]]);
}

#[test]
fn a_connection_of_a_server_that_has_gone_or_takes_no_more_begins_anew_if_that_is_asked_for() {
    let mut t = two_servers("");
    for port in [4000, 4001] {
        assert_ne!(t.tcp(&format!("10.9.0.1:{port}"), VIP, SYN), Linux);
        assert_ne!(t.tcp(&format!("10.9.0.1:{port}"), VIP, ACK), Linux);
    }
    t.run("-e -t 10.0.0.100:80 -r 192.168.1.2:80 -m -w 0");
    assert_eq!(t.tcp("10.9.0.1:4000", VIP, SYN), Server(2));
    t.run("sysctl expire_nodest_conn=1");
    assert_eq!(t.tcp("10.9.0.1:4000", VIP, SYN), Server(1));
    t.run("-d -t 10.0.0.100:80 -r 192.168.1.1:80");
    t.run("-e -t 10.0.0.100:80 -r 192.168.1.2:80 -m -w 1");
    assert_eq!(
        t.tcp("10.9.0.1:4001", VIP, ACK),
        Linux,
        "no first packet: Linux resets it"
    );
    assert_eq!(t.tcp("10.9.0.1:4000", VIP, SYN), Server(2));
    assert_eq!(t.connections().len(), 1);
}

#[test]
fn what_a_removed_server_had_goes_with_it_if_that_is_asked_for() {
    let mut t = two_servers("-p 60");
    for (client, server) in [
        ("10.9.0.1:4000", 2),
        ("10.9.0.2:4000", 1),
        ("10.9.0.1:4001", 2),
    ] {
        assert_eq!(t.tcp(client, VIP, SYN), Server(server));
        assert_eq!(t.tcp(client, VIP, ACK), Server(server));
    }
    t.run("-d -t 10.0.0.100:80 -r 192.168.1.1:80");
    t.sleep(10);
    assert_eq!(t.connections().len(), 5, "not asked for");
    t.run("sysctl expire_nodest_conn=1");
    t.run("-d -t 10.0.0.100:80 -r 192.168.1.2:80");
    t.sleep(10);
    assert!(t.connections().is_empty(), "{:?}", t.connections());
}

#[test]
fn a_connection_that_begins_anew_counts_twice_while_its_server_is_picked() {
    let mut t = two_servers("");
    t.run("-E -t 10.0.0.100:80 -s lc");
    for signal in [SYN, ACK, RST] {
        assert_eq!(t.tcp("10.9.0.1:4000", VIP, signal), Server(2));
    }
    assert_eq!(
        t.tcp("10.9.0.1:4000", VIP, SYN),
        Server(1),
        "the old one is in its way"
    );
    assert_eq!(t.counts(), [["0", "1", "0"], ["0", "0", "0"]]);
    t.run("-d -t 10.0.0.100:80 -r 192.168.1.2:80");
    assert_eq!(
        t.tcp("10.9.0.1:4000", VIP, RST),
        Server(1),
        "in SYN_RECV a RST changes nothing"
    );
    for signal in [ACK, RST] {
        assert_eq!(t.tcp("10.9.0.1:4000", VIP, signal), Server(1));
    }
    t.run("-e -t 10.0.0.100:80 -r 192.168.1.1:80 -m -x 1");
    assert_eq!(
        t.tcp("10.9.0.1:4000", VIP, SYN),
        Client,
        "refused: its server is full of it"
    );
    assert!(t.connections().is_empty());
    assert_eq!(t.tcp("10.9.0.1:4000", VIP, SYN), Server(1));
}

#[test]
fn a_tunable_is_shown_as_it_was_set_and_a_wrong_one_sets_none() {
    let mut t = Table::new(&[]);
    assert_eq!(
        t.run("sysctl net.ipv4.vs.sloppy_tcp=1 net/ipv4/vs/drop_entry=3"),
        "sloppy_tcp = 1\ndrop_entry = 3\n"
    );
    let (rc, said) = t.said("sysctl sloppy_tcp=0 secure_tcp=4");
    assert_eq!(
        (rc, said.as_str()),
        (1, "secure_tcp=4: 0 to 3 are possible\n")
    );
    assert_eq!(t.run("sysctl sloppy_tcp"), "sloppy_tcp = 1\n");
    let (rc, said) = t.said("sysctl no_such");
    assert!(
        rc == 1 && said.starts_with("no_such: no such tunable"),
        "{said}"
    );
    assert!(t.run("sysctl").contains("conn_reuse_mode = 1\n"));
}

#[test]
fn an_explanation_names_the_next_pick_and_changes_nothing() {
    let mut t = two_servers("");
    t.run("-a -t 10.0.0.100:80 -r 192.168.1.3:80 -m -w 0");
    let ask = "explain -t 10.0.0.100:80 --from 10.9.0.1:4000";
    let expected = "\
packet      TCP 10.9.0.1:4000 -> 10.0.0.100:80
service     TCP 10.0.0.100:80 rr; its address is local
connection  none
server      192.168.1.2:80: the scheduler would pick it now
worker      whoever receives it

Server          Forward  Weight  Active  InActive  Why not
192.168.1.3:80  Masq          0       0         0  its weight is 0
192.168.1.2:80  Masq          1       0         0  it is the one
192.168.1.1:80  Masq          1       0         0  it is another one's turn
";
    assert_eq!(t.run(ask), expected);
    assert_eq!(t.run(ask), expected, "again");
    for server in [2, 1, 2] {
        let picks = format!("192.168.1.{server}:80: the scheduler would pick it now");
        assert!(t.run(ask).contains(&picks));
        let from = format!("10.9.0.{server}:{}", 5000 + t.connections().len());
        assert_eq!(t.tcp(&from, VIP, SYN), Server(server));
    }
    t.run("mark add --source 10.9.0.1 --drop");
    assert!(t.run(ask).contains("a mark rule drops it"));
    t.run("mark flush");
    let elsewhere = t.run("explain -t 10.0.0.100:81 --from 10.9.0.1:4000");
    assert!(
        elsewhere.contains("none takes it: it is Linux's"),
        "{elsewhere}"
    );
    let elsewhere = t.run("explain -u 10.1.1.1:81 --from 10.9.0.1:4000");
    assert!(
        elsewhere.contains("its destination is not local"),
        "{elsewhere}"
    );
}

#[test]
fn an_explanation_knows_templates_and_thresholds() {
    let mut t = two_servers("-p 100");
    assert_eq!(t.tcp("10.9.0.1:4000", VIP, SYN), Server(2));
    let told = t.run("explain -t 10.0.0.100:80 --from 10.9.0.1:4001");
    for line in [
        "template    NONE with 192.168.1.2:80, expires in 100 s\n",
        "server      192.168.1.2:80: the client's template has it\n",
        "  the client is another one's\n",
    ] {
        assert!(told.contains(line), "{told}");
    }
    t.run("-e -t 10.0.0.100:80 -r 192.168.1.2:80 -m -x 1");
    let told = t.run("explain -t 10.0.0.100:80 --from 10.9.0.2:4001");
    assert!(told.contains("it is at its upper threshold"), "{told}");
    t.run("-e -t 10.0.0.100:80 -r 192.168.1.1:80 -m -w 0");
    let told = t.run("explain -t 10.0.0.100:80 --from 10.9.0.2:4001");
    assert!(told.contains("none may take it"), "{told}");
    let json = t.run("explain -t 10.0.0.100:80 --from 10.9.0.1:4001 --json");
    assert!(json.contains("\"because\":\"template\""), "{json}");
}
