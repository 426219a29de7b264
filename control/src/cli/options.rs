//! The option table: every option that ipvsadm takes, in one place. pvsadm's own words are in
//! [`words`](super::words).
//!
//! What a [`Row`] holds is in [`row`](super::row). The order of the rows is the order in which
//! legality is judged. A new option is a new row, and a new [`Tag`] that
//! [`plan`](mod@super::plan) gives a meaning.

use super::row::{Argument, Row, Tag, Verb, flag, info, option, required};
use pvs_sched::config::{Method, Transport};

const fn verb(long: &'static str, letter: Option<char>, verb: Verb, help: &'static str) -> Row {
    let (argument, tag) = (Argument::None, Tag::Verb(verb));
    Row {
        long,
        letter,
        argument,
        tag,
        name: "",
        legality: "",
        help,
    }
}

const fn daemon_verb(long: &'static str, verb: Verb, help: &'static str) -> Row {
    let (argument, tag) = (Argument::Required("master|backup"), Tag::Verb(verb));
    Row {
        long,
        letter: None,
        argument,
        tag,
        name: "",
        legality: "",
        help,
    }
}

const fn service(
    long: &'static str,
    letter: Option<char>,
    value: &'static str,
    tag: Tag,
    help: &'static str,
) -> Row {
    let legality = "+++x1+++xxxxx.";
    let argument = Argument::Required(value);
    Row {
        long,
        letter,
        argument,
        tag,
        name: "service-address",
        legality,
        help,
    }
}

const fn method(long: &'static str, letter: char, method: Method, help: &'static str) -> Row {
    Row {
        long,
        letter: Some(letter),
        argument: Argument::None,
        tag: Tag::Method(method),
        name: "forwarding-method",
        legality: "xxxxx.x.xxxxxx",
        help,
    }
}

const NONE: Argument = Argument::None;

/// Legal with `-A` and `-E`.
const OF_SERVICE: &str = "..xxxxxxxxxxxx";
/// Legal with `-a` and `-e`.
const OF_SERVER: &str = "xxxxx.x.xxxxxx";
/// Legal with `-L`.
const OF_LIST: &str = "xxxx.xxxxxxxxx";
/// Legal with `-L`, and excluding what else selects what is listed.
const OF_LIST_ALONE: &str = "xxxx1xxxxxxxxx";
/// Legal with `--start-daemon`.
const OF_DAEMON: &str = "xxxxxxxxx.xxxx";

