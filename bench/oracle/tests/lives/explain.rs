//! `pvsadm explain`: the next pick and its reasons, without a pick.

use super::table::Went::Server;
use super::table::{VIP, two_servers};
use pvs_proto::wire::tcp::SYN;

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
