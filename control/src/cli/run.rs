//! A command line from its words to its exit status.

use super::answers::Session;
use super::companions::{Companion, SAVE_USAGE, companion, restored};
use super::marks::parse_marks;
use super::names::Names;
use super::plan::{Failure, Plan, Show, TableUse, plan};
use super::restore::{Line, lines};
use super::table;
use crate::command::{Command, Rule};
use crate::reply::Outcome;
use std::io::{self, Read, Write};
use std::time::Duration;

/// The streams of a program.
pub struct Io<'a> {
    /// Read by `-R` only.
    pub input: &'a mut dyn Read,
    /// Listings, help.
    pub output: &'a mut dyn Write,
    /// Messages.
    pub errors: &'a mut dyn Write,
}

/// Why nothing can be learnt from pvsd.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// Nobody answers.
    #[error("cannot reach pvsd at {path}: {error}")]
    Unreachable {
        /// The socket's path.
        path: String,
        /// What was said.
        error: io::Error,
    },
    /// The conversation broke off.
    #[error("pvsd does not answer: {0}")]
    Broken(#[from] crate::frame::FrameError),
    /// The conversation ended too early.
    #[error("pvsd has ended the conversation")]
    Ended,
    /// No answer in time.
    #[error("pvsd has not answered for {} seconds: is it stopped, or stuck?", .0.as_secs())]
    Silent(Duration),
    /// pvsd did not understand the request.
    #[error("pvsd says: {0}")]
    NotUnderstood(String),
    /// The answer could not be printed.
    #[error("cannot write: {0}")]
    Output(io::Error),
}

/// What becomes of an outcome, part by part.
pub type Asked<'a> = &'a mut dyn FnMut(Outcome) -> io::Result<()>;

/// The way to pvsd.
pub trait Link {
    /// Has commands carried out as one snapshot, and hands over their outcomes in order. Returns a
    /// warning, if there is one.
    ///
    /// # Errors
    /// [`LinkError`].
    fn ask(&mut self, commands: &[Command], asked: Asked<'_>) -> Result<Option<String>, LinkError>;
}

/// Status when pvsd cannot be asked.
const UNREACHABLE: u8 = 2;
/// Status of a file of rules that is refused.
pub(super) const TABLE_REFUSED: u8 = 2;
/// Status of ipvsadm-save when it prints its usage.
const SAVE_MISUSED: u8 = 1;

/// Runs a command line, the program's name first, and returns its exit status.
///
/// # Errors
/// If a stream fails.
pub fn run(
    argv: &[String],
    names: &dyn Names,
    link: &mut dyn Link,
    io: &mut Io<'_>,
) -> io::Result<u8> {
    let words;
    let mut restores = false;
    let argv = match companion(argv) {
        Some(Companion::Restore(translated)) => {
            restores = true;
            words = translated;
            words.as_slice()
        }
        Some(Companion::Words(translated)) => {
            words = translated;
            words.as_slice()
        }
        Some(Companion::Usage) => {
            writeln!(io.errors, "{SAVE_USAGE}")?;
            return Ok(SAVE_MISUSED);
        }
        None => argv,
    };
    let program = argv.first().map_or("pvsadm", String::as_str);
    let steps = match plan(argv, names) {
        Ok(Plan::Ask { command, show }) => vec![Line::Ask(command, show)],
        Ok(Plan::Table { file, what }) => match table(program, &file, names, io)? {
            Ok(_) if what == TableUse::Check => vec![],
            Ok(rules) => {
                let dry_run = what != TableUse::Apply;
                vec![Line::Ask(
                    Command::Replace { rules, dry_run },
                    Show::Changes(what),
                )]
            }
            Err(wrong) => vec![Line::Wrong(Failure::wrong(format!("{program}: {wrong}")))],
        },
        Ok(Plan::Help) => vec![Line::Help],
        Ok(Plan::WordHelp(word)) => vec![Line::WordHelp(word)],
        Ok(Plan::Version) => vec![Line::Version],
        Ok(Plan::Print(text)) => vec![Line::Print(text)],
        Ok(Plan::RestoreMarks) => {
            let mut input = Vec::new();
            io.input.read_to_end(&mut input)?;
            match parse_marks(program, &String::from_utf8_lossy(&input)) {
                Ok(rules) => vec![Line::Ask(Command::SetMarks(rules), Show::Nothing)],
                Err(failure) => vec![Line::Wrong(failure)],
            }
        }
        Ok(Plan::Restore) => {
            let mut input = Vec::new();
            io.input.read_to_end(&mut input)?;
            let mut input = String::from_utf8_lossy(&input).into_owned();
            if restores {
                input = restored(&input);
            }
            lines(program, &input, names)
        }
        Err(failure) => vec![Line::Wrong(failure)],
    };
    let mut session = Session::new(program, names, io);
    match session.run(steps, link) {
        Ok(()) => Ok(session.status),
        Err(LinkError::Output(error)) => Err(error),
        Err(error) => {
            writeln!(session.io.errors, "{program}: {error}")?;
            Ok(UNREACHABLE)
        }
    }
}

/// The rules in a file, or what is wrong with it.
fn table(
    program: &str,
    file: &str,
    names: &dyn Names,
    io: &mut Io<'_>,
) -> io::Result<Result<Vec<Rule>, String>> {
    let mut bytes = Vec::new();
    if file == "-" {
        io.input.read_to_end(&mut bytes)?;
    } else {
        match std::fs::read(file) {
            Ok(read) => bytes = read,
            Err(error) => return Ok(Err(format!("{file}: {error}"))),
        }
    }
    let read = table::read(program, &String::from_utf8_lossy(&bytes), names);
    Ok(read.map_err(|wrong| format!("{file}: {wrong}")))
}
