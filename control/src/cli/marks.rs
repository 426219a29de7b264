//! `pvsadm mark`: what is to be done with the mark rules, and a rule out of its options.

use super::given::Given;
use super::plan::{Failure, Plan, Show};
use super::row::{Row, flag, value};
use crate::command::Command;
use pvs_proto::Protocol;
use pvs_sched::marks::{Action, MarkRule, PortRange, Prefix};
use std::net::IpAddr;

/// What is done with the rules.
pub(super) const WORDS: [&str; 6] = ["list", "add", "delete", "flush", "save", "restore"];

/// The options of a rule, and where it goes.
pub(super) const OPTIONS: &[Row] = &[
    value(
        "protocol",
        Some('p'),
        "NAME|N",
        "of this protocol: tcp, udp, sctp, icmp, icmpv6, or a number",
    ),
    value("source", Some('s'), "PREFIX", "from these addresses"),
    value("destination", Some('d'), "PREFIX", "to these addresses"),
    value(
        "source-ports",
        Some('S'),
        "PORTS",
        "from one of these ports: 80,443,8000:8010",
    ),
    value(
        "destination-ports",
        Some('P'),
        "PORTS",
        "to one of these ports",
    ),
    value(
        "interface",
        Some('i'),
        "NAME",
        "in by this interface of a mirror",
    ),
    value(
        "at",
        Some('n'),
        "N",
        "put it before the rule that has this number",
    ),
    value(
        "set",
        Some('m'),
        "MARK[/MASK]",
        "set the mark, or its bits within the mask, and go on",
    ),
    flag("drop", Some('D'), "", "drop the packet"),
    flag("accept", Some('A'), "", "ask no further rule"),
    super::words::JSON,
    super::words::HELP,
];

pub(super) const ABOUT: &str = "\
Rules that give packets a firewall mark, for services that are defined by one (pvsadm -A -f MARK),
or drop them. They do for pvsd what iptables does for a director in the kernel: no netfilter is
in the way of a packet. Rules are asked in their order: --set goes on to the next one, --drop and
--accept end. A rule without conditions matches every packet. Marks are asked for where a
connection begins; a rule that drops holds for every packet, also of connections that exist.

  mark [list]           the rules with their numbers
  mark add RULE         a rule behind all others, or before number N with --at N
  mark delete N | RULE  the rule of this number, or the first one that says the same
  mark flush            no rules
  mark save             the rules as lines that restore reads
  mark restore          all rules anew, from standard input, or none of them: one line `add RULE'
                        each; empty lines and lines that begin with # are passed over

They are not part of pvsadm -S. What is to be there at start goes into the file that rules.marks in
pvsd.toml names.";

/// What is asked for.
pub(super) fn plan(given: &Given) -> Result<Plan, String> {
    let mut words = given.arguments.iter().map(String::as_str);
    let word = words.next().unwrap_or("list");
    let has_rule = given.options().any(|option| option != "json");
    let nothing_behind = |plan: Plan| match has_rule {
        true => Err(format!("{word} takes no rule")),
        false => Ok(plan),
    };
    let change = |command| Plan::Ask {
        command,
        show: Show::Nothing,
    };
    let number = words.next();
    if let Some(left) = words.next().or(number.filter(|_| word != "delete")) {
        return Err(format!("unexpected argument {left}"));
    }
    match (word, number) {
        ("list", _) => nothing_behind(Plan::Ask {
            command: Command::ListMarks,
            show: Show::Report(given.detail()),
        }),
        ("save", _) => nothing_behind(Plan::Ask {
            command: Command::ListMarks,
            show: Show::MarkLines,
        }),
        ("flush", _) => nothing_behind(change(Command::SetMarks(Vec::new()))),
        ("restore", _) => nothing_behind(Plan::RestoreMarks),
        ("add", _) => {
            let at = given
                .value("at")
                .map(|text| whole(text, "--at"))
                .transpose()?;
            let rule = rule(given)?;
            Ok(change(Command::AddMark { at, rule }))
        }
        ("delete", Some(number)) => {
            nothing_behind(change(Command::DeleteMark(whole(number, "delete")?)))
        }
        ("delete", None) if has_rule => Ok(change(Command::DeleteMarkRule(rule(given)?))),
        ("delete", None) => Err("delete which rule? give its number, or what it says".to_owned()),
        _ => Err(format!(
            "no such word: {word} (there are {})",
            WORDS.join(", ")
        )),
    }
}

fn whole(text: &str, what: &str) -> Result<u32, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| format!("{what} {text}: the number of a rule is expected, from 1 on"))
}

/// The lines of `mark restore`.
///
/// # Errors
/// The first wrong line, by its number.
pub fn parse_marks(program: &str, text: &str) -> Result<Vec<MarkRule>, Failure> {
    let mut rules = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let words = line.split_ascii_whitespace().map(str::to_owned).collect();
        let read = Given::read(OPTIONS, words).and_then(|given| match given.arguments.as_slice() {
            [word] if word == "add" && given.value("at").is_none() => rule(&given),
            _ => Err("a line is `add' and a rule".to_owned()),
        });
        match read {
            Ok(rule) => rules.push(rule),
            Err(wrong) => return Err(Failure::wrong(format!("{program}: line {number}: {wrong}"))),
        }
    }
    Ok(rules)
}

