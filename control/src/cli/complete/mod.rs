//! Completions for shells, out of the tables of options and words: `pvsadm completions`.
//!
//! A command line belongs to pvsadm's word that is its first argument, or to ipvsadm's options:
//! each shell's text looks there first, and knows no words for a program called ipvsadm. What is
//! typed into real shells is in `control/tests/completions.rs`.

mod bash;
mod fish;
mod zsh;

use super::legality::{COMMON_FLAGS, SCHEDULER_FLAGS};
use super::row::{Argument, Row, Tag};
use super::words::{Arguments, WORDS, Word};
use pvs_sched::config::SchedulerName;

/// A shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl Shell {
    /// The shell of this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "bash" => Some(Self::Bash),
            "zsh" => Some(Self::Zsh),
            "fish" => Some(Self::Fish),
            _ => None,
        }
    }
}

/// What a shell is to read.
pub(super) fn completions(shell: Shell) -> String {
    match shell {
        Shell::Bash => bash::text(),
        Shell::Zsh => zsh::text(),
        Shell::Fish => fish::text(),
    }
}

/// The values that an option takes, if they can be told.
fn values(row: &Row) -> Option<String> {
    let values: Vec<&str> = match row.tag {
        Tag::Scheduler => SchedulerName::ALL.iter().map(|s| s.as_str()).collect(),
        Tag::SchedulerFlags => {
            let own = SCHEDULER_FLAGS.iter().map(|(_, name, _)| *name);
            own.chain(COMMON_FLAGS.iter().map(|(name, _)| *name))
                .collect()
        }
        Tag::TunnelKind => vec!["ipip", "gue", "gre"],
        Tag::Engine => vec!["sip"],
        Tag::Verb(_) if row.argument != Argument::None => vec!["master", "backup"],
        _ if row.long == "protocol" => vec!["tcp", "udp", "sctp", "icmp", "icmpv6"],
        _ => return None,
    };
    Some(values.join(" "))
}

/// `-l --long`, as far as there are both.
fn names(row: &Row) -> Vec<String> {
    let letter = row.letter.map(|letter| format!("-{letter}"));
    letter
        .into_iter()
        .chain([format!("--{}", row.long)])
        .collect()
}

/// What a word takes first behind its options, if that can be told.
fn arguments(word: &Word) -> String {
    match word.arguments {
        Arguments::Names(names) => names().join(" "),
        Arguments::None | Arguments::File => String::new(),
    }
}

/// The names of all words.
fn words() -> String {
    let all: Vec<&str> = WORDS.iter().map(|word| word.name).collect();
    all.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::options::OPTIONS;

    #[test]
    fn each_shell_is_told_every_option_and_word() {
        for (shell, dashes) in [
            (Shell::Bash, "--"),
            (Shell::Zsh, "--"),
            (Shell::Fish, "-l "),
        ] {
            let text = completions(shell);
            for row in OPTIONS {
                assert!(
                    text.contains(&format!("{dashes}{}", row.long)),
                    "{shell:?}: {}",
                    row.long
                );
            }
            for word in WORDS {
                assert!(text.contains(word.name), "{shell:?}: {}", word.name);
            }
        }
        assert_eq!(Shell::named("tcsh"), None);
    }
}
