//! `-R`: command lines on standard input.
//!
//! All lines up to the first one that is wrong become one request, so that the workers see them at
//! once. Blanks of any kind separate words, nothing is quoted, there are no comments, and the
//! program's own name is skipped wherever it stands: so does ipvsadm.

use super::names::Names;
use super::plan::{Failure, Plan, Show, plan_options};
use super::words::Word;
use crate::command::Command;

/// What a line of input came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A command, and how to show its outcome.
    Ask(Command, Show),
    /// Nothing but a message; the input goes on.
    Said(Failure),
    /// The end of the input: it asks for help.
    Help,
    /// Asks for a word's help; not in any input.
    WordHelp(&'static Word),
    /// Something to print; not in any input.
    Print(String),
    /// The end of the input: it asks for the version.
    Version,
    /// The end of the input: it is wrong.
    Wrong(Failure),
}

/// Reads the input up to its end, or to the line that ends it.
pub(super) fn lines(program: &str, input: &str, names: &dyn Names) -> Vec<Line> {
    let mut lines = Vec::new();
    for text in input.split('\n') {
        let Some(line) = line(program, text, names) else {
            continue;
        };
        let last = matches!(line, Line::Help | Line::Version | Line::Wrong(_));
        lines.push(line);
        if last {
            break;
        }
    }
    lines
}

/// The commands of a file as `-R` reads it, each with the number of its line, from 1; blank lines
/// have none. What `-R` would answer by a text, or by a message, is what is wrong with a line.
pub fn commands<'a>(
    program: &'a str,
    input: &'a str,
    names: &'a dyn Names,
) -> impl Iterator<Item = (usize, Result<Command, String>)> + 'a {
    (1..)
        .zip(input.split('\n'))
        .filter_map(move |(number, text)| {
            let command = match line(program, text, names)? {
                Line::Ask(command, _) => Ok(command),
                Line::Said(failure) | Line::Wrong(failure) => Err(failure.to_string()),
                Line::Help | Line::WordHelp(_) | Line::Print(_) | Line::Version => {
                    Err("this is no command".to_owned())
                }
            };
            Some((number, command))
        })
}

/// What a line comes to; `None` if it is blank.
fn line(program: &str, text: &str, names: &dyn Names) -> Option<Line> {
    let words = text.split([' ', '\t', '\r']).filter(|w| !w.is_empty());
    // A word is a text of C's: a NUL ends it.
    let words = words.map(|w| w.split('\0').next().unwrap_or_default());
    let words = words
        .filter(|w| !matches!(*w, "ipvsadm" | "pvsadm"))
        .map(str::to_owned);
    let argv: Vec<String> = std::iter::once(program.to_owned()).chain(words).collect();
    if argv.len() == 1 {
        return None;
    }
    Some(match plan_options(&argv, names) {
        Ok(Plan::Ask { command, show }) => Line::Ask(command, show),
        Ok(Plan::Help) => Line::Help,
        Ok(Plan::Version) => Line::Version,
        // Reading the input again while reading it would never end; words are no rules.
        Ok(
            Plan::Restore
            | Plan::RestoreMarks
            | Plan::WordHelp(_)
            | Plan::Table { .. }
            | Plan::Print(_),
        ) => Line::Wrong(Failure::NoCommand(program.to_owned())),
        Err(failure) if failure.ends_restore() => Line::Wrong(failure),
        Err(failure) => Line::Said(failure),
    })
}