/// The rule that the options say.
fn rule(given: &Given) -> Result<MarkRule, String> {
    let value = |option| given.value(option);
    let rule = MarkRule {
        protocol: value("protocol").map(protocol).transpose()?,
        source: value("source").map(prefix).transpose()?,
        destination: value("destination").map(prefix).transpose()?,
        source_ports: value("source-ports").map_or(Ok(vec![]), ports)?,
        destination_ports: value("destination-ports").map_or(Ok(vec![]), ports)?,
        interface: value("interface").map(str::to_owned),
        action: action(given)?,
    };
    match rule.check() {
        Ok(()) => Ok(rule),
        Err(error) => Err(error.to_string()),
    }
}

fn action(given: &Given) -> Result<Action, String> {
    match (given.value("set"), given.has("drop"), given.has("accept")) {
        (Some(text), false, false) => {
            let (value, mask) = text.split_once('/').unwrap_or((text, "0xffffffff"));
            let wrong = || {
                format!("--set {text}: a mark is a number, decimal or 0x..., with or without /MASK")
            };
            Ok(Action::Mark {
                value: mark(value).ok_or_else(wrong)?,
                mask: mark(mask).ok_or_else(wrong)?,
            })
        }
        (None, true, false) => Ok(Action::Drop),
        (None, false, true) => Ok(Action::Accept),
        _ => Err("one of --set, --drop and --accept is needed".to_owned()),
    }
}

fn mark(text: &str) -> Option<u32> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

fn protocol(text: &str) -> Result<u8, String> {
    let named = match text.to_ascii_lowercase().as_str() {
        "tcp" => Some(Protocol::TCP.0),
        "udp" => Some(Protocol::UDP.0),
        "sctp" => Some(Protocol::SCTP.0),
        "icmp" => Some(Protocol::ICMP.0),
        "icmpv6" => Some(Protocol::ICMPV6.0),
        other => other.parse().ok(),
    };
    named.ok_or_else(|| {
        format!(
            "--protocol {text}: tcp, udp, sctp, icmp, icmpv6 or a number from 0 to 255 is expected"
        )
    })
}

fn prefix(text: &str) -> Result<Prefix, String> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let wrong = || format!("{text}: a prefix is an address, with or without /LENGTH");
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    let length = match length {
        Some(length) => length.parse().map_err(|_| wrong())?,
        None if address.is_ipv4() => 32,
        None => 128,
    };
    Prefix::new(address, length).ok_or_else(wrong)
}

fn ports(text: &str) -> Result<Vec<PortRange>, String> {
    let range = |part: &str| {
        let (first, last) = part.split_once(':').unwrap_or((part, part));
        let (first, last) = (first.parse().ok()?, last.parse().ok()?);
        Some(PortRange { first, last })
    };
    let ranges: Option<Vec<_>> = text.split(',').map(range).collect();
    ranges.ok_or_else(|| format!("{text}: ports are numbers and ranges A:B with commas between"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{FileNames, plan as plan_line};

    fn planned(line: &str) -> Result<Plan, String> {
        let argv: Vec<String> = format!("pvsadm mark {line}")
            .split_ascii_whitespace()
            .map(str::to_owned)
            .collect();
        plan_line(&argv, &FileNames::default()).map_err(|failure| failure.to_string())
    }

    fn added(line: &str) -> MarkRule {
        match planned(&format!("add {line}")) {
            Ok(Plan::Ask {
                command: Command::AddMark { rule, .. },
                ..
            }) => rule,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn what_is_shown_is_what_is_written() {
        for line in [
            "--protocol tcp --source 10.9.0.0/16 --destination 10.0.0.100/32 --destination-ports 80,443 --set 1",
            "--protocol 47 --set 0x10/0xf0",
            "--source fd00::/8 --interface eth0.5 --drop",
            "--protocol udp --source-ports 1024:65535 --accept",
            "--set 4294967295",
        ] {
            assert_eq!(added(line).to_string(), line);
            assert_eq!(added(&added(line).to_string()), added(line));
            let read = parse_marks("pvsadm", &format!("# block list\n\nadd {line}\r\n")).unwrap();
            assert_eq!(read, [added(line)]);
        }
        assert_eq!(
            added("-s 10.9.8.7/16 -p TCP -P 80 -m 0x1").to_string(),
            "--protocol tcp --source 10.9.0.0/16 --destination-ports 80 --set 1"
        );
    }

    #[test]
    fn what_is_wrong_is_said_in_a_line_that_names_it() {
        for (line, said) in [
            ("add", "one of --set, --drop and --accept is needed"),
            ("add --set 1 --drop", "one of --set"),
            ("add --set x", "a mark is a number"),
            ("add --drop --destination-ports 80", "ports need a protocol"),
            ("add --drop --source 10.0.0.0/33", "a prefix is an address"),
            ("add --drop --protocol tpc", "tcp, udp, sctp"),
            (
                "add --drop --protocol tcp --destination-ports 80-90",
                "ranges A:B",
            ),
            ("add --drop --at 0", "from 1 on"),
            ("add --drop 3", "unexpected argument 3"),
            ("delete", "which rule"),
            ("delete x", "from 1 on"),
            ("flush --drop", "takes no rule"),
            ("put --drop", "no such word: put"),
        ] {
            let told = planned(line).unwrap_err();
            assert!(
                told.contains(said) && told.lines().count() == 1,
                "{line}: {told}"
            );
        }
        let told = parse_marks("pvsadm", "add --drop\nadd --set\n")
            .unwrap_err()
            .to_string();
        assert!(told.contains("line 2"), "{told}");
    }
}
