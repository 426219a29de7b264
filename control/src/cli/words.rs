//! pvsadm's own words: what a director has to tell that ipvsadm has no option for.
//!
//! A word is the first argument and has no dash, and options of its own behind it. A program called
//! ipvsadm has none: there such an argument is refused in ipvsadm's way. A new word is a new row in
//! [`WORDS`], with a function that makes a [`Plan`] of what was given with it.

use super::complete::{Shell, completions};
use super::explain;
use super::given::Given;
use super::manual::manual;
use super::marks;
use super::mh;
use super::plan::{Failure, Plan, Show, TableUse};
use super::row::{Row, Tag, flag, info};
use crate::command::{Command, Tuning};
use crate::listing::ProcFile;
use pvs_sched::tunables::TUNABLES;
use std::path::Path;

/// A word.
#[derive(Debug)]
pub struct Word {
    /// The word.
    pub name: &'static str,
    /// How it is written.
    pub usage: &'static str,
    /// A line of help.
    pub help: &'static str,
    /// What it shows and how it ends, in full.
    pub about: &'static str,
    /// Its options.
    pub options: &'static [Row],
    /// What it takes behind its options.
    pub arguments: Arguments,
    /// What it asks for, or what is wrong with what was given.
    plan: fn(&Given) -> Result<Plan, String>,
}

