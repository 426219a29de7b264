//! Mark rules: the services that they lead to, and what they drop.

use super::table::Went::{Lost, Server};
use super::table::{Table, VIP, two_servers};
use pvs_proto::wire::tcp::{ACK, SYN};

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
