//! From an argument vector to a validated command, or to the words that ipvsadm refuses it with.

use super::draft::{Draft, timeout};
use super::legality::{judge_command, scheduler_flags};
use super::names::Names;
use super::request::{SCHEDULER, daemon, format, list, server_config, service_request};
use super::row::{Tag, Verb};
use super::tokens::{Token, Tokens};
use super::words::{self, Word};
use crate::command::{Command, DaemonRole};
use crate::listing::{Detail, Format, ProcFile};

/// What a command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Print the help.
    Help,
    /// Print the help of a word.
    WordHelp(&'static Word),
    /// Print the version.
    Version,
    /// Print this.
    Print(String),
    /// Carry out what standard input says.
    Restore,
    /// Have the mark rules on standard input in place of all others.
    RestoreMarks,
    /// Do something with a file of rules.
    Table {
        /// The file; `-` is standard input.
        file: String,
        /// What to do with it.
        what: TableUse,
    },
    /// Ask pvsd.
    Ask {
        /// What to ask.
        command: Command,
        /// How to show the answer.
        show: Show,
    },
}

/// What is done with a file of rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableUse {
    /// It becomes what is running.
    Apply,
    /// What it would change is shown.
    DryRun,
    /// The same, and is the exit status.
    Diff,
    /// Whether it can be read.
    Check,
}

/// How an answer is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// Not at all, unless it is a refusal.
    Nothing,
    /// As a table.
    Table(Format),
    /// As the commands that make it up.
    Rules(Format),
    /// As the lines that make mark rules.
    MarkLines,
    /// As `status` and `drops` show it.
    Report(Detail),
    /// As one JSON value.
    Json(Format),
    /// As a file of `/proc/net`.
    Proc(ProcFile),
    /// As the commands by which rules replace others.
    Changes(TableUse),
}

/// A command line that is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// What it says is wrong; ends `-R`.
    #[error("{0}")]
    Wrong(String),
    /// It could not be read as options; `-R` goes on with the next line.
    #[error("{0}")]
    Unreadable(String),
    /// It does not begin with a command.
    #[error("Try `{0} -h' or '{0} --help' for more information.")]
    NoCommand(String),
}

impl Failure {
    pub(super) fn wrong(text: impl Into<String>) -> Self {
        Self::Wrong(text.into())
    }

    /// The exit status.
    #[must_use]
    pub const fn status(&self) -> u8 {
        match self {
            Self::Wrong(_) => 2,
            Self::Unreadable(_) | Self::NoCommand(_) => 255,
        }
    }

    /// `-R` does not go on.
    #[must_use]
    pub const fn ends_restore(&self) -> bool {
        !matches!(self, Self::Unreadable(_))
    }
}

/// Reads an argument vector, the program's name first. No argument at all lists the table; a first
/// argument without a dash is one of pvsadm's own words, unless the program is called ipvsadm.
///
/// # Errors
/// [`Failure`].
pub fn plan(argv: &[String], names: &dyn Names) -> Result<Plan, Failure> {
    match argv.split_first() {
        Some((program, [word, rest @ ..]))
            if words::has_words(program) && !word.starts_with('-') =>
        {
            words::plan(program, word, rest)
        }
        Some((program, words)) => options(program, words, names, words::has_words(program)),
        None => plan_options(argv, names),
    }
}

/// Reads an argument vector as ipvsadm does: the one way to read a line of `-R`.
///
/// # Errors
/// [`Failure`].
pub(super) fn plan_options(argv: &[String], names: &dyn Names) -> Result<Plan, Failure> {
    match argv.split_first() {
        Some((program, words)) => options(program, words, names, false),
        None => options("pvsadm", argv, names, false),
    }
}