/// What a word takes behind its options.
#[derive(Clone, Copy, Debug)]
pub enum Arguments {
    /// Nothing.
    None,
    /// A file.
    File,
    /// Words, of which these come first.
    Names(fn() -> Vec<&'static str>),
}

impl PartialEq for Word {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Word {}

pub(super) const HELP: Row = info("help", 'h', Tag::Help, "print this help");
const ALL: Row = flag(
    "all",
    Some('a'),
    "",
    "show all there is, zeros and long lists too",
);
pub(super) const JSON: Row = flag("json", Some('j'), "", "print one JSON value, for programs");

const DRY_RUN: Row = flag(
    "dry-run",
    Some('n'),
    "",
    "print the commands, change nothing",
);

/// The words.
pub static WORDS: &[Word] = &[
    Word {
        name: "apply",
        usage: "apply [--dry-run] FILE",
        help: "make the rules in a file the running ones",
        about: APPLY,
        options: &[DRY_RUN, HELP],
        arguments: Arguments::File,
        plan: |given| match given.has("dry-run") {
            true => table(given, TableUse::DryRun),
            false => table(given, TableUse::Apply),
        },
    },
    Word {
        name: "diff",
        usage: "diff FILE",
        help: "what apply would change",
        about: DIFF,
        options: &[HELP],
        arguments: Arguments::File,
        plan: |given| table(given, TableUse::Diff),
    },
    Word {
        name: "check",
        usage: "check FILE",
        help: "whether a file of rules can be read",
        about: CHECK,
        options: &[HELP],
        arguments: Arguments::File,
        plan: |given| table(given, TableUse::Check),
    },
    Word {
        name: "proc",
        usage: "proc ip_vs|ip_vs_conn|ip_vs_stats",
        help: "print a file of /proc/net as the kernel does",
        about: PROC,
        options: &[HELP],
        arguments: Arguments::Names(|| vec!["ip_vs", "ip_vs_conn", "ip_vs_stats"]),
        plan: proc,
    },
    Word {
        name: "completions",
        usage: "completions bash|zsh|fish",
        help: "print what a shell reads to complete command lines",
        about: COMPLETIONS,
        options: &[HELP],
        arguments: Arguments::Names(|| vec!["bash", "zsh", "fish"]),
        plan: shell_completions,
    },
    Word {
        name: "manual",
        usage: "manual",
        help: "print the manual page, for man -l -",
        about: "Prints pvsadm(8) as man reads it: `pvsadm manual | man -l -'.",
        options: &[HELP],
        arguments: Arguments::None,
        plan: |_| Ok(Plan::Print(manual())),
    },
    Word {
        name: "status",
        usage: "status [--all] [--json]",
        help: "how the director is: ports, workers, Linux, losses",
        about: STATUS,
        options: &[ALL, JSON, HELP],
        arguments: Arguments::None,
        plan: |given| Ok(ask(Command::Status, given)),
    },
    Word {
        name: "drops",
        usage: "drops [--all] [--json]",
        help: "why packets were lost, and how many",
        about: DROPS,
        options: &[ALL, JSON, HELP],
        arguments: Arguments::None,
        plan: |given| Ok(ask(Command::Drops, given)),
    },
    Word {
        name: "sysctl",
        usage: "sysctl [--json] [NAME[=VALUE]]...",
        help: "shows or sets what net.ipv4.vs is in the kernel",
        about: SYSCTL,
        options: &[JSON, HELP],
        arguments: Arguments::Names(|| TUNABLES.iter().map(|tunable| tunable.name).collect()),
        plan: sysctl,
    },
    Word {
        name: "explain",
        usage: "explain -t|-u ADDR:PORT -f ADDR:PORT",
        help: "what would become of a client's packet, and why",
        about: explain::ABOUT,
        options: explain::OPTIONS,
        arguments: Arguments::None,
        plan: explain::plan,
    },
    Word {
        name: "mark",
        usage: "mark [WORD] [OPTION]...",
        help: "rules that give packets a firewall mark, or drop them",
        about: marks::ABOUT,
        options: marks::OPTIONS,
        arguments: Arguments::Names(|| marks::WORDS.to_vec()),
        plan: marks::plan,
    },
    Word {
        name: "mh",
        usage: "mh [-t|-u|-f SERVICE [--slots N]] [--json]",
        help: "shows or sets how large the table of an mh service is",
        about: mh::ABOUT,
        options: mh::OPTIONS,
        arguments: Arguments::None,
        plan: mh::plan,
    },
];

const APPLY: &str = "\
Makes the rules in FILE (`-': standard input) the running ones, by the fewest commands: services
and servers that are not in it go, those that differ are edited, new ones are added, and what is the
same is left alone with its place in the list, its counters and its connections. Workers see all of
it at once. If one rule is refused nothing is changed. With --dry-run it only prints the commands.

FILE has lines as `pvsadm -S' prints them, and thresholds where there are some: -A and -a, with `#'
comments. Exit status: 0 if the rules are running, 2 if not.";

const DIFF: &str = "\
Prints the commands that would lead from the running rules to those in FILE (`-': standard input),
as apply would carry them out. Exit status: 0 if there is none, 1 if there are some, 2 if a rule
would be refused or pvsd does not answer.";

const CHECK: &str = "\
Reads the rules in FILE (`-': standard input) and says what is wrong with them, with the number of
the line. pvsd is not asked, so what depends on it or on the machine is not judged. Exit status: 0,
or 2 if something is wrong.";

const PROC: &str = "\
Prints what the kernel shows in /proc/net/ip_vs, ip_vs_conn or ip_vs_stats, in the same format: for
programs that read these files. Timeouts of persistence are in ticks of 4 ms, as on Debian.";

/// `apply`, `diff`, `check`: a file, and what is done with it.
fn table(given: &Given, what: TableUse) -> Result<Plan, String> {
    match given.arguments.as_slice() {
        [file] => Ok(Plan::Table {
            file: file.clone(),
            what,
        }),
        [] => Err("give a file of rules, or - for standard input".to_owned()),
        [_, further, ..] => Err(format!("unexpected argument {further}")),
    }
}

const COMPLETIONS: &str = "\
Prints what makes a shell complete the command lines of pvsadm and of ipvsadm: for bash, a file in
/usr/share/bash-completion/completions; for zsh, a file _pvsadm in a folder of $fpath; for fish, a
file pvsadm.fish in /usr/share/fish/vendor_completions.d.";

/// `completions`: which shell's.
fn shell_completions(given: &Given) -> Result<Plan, String> {
    let shell = match given.arguments.as_slice() {
        [name] => Shell::named(name),
        _ => None,
    };
    let shell = shell.ok_or("give one of bash, zsh, fish")?;
    Ok(Plan::Print(completions(shell)))
}

/// `proc`: which file.
fn proc(given: &Given) -> Result<Plan, String> {
    let names: Vec<&str> = given.arguments.iter().map(String::as_str).collect();
    let (command, file) = match names.as_slice() {
        ["ip_vs"] => (Command::ListServices, ProcFile::Services),
        ["ip_vs_conn"] => (Command::ListConnections, ProcFile::Connections),
        ["ip_vs_stats"] => (Command::ListTotals, ProcFile::Totals),
        _ => return Err("give one of ip_vs, ip_vs_conn, ip_vs_stats".to_owned()),
    };
    let show = Show::Proc(file);
    Ok(Plan::Ask { command, show })
}

const STATUS: &str = "\
Shows how the director is. What needs attention is told first, in lines that begin with
`attention:'. Addresses are numeric. Figures count from the start of pvsd, unless they are said to
be of the last second; those of ports are a second old at most.

Exit status: 0 if all is well, 1 if something needs attention, 2 if pvsd does not answer: what the
checks of Nagios and its kin call OK, WARNING and CRITICAL.

JSON: {\"attention\": [sentence, ...], \"version\", \"uptime_secs\", ...} and for each section an
object or a list: ports, workers, tables, ends, config, services, linux, punts, exchange,
icmp_errors, drops. Fields may be added, none changes its meaning; docs/STATUS.md has all of them.";

const DROPS: &str = "\
Lists the reasons for which packets were lost since pvsd started, the most frequent first, each with
a sentence: what workers dropped, what was malformed, what did not get to Linux or from it, and what
the devices lost. Exit status: 0, or 2 if pvsd does not answer.

JSON: {\"drops\": [{\"reason\", \"place\": \"dropped\"|\"malformed\"|\"linux\"|\"device\", \"packets\",
\"sentence\"}, ...]}; fields may be added, none changes its meaning.";

const SYSCTL: &str = "\
Shows the tunables, all of them or those that are named, or sets some: all of them, or none if one
is refused. Names and values are those of /proc/sys/net/ipv4/vs; a name may have the prefix
net.ipv4.vs or net/ipv4/vs. They last until pvsd ends: what is to stay goes into its configuration
file, under [sysctl].

JSON: {\"sysctl\": {NAME: VALUE, ...}}, values as texts.";

/// `sysctl`: what is to be set, or what is to be shown.
fn sysctl(given: &Given) -> Result<Plan, String> {
    let bare = |name: &str| {
        let prefixes = ["net.ipv4.vs.", "net/ipv4/vs/"];
        let short = prefixes.iter().find_map(|prefix| name.strip_prefix(prefix));
        short.unwrap_or(name).trim_ascii().to_owned()
    };
    let (settings, names): (Vec<&String>, Vec<&String>) =
        given.arguments.iter().partition(|word| word.contains('='));
    if settings.is_empty() {
        let names = names.iter().map(|name| bare(name)).collect();
        return Ok(ask(Command::ListTunables(names), given));
    }
    if let Some(name) = names.first() {
        return Err(format!(
            "{name}: give names to be shown, or settings NAME=VALUE, not both"
        ));
    }
    let tuning = |(name, value): (&str, &str)| Tuning {
        name: bare(name),
        value: value.trim_ascii().to_owned(),
    };
    let tunings = settings
        .iter()
        .filter_map(|word| word.split_once('='))
        .map(tuning);
    Ok(ask(Command::Tune(tunings.collect()), given))
}

fn ask(command: Command, given: &Given) -> Plan {
    let show = Show::Report(given.detail());
    Plan::Ask { command, show }
}

/// True unless the program is called ipvsadm.
#[must_use]
pub fn has_words(program: &str) -> bool {
    Path::new(program)
        .file_name()
        .is_none_or(|name| name != "ipvsadm")
}

/// Reads the arguments behind a word.
pub(super) fn plan(program: &str, word: &str, rest: &[String]) -> Result<Plan, Failure> {
    let Some(word) = WORDS.iter().find(|known| known.name == word) else {
        let known: Vec<_> = WORDS.iter().map(|word| word.name).collect();
        return Err(Failure::wrong(format!(
            "{program}: no such word: {word} (there are {}; ipvsadm's commands begin with a dash)",
            known.join(", ")
        )));
    };
    let wrong = |what: String| Failure::wrong(format!("{program} {}: {what}", word.name));
    let given = Given::read(word.options, rest.to_vec()).map_err(wrong)?;
    if given.asks_for_help {
        return Ok(Plan::WordHelp(word));
    }
    match given.arguments.first() {
        Some(left) if matches!(word.arguments, Arguments::None) => {
            Err(wrong(format!("unexpected argument {left}")))
        }
        _ => (word.plan)(&given).map_err(wrong),
    }
}

#[cfg(test)]
mod tests;
