//! Rules, what they say of packets, and how they are written.

use super::*;
use pvs_proto::{Addr4, Addr6};

const MARK_1: Action = Action::Mark {
    value: 1,
    mask: u32::MAX,
};

fn prefix(text: &str) -> Prefix {
    let (address, length) = text.split_once('/').unwrap();
    Prefix::new(address.parse().unwrap(), length.parse().unwrap()).unwrap()
}

fn packet(source: [u8; 4], destination: [u8; 4], port: u16) -> Judged<'static, Addr4> {
    Judged {
        protocol: Protocol::TCP,
        source: (Addr4::from_wire(source), 40_000),
        destination: (Addr4::from_wire(destination), port),
        interface: "eth0",
    }
}

#[test]
fn the_last_mark_counts_and_an_end_is_an_end() {
    let web = MarkRule {
        protocol: Some(Protocol::TCP.0),
        destination_ports: vec![
            PortRange {
                first: 80,
                last: 80,
            },
            PortRange {
                first: 443,
                last: 445,
            },
        ],
        ..MarkRule::every(MARK_1)
    };
    let bit = MarkRule {
        source: Some(prefix("10.9.0.0/16")),
        ..MarkRule::every(Action::Mark {
            value: 0xff,
            mask: 0x10,
        })
    };
    let blocked = MarkRule {
        source: Some(prefix("10.9.9.0/24")),
        ..MarkRule::every(Action::Drop)
    };
    let elsewhere = MarkRule {
        interface: Some("eth1".to_owned()),
        ..MarkRule::every(Action::Drop)
    };
    let last = MarkRule::every(Action::Mark {
        value: 7,
        mask: 0xf00,
    });
    let end = MarkRule {
        destination: Some(prefix("10.0.0.101/32")),
        ..MarkRule::every(Action::Accept)
    };
    let rules = MarkRules::new(vec![web, elsewhere, bit, end, blocked, last]);
    assert!(rules.drops() && rules.rules().iter().all(|rule| rule.check().is_ok()));
    let of = |source, destination, port| rules.judge(&packet(source, destination, port));
    let (vip, other) = ([10, 0, 0, 100], [10, 0, 0, 101]);
    assert_eq!(of([192, 0, 2, 1], vip, 80), Judgement::Mark(1));
    assert_eq!(of([192, 0, 2, 1], vip, 445), Judgement::Mark(1));
    assert_eq!(of([192, 0, 2, 1], vip, 446), Judgement::Mark(0));
    assert_eq!(of([10, 9, 1, 1], vip, 443), Judgement::Mark(0x11));
    assert_eq!(of([10, 9, 9, 1], vip, 443), Judgement::Drop);
    assert_eq!(of([10, 9, 9, 1], other, 443), Judgement::Mark(0x11));
    let v6 = Judged {
        protocol: Protocol::TCP,
        source: (Addr6::from_wire([0; 16]), 1),
        destination: (Addr6::from_wire([0; 16]), 80),
        interface: "",
    };
    assert_eq!(
        rules.judge(&v6),
        Judgement::Mark(1),
        "no prefix of the other family matches"
    );
}

#[test]
fn a_rule_without_sense_is_refused() {
    let every = || MarkRule::every(MARK_1);
    let ports = vec![PortRange {
        first: 80,
        last: 80,
    }];
    let wrong = |rule: MarkRule| rule.check().unwrap_err();
    let rule = MarkRule {
        destination_ports: ports.clone(),
        ..every()
    };
    assert_eq!(wrong(rule), RuleError::PortsWithoutProtocol);
    let rule = MarkRule {
        destination_ports: ports.clone(),
        protocol: Some(1),
        ..every()
    };
    assert_eq!(wrong(rule), RuleError::PortsWithoutProtocol);
    let backwards = vec![PortRange { first: 2, last: 1 }];
    let rule = MarkRule {
        source_ports: backwards,
        protocol: Some(6),
        ..every()
    };
    assert_eq!(wrong(rule), RuleError::Range);
    let rule = MarkRule {
        source_ports: ports.repeat(16),
        protocol: Some(6),
        ..every()
    };
    assert_eq!(wrong(rule), RuleError::Ranges);
    let families = (Some(prefix("::/0")), Some(prefix("0.0.0.0/0")));
    let rule = MarkRule {
        source: families.0,
        destination: families.1,
        ..every()
    };
    assert_eq!(wrong(rule), RuleError::Families);
    let bits = Prefix {
        address: "10.0.0.1".parse().unwrap(),
        length: 24,
    };
    assert_eq!(
        wrong(MarkRule {
            source: Some(bits),
            ..every()
        }),
        RuleError::Length
    );
    for name in ["", "a/b", "a b", "sixteen-bytes-is"] {
        let rule = MarkRule {
            interface: Some(name.to_owned()),
            ..every()
        };
        assert_eq!(wrong(rule), RuleError::Interface);
    }
}

#[test]
fn a_rule_is_shown_as_it_is_written() {
    let rule = MarkRule {
        protocol: Some(6),
        source: Some(prefix("10.9.0.7/16")),
        destination: Some(prefix("10.0.0.100/32")),
        source_ports: vec![PortRange {
            first: 1024,
            last: 65535,
        }],
        destination_ports: vec![
            PortRange {
                first: 80,
                last: 80,
            },
            PortRange {
                first: 443,
                last: 443,
            },
        ],
        interface: Some("eth0.7".to_owned()),
        action: MARK_1,
    };
    assert_eq!(
        rule.to_string(),
        "--protocol tcp --source 10.9.0.0/16 --destination 10.0.0.100/32 --source-ports 1024:65535 \
         --destination-ports 80,443 --interface eth0.7 --set 1"
    );
    let rule = MarkRule {
        protocol: Some(47),
        source: Some(prefix("::/0")),
        ..MarkRule::every(Action::Mark {
            value: 1,
            mask: 255,
        })
    };
    assert_eq!(
        rule.to_string(),
        "--protocol 47 --source ::/0 --set 0x1/0xff"
    );
    assert_eq!(MarkRule::every(Action::Drop).to_string(), "--drop");
}
