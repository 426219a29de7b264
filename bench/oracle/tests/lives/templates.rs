//! Persistence: whom a service takes for one client, and for how long; a network, the ports of a
//! mark, a call, FTP, port 0.

use super::table::Went::{Linux, Server};
use super::table::{Table, VIP, two_servers};
use pvs_proto::wire::tcp::{ACK, RST, SYN};

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