/// Reads options; with `own`, also those that ipvsadm does not have.
fn options(program: &str, words: &[String], names: &dyn Names, own: bool) -> Result<Plan, Failure> {
    if words.is_empty() {
        let show = Show::Table(Format::default());
        return Ok(Plan::Ask {
            command: Command::ListServices,
            show,
        });
    }
    let mut tokens = Tokens::new(words.iter().cloned());
    tokens.set_own(own);
    let no_command = || Failure::NoCommand(program.to_owned());
    let first = tokens
        .next_option()
        .map_err(|_| no_command())?
        .ok_or_else(no_command)?;
    let verb = match first.row.tag {
        Tag::Verb(verb) => verb,
        Tag::Help => return Ok(Plan::Help),
        Tag::Version => return Ok(Plan::Version),
        _ => return Err(no_command()),
    };
    let role = daemon_role(verb, &first)?;
    let mut draft = Draft::new();
    loop {
        match tokens.next_option() {
            Ok(Some(token)) => draft.take(&token, names)?,
            Ok(None) => break,
            Err(error) => return Err(Failure::Unreadable(error.to_string())),
        }
    }
    let timeouts = if verb == Verb::Set {
        Some(three_timeouts(&mut tokens)?)
    } else {
        None
    };
    if let Some(word) = tokens.next_left_over() {
        return Err(Failure::wrong(format!("unexpected argument {word}")));
    }
    if let Some(text) = draft.scheduler_flags.take() {
        let scheduler = if draft.scheduler.is_empty() {
            SCHEDULER
        } else {
            &draft.scheduler
        };
        draft.flags = draft.flags.with(scheduler_flags(scheduler, &text)?);
    }
    judge_command(verb, &draft)?;
    finish(verb, role, timeouts, draft)
}

/// The role of a daemon command's argument.
fn daemon_role(verb: Verb, token: &Token) -> Result<Option<DaemonRole>, Failure> {
    let said = match verb {
        Verb::StartDaemon => "illegal start-daemon parameter specified",
        Verb::StopDaemon => "illegal start_daemon specified",
        _ => return Ok(None),
    };
    let role = token.value.as_deref().and_then(DaemonRole::named);
    role.map(Some).ok_or_else(|| Failure::wrong(said))
}

/// The three words behind `--set`.
fn three_timeouts(tokens: &mut Tokens) -> Result<[u32; 3], Failure> {
    let words: Vec<_> = (0..3).map_while(|_| tokens.next_left_over()).collect();
    let [tcp, tcp_fin, udp] = words.as_slice() else {
        return Err(Failure::wrong("--set option requires 3 timeout values"));
    };
    let secs = |word: &String| timeout(Some(word), 0);
    Ok([secs(tcp)?, secs(tcp_fin)?, secs(udp)?])
}

/// Makes the command out of options that are legal with it.
fn finish(
    verb: Verb,
    role: Option<DaemonRole>,
    timeouts: Option<[u32; 3]>,
    draft: Draft,
) -> Result<Plan, Failure> {
    let needed = || Failure::wrong("the command names no service or server");
    let service = draft.service();
    let command = match verb {
        Verb::List => return list(&draft),
        Verb::Restore => return Ok(Plan::Restore),
        Verb::Save => {
            let show = Show::Rules(format(&draft));
            return Ok(Plan::Ask {
                command: Command::ListServices,
                show,
            });
        }
        Verb::AddService => Command::AddService(service_request(draft)?),
        Verb::EditService => Command::EditService(service_request(draft)?),
        Verb::DeleteService => Command::DeleteService(service.ok_or_else(needed)?),
        Verb::Flush => Command::Flush,
        Verb::AddServer => {
            let (service, server) = server_config(&draft)?;
            Command::AddServer { service, server }
        }
        Verb::EditServer => {
            let (service, server) = server_config(&draft)?;
            Command::EditServer { service, server }
        }
        Verb::DeleteServer => {
            let (service, server) = service.zip(draft.server()).ok_or_else(needed)?;
            Command::DeleteServer { service, server }
        }
        Verb::Zero => Command::Zero(service),
        Verb::Set => {
            let [tcp_secs, tcp_fin_secs, udp_secs] = timeouts.unwrap_or_default();
            Command::SetTimeouts {
                tcp_secs,
                tcp_fin_secs,
                udp_secs,
            }
        }
        Verb::StartDaemon => Command::StartDaemon(daemon(role.ok_or_else(needed)?, draft)),
        Verb::StopDaemon => Command::StopDaemon(role.ok_or_else(needed)?),
    };
    Ok(Plan::Ask {
        command,
        show: Show::Nothing,
    })
}
