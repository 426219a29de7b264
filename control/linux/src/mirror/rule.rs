//! Rules: what the mirror keeps of an RTM_NEWRULE. None is followed; those that the kernel does not
//! start with are reported.

use netlink_packet_core::Emitable;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::rule::{RuleAttribute, RuleMessage};

/// A rule that the kernel does not start with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ForeignRule {
    /// 4 or 6.
    pub(crate) family: u8,
    pub(crate) priority: u32,
    pub(crate) table: u32,
    /// The message itself: there may be several that differ in what they select only.
    bytes: Vec<u8>,
}

/// `None` for one of the three that the kernel starts with.
pub(crate) fn foreign_rule(message: &RuleMessage) -> Option<ForeignRule> {
    let family = if message.header.family == AddressFamily::Inet {
        4
    } else {
        6
    };
    let (mut priority, mut table, mut plain) = (0, u32::from(message.header.table), true);
    for attribute in &message.attributes {
        match attribute {
            RuleAttribute::Priority(number) => priority = *number,
            RuleAttribute::Table(number) => table = *number,
            RuleAttribute::Protocol(_) | RuleAttribute::SuppressPrefixLen(u32::MAX) => (),
            _ => plain = false,
        }
    }
    if plain && matches!((priority, table), (0, 255) | (32766, 254) | (32767, 253)) {
        return None;
    }
    let mut same = message.clone();
    // They say whether the interface that it names is there.
    same.header.flags = Default::default();
    let mut bytes = vec![0; same.buffer_len()];
    same.emit(&mut bytes);
    Some(ForeignRule {
        family,
        priority,
        table,
        bytes,
    })
}