/// The table.
#[rustfmt::skip]
pub static OPTIONS: &[Row] = &[
    verb("add-service", Some('A'), Verb::AddService, "add a virtual service"),
    verb("edit-service", Some('E'), Verb::EditService, "change a virtual service"),
    verb("delete-service", Some('D'), Verb::DeleteService, "delete a virtual service with its servers"),
    verb("clear", Some('C'), Verb::Flush, "delete all virtual services"),
    verb("restore", Some('R'), Verb::Restore, "carry out the commands on standard input"),
    verb("save", Some('S'), Verb::Save, "print the commands that make up the table"),
    verb("add-server", Some('a'), Verb::AddServer, "add a real server to a service"),
    verb("edit-server", Some('e'), Verb::EditServer, "change a real server"),
    verb("delete-server", Some('d'), Verb::DeleteServer, "take a real server out of its service"),
    verb("list", Some('L'), Verb::List, "list the table, or a service"),
    verb("list", Some('l'), Verb::List, "as -L"),
    verb("zero", Some('Z'), Verb::Zero, "set the counters of a service, or of all, to zero"),
    verb("set", None, Verb::Set, "set the timeouts in seconds: tcp tcpfin udp (0: unchanged)"),
    daemon_verb("start-daemon", Verb::StartDaemon, "start synchronising connections"),
    daemon_verb("stop-daemon", Verb::StopDaemon, "stop synchronising connections"),
    info("help", 'h', Tag::Help, "print this help"),
    info("version", 'v', Tag::Version, "print the version"),
    flag("numeric", Some('n'), "xxxx.xxxxxxx.x", "print addresses and ports as numbers"),
    flag("connection", Some('c'), OF_LIST_ALONE, "list connections"),
    service("tcp-service", Some('t'), "host[:port]", Tag::Service(Transport::Tcp), "a TCP service"),
    service("udp-service", Some('u'), "host[:port]", Tag::Service(Transport::Udp), "a UDP service"),
    service("sctp-service", None, "host[:port]", Tag::Service(Transport::Sctp), "an SCTP service"),
    service("fwmark-service", Some('f'), "mark", Tag::Mark, "the service of a firewall mark"),
    option("scheduler", Some('s'), required("name"), Tag::Scheduler, OF_SERVICE, "the scheduler; wlc if not given"),
    option("persistent", Some('p'), Argument::Optional("seconds"), Tag::Persistent, OF_SERVICE, "keep a client on its server; 360 seconds if not given"),
    option("netmask", Some('M'), required("mask|length"), Tag::Netmask, OF_SERVICE, "the group of clients that is kept together"),
    option("real-server", Some('r'), required("host[:port]"), Tag::Server, "xxxxx+++xxxxxx", "the real server"),
    method("masquerading", 'm', Method::Masquerade, "forward by network address translation"),
    method("ipip", 'i', Method::Tunnel, "forward in a tunnel"),
    method("gatewaying", 'g', Method::Route, "forward by direct routing (the default)"),
    option("weight", Some('w'), required("weight"), Tag::Weight, OF_SERVER, "the server's capacity; 0 takes no new connection"),
    option("u-threshold", Some('x'), required("connections"), Tag::UpperThreshold, OF_SERVER, "no new connections from here on"),
    option("l-threshold", Some('y'), required("connections"), Tag::LowerThreshold, OF_SERVER, "new connections again below this"),
    option("mcast-interface", None, required("device"), Tag::Interface, OF_DAEMON, "the device that synchronisation uses"),
    flag("timeout", None, OF_LIST_ALONE, "list the timeouts"),
    flag("daemon", None, OF_LIST_ALONE, "list the synchronisation daemons"),
    flag("stats", None, OF_LIST, "list totals"),
    flag("rate", None, OF_LIST, "list rates per second"),
    flag("thresholds", None, OF_LIST, "list connection thresholds"),
    flag("persistent-conn", None, OF_LIST, "list persistent connections"),
    flag("nosort", None, OF_LIST, "list unsorted"),
    option("syncid", None, required("number"), Tag::SyncId, "xxxx.xxxx..xxx", "the number that synchronised directors share"),
    flag("exact", Some('X'), OF_LIST, "list figures in full"),
    option("ops", Some('o'), NONE, Tag::OnePacket, OF_SERVICE, "schedule every packet of a UDP service for itself"),
    option("pe", None, required("name"), Tag::Engine, OF_SERVICE, "the persistence engine"),
    option("sched-flags", Some('b'), required("flags"), Tag::SchedulerFlags, OF_SERVICE, "flags for the scheduler, with commas between them"),
    option("mcast-group", None, required("address"), Tag::Group, OF_DAEMON, "the group that synchronisation uses"),
    option("mcast-port", None, required("port"), Tag::GroupPort, OF_DAEMON, "the port that synchronisation uses"),
    option("mcast-ttl", None, required("hops"), Tag::GroupTtl, OF_DAEMON, "how far synchronisation reaches"),
    option("sync-maxlen", None, required("bytes"), Tag::SyncMaxLen, OF_DAEMON, "the longest synchronisation message"),
    flag("tun-info", None, OF_LIST, "list tunnels"),
    option("tun-type", None, required("ipip|gue|gre"), Tag::TunnelKind, OF_SERVER, "the kind of tunnel; ipip if not given"),
    option("tun-port", None, required("port"), Tag::TunnelPort, OF_SERVER, "the port of a GUE tunnel"),
    option("tun-nocsum", None, NONE, Tag::TunnelChecksum(0), OF_SERVER, "a tunnel without checksum"),
    option("tun-csum", None, NONE, Tag::TunnelChecksum(1), OF_SERVER, "a tunnel with checksum"),
    option("tun-remcsum", None, NONE, Tag::TunnelChecksum(2), OF_SERVER, "a tunnel with remote checksum"),
    option("json", None, NONE, Tag::Json, OF_LIST, "list as one JSON value (pvsadm only)"),
    Row { long: "ipv6", letter: Some('6'), argument: NONE, tag: Tag::Ipv6, name: "", legality: "", help: "the mark's service is for IPv6; after -f" },
    Row { long: "sort", letter: None, argument: NONE, tag: Tag::Flag, name: "", legality: "", help: "list sorted (the default)" },
];

/// The row of a long name in a table.
#[must_use]
pub fn long(table: &'static [Row], name: &str) -> Option<&'static Row> {
    table.iter().find(|row| row.long == name)
}

/// The row of a letter in a table.
#[must_use]
pub fn letter(table: &'static [Row], letter: char) -> Option<&'static Row> {
    table.iter().find(|row| row.letter == Some(letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_well_formed() {
        for row in OPTIONS {
            assert!(!row.help.is_empty() && row.help.len() < 62, "{}", row.long);
            let judged = row.legality.len() == Verb::Zero as usize + 1;
            assert!(
                judged || (row.legality.is_empty() && row.name.is_empty()),
                "{}",
                row.long
            );
            assert!(
                row.legality.chars().all(|c| "+x1.".contains(c)),
                "{}",
                row.long
            );
        }
    }

    #[test]
    fn rows_of_one_name_stand_together_and_agree() {
        for pair in OPTIONS.windows(2) {
            let again = OPTIONS.iter().filter(|r| r.name == pair[1].name).count();
            if !pair[1].name.is_empty() && again > 1 && pair[0].name == pair[1].name {
                assert_eq!(pair[0].legality, pair[1].legality);
            }
        }
        let letters: Vec<_> = OPTIONS.iter().filter_map(|r| r.letter).collect();
        for letter in &letters {
            assert_eq!(
                letters.iter().filter(|l| *l == letter).count(),
                1,
                "-{letter}"
            );
        }
    }
}
