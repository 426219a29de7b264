//! Which options may stand together: with a command, with a kind of tunnel, with a scheduler.

use super::draft::Draft;
use super::options::OPTIONS;
use super::plan::Failure;
use super::row::Verb;
use pvs_sched::config::{ServiceFlags, TunnelKind};

/// Judges one option after the other, and remembers the one that excludes others.
struct Judge {
    /// What the options stand with: `'list' command`.
    with: String,
    alone: Option<&'static str>,
}

impl Judge {
    fn option(&mut self, name: &'static str, given: bool, legality: char) -> Result<(), Failure> {
        let with = &self.with;
        let said = match (given, legality, self.alone) {
            (false, '+', _) => format!("You need to supply the '{name}' option for the {with}"),
            (true, 'x', _) => format!("Illegal '{name}' option with the {with}"),
            (true, '1', Some(other)) => {
                format!("The option '{name}' conflicts with the '{other}' option in the {with}")
            }
            (true, '1', None) => {
                self.alone = Some(name);
                return Ok(());
            }
            _ => return Ok(()),
        };
        Err(Failure::wrong(said))
    }
}

/// The options are legal with the command.
pub(super) fn judge_command(verb: Verb, draft: &Draft) -> Result<(), Failure> {
    let mut judge = Judge {
        with: format!("'{}' command", verb.name()),
        alone: None,
    };
    let mut judged = "";
    for row in OPTIONS.iter().filter(|row| !row.name.is_empty()) {
        if row.name != judged {
            judge.option(row.name, draft.has(row.name), row.legality(verb))?;
            judged = row.name;
        }
    }
    Ok(())
}

/// The tunnel's options, in the order in which they are judged, and which are legal with a kind.
const TUNNEL_OPTIONS: [&str; 4] = ["tun-port", "tun-nocsum", "tun-csum", "tun-remcsum"];

/// Every option that says something about a tunnel was given for one.
pub(super) fn mentions_tunnel(draft: &Draft) -> bool {
    draft.has("tun-type") || TUNNEL_OPTIONS.iter().any(|name| draft.has(name))
}

/// The tunnel's options are legal with its kind.
pub(super) fn judge_tunnel(draft: &Draft) -> Result<(), Failure> {
    let (name, legality) = match draft.tunnel.kind {
        TunnelKind::Ipip => ("ipip", "xxxx"),
        TunnelKind::Gue => ("gue", "+111"),
        TunnelKind::Gre => ("gre", "x11x"),
    };
    let mut judge = Judge {
        with: format!("'{name}' tunnel type"),
        alone: None,
    };
    for (option, legality) in TUNNEL_OPTIONS.into_iter().zip(legality.chars()) {
        judge.option(option, draft.has(option), legality)?;
    }
    Ok(())
}

/// The flags that a scheduler's own names stand for.
pub(crate) const SCHEDULER_FLAGS: &[(&str, &str, ServiceFlags)] = &[
    ("sh", "sh-fallback", ServiceFlags::SCHED1),
    ("sh", "sh-port", ServiceFlags::SCHED2),
    ("mh", "mh-fallback", ServiceFlags::SCHED1),
    ("mh", "mh-port", ServiceFlags::SCHED2),
];

/// The flags of any scheduler.
pub(crate) const COMMON_FLAGS: &[(&str, ServiceFlags)] = &[
    ("flag-1", ServiceFlags::SCHED1),
    ("flag-2", ServiceFlags::SCHED2),
    ("flag-3", ServiceFlags::SCHED3),
];

/// Reads the flags of `-b` for a scheduler.
pub(super) fn scheduler_flags(scheduler: &str, text: &str) -> Result<ServiceFlags, Failure> {
    let mut flags = ServiceFlags::default();
    for name in text.split(',').filter(|n| !n.is_empty()) {
        let common = COMMON_FLAGS
            .iter()
            .find(|(n, _)| *n == name)
            .map(|(_, flag)| *flag);
        let own = SCHEDULER_FLAGS.iter().find(|(_, n, _)| *n == name);
        flags = flags.with(match (common, own) {
            (Some(flag), _) => flag,
            (None, Some((owner, _, flag))) if *owner == scheduler => *flag,
            (None, Some(_)) => {
                return Err(Failure::wrong(format!(
                    "incompatible scheduler flag `{name}'"
                )));
            }
            (None, None) => {
                return Err(Failure::wrong(format!("invalid scheduler flag `{name}'")));
            }
        });
    }
    Ok(flags)
}
