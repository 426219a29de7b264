//! Which packet begins a connection, and which one begins it anew.

use super::table::Went::{Client, Linux, Lost, Server};
use super::table::{Table, VIP, two_servers};
use pvs_proto::wire::tcp::{ACK, FIN, RST, SYN};

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
