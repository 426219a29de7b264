//! What keeps packets away from servers: thresholds, services of one packet, the defences;
//! and how tunables are set.

use super::table::Went::{Client, Lost, Server};
use super::table::{Table, VIP, two_servers};
use pvs_proto::wire::tcp::{ACK, SYN};

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
