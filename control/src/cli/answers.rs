//! The answers to a command line, printed as they come, and the status that they make.

use super::help::{help, version, word_help};
use super::names::Names;
use super::plan::{Failure, Show, TableUse};
use super::restore::Line;
use super::run::{Io, Link, LinkError, TABLE_REFUSED};
use crate::command::Command;
use crate::listing::{self, Labels, json, proc};
use crate::reply::{ConnectionView, Outcome, ServiceView};
use crate::status::{StatusView, attention};
use std::io;

/// Status of a file of rules that are not those that are running.
const DIFFERENT: u8 = 1;
/// Status of a listing that is refused.
const LISTING_REFUSED: u8 = 1;
/// Status of a report that has something to attend to.
const ATTENTION: u8 = 1;
/// Status of a command that is refused, as of an option that is not understood.
const REFUSED: u8 = 255;

/// The printing of one command line's answers.
pub(super) struct Session<'a, 'b> {
    program: &'a str,
    names: &'a dyn Names,
    pub(super) io: &'a mut Io<'b>,
    pub(super) status: u8,
    /// Parts of a listing of services that is not complete.
    gathered: Vec<ServiceView>,
    /// Pages of connections that are shown as one value.
    connections: Vec<ConnectionView>,
    /// Parts of a status that is not complete.
    status_so_far: Option<Box<StatusView>>,
}

impl<'a, 'b> Session<'a, 'b> {
    pub(super) fn new(program: &'a str, names: &'a dyn Names, io: &'a mut Io<'b>) -> Self {
        Self {
            program,
            names,
            io,
            status: 0,
            gathered: Vec::new(),
            connections: Vec::new(),
            status_so_far: None,
        }
    }
}

impl Session<'_, '_> {
    /// Asks what is to be asked, and prints answers and texts in the order of the steps.
    pub(super) fn run(&mut self, steps: Vec<Line>, link: &mut dyn Link) -> Result<(), LinkError> {
        let ask = |step: &Line| match step {
            Line::Ask(command, _) => Some(command.clone()),
            _ => None,
        };
        let commands: Vec<Command> = steps.iter().filter_map(ask).collect();
        let mut steps = steps.into_iter();
        if !commands.is_empty() {
            let mut shown = None;
            let mut ended = false;
            let warning = link.ask(&commands, &mut |outcome| {
                // ipvsadm has exited by now.
                if ended {
                    return Ok(());
                }
                if shown.is_none() {
                    shown = self.until_asked(&mut steps).map_err(to_io)?;
                    self.begin(shown, &outcome)?;
                }
                let Some(show) = shown else { return Ok(()) };
                match self.outcome(show, outcome)? {
                    Part::More => {}
                    Part::Last => shown = None,
                    Part::End => (shown, ended) = (None, true),
                }
                Ok(())
            })?;
            if let Some(warning) = warning {
                writeln!(self.io.errors, "{}: {warning}", self.program)
                    .map_err(LinkError::Output)?;
            }
            if ended {
                return Ok(());
            }
        }
        self.until_asked(&mut steps).map(|_| ())
    }

    /// Prints what needs no answer, up to the next step that has one.
    fn until_asked(
        &mut self,
        steps: &mut dyn Iterator<Item = Line>,
    ) -> Result<Option<Show>, LinkError> {
        for step in steps {
            match step {
                Line::Ask(_, show) => return Ok(Some(show)),
                Line::Said(failure) | Line::Wrong(failure) => self.failure(&failure),
                Line::Help => self.text(&help(self.program)),
                Line::WordHelp(word) => self.text(&word_help(self.program, word)),
                Line::Version => self.text(&version()),
                Line::Print(text) => self.text(&text),
            }
            .map_err(LinkError::Output)?;
        }
        Ok(None)
    }

    fn failure(&mut self, failure: &Failure) -> io::Result<()> {
        self.status = failure.status();
        writeln!(self.io.errors, "{failure}")
    }

    fn text(&mut self, text: &str) -> io::Result<()> {
        self.status = 0;
        self.io.output.write_all(text.as_bytes())
    }

    /// Before the first part of an answer.
    fn begin(&mut self, show: Option<Show>, outcome: &Outcome) -> io::Result<()> {
        match (show, outcome) {
            (Some(Show::Table(format)), Outcome::Connections { .. }) => {
                self.text(&listing::connections_heading(format))
            }
            (Some(Show::Proc(_)), Outcome::Connections { .. }) => self.text(proc::CONNECTIONS),
            _ => Ok(()),
        }
    }

    /// Prints a part of an answer.
    fn outcome(&mut self, show: Show, outcome: Outcome) -> io::Result<Part> {
        match outcome {
            Outcome::Done => self.text("")?,
            Outcome::Refused(refusal) => {
                writeln!(self.io.errors, "{refusal}")?;
                let listing = show != Show::Nothing;
                self.status = match show {
                    Show::Nothing => REFUSED,
                    Show::Changes(_) => TABLE_REFUSED,
                    _ => LISTING_REFUSED,
                };
                // ipvsadm exits here, also in the middle of -R.
                return Ok(if listing { Part::End } else { Part::Last });
            }
            Outcome::Services {
                table_size,
                services,
                more,
            } => {
                self.gather(services);
                if more {
                    return Ok(Part::More);
                }
                self.services(show, table_size)?;
            }
            Outcome::Connections { entries, more } => return self.page(show, entries, more),
            Outcome::Totals { stats, rates } => self.text(&proc::totals(&stats, &rates))?,
            Outcome::Changes(commands) => self.changes(show, &commands)?,
            Outcome::Timeouts {
                tcp_secs,
                tcp_fin_secs,
                udp_secs,
            } => self.text(&match show {
                Show::Json(_) => json::timeouts(tcp_secs, tcp_fin_secs, udp_secs),
                _ => listing::timeouts(tcp_secs, tcp_fin_secs, udp_secs),
            })?,
            Outcome::Daemons(daemons) => self.text(&match show {
                Show::Json(_) => json::daemons(&daemons),
                _ => listing::daemons(&daemons),
            })?,
            Outcome::Explanation(explanation) => {
                if let Show::Report(detail) = show {
                    self.text(&listing::explanation(&explanation, detail))?;
                }
            }
            Outcome::Marks(rules) => match show {
                Show::Report(detail) => self.text(&listing::marks(&rules, detail))?,
                Show::MarkLines => self.text(&listing::mark_lines(&rules))?,
                _ => {}
            },
            Outcome::Slots(views) => {
                if let Show::Report(detail) = show {
                    self.text(&listing::slots(&views, detail))?;
                }
            }
            Outcome::Tunables(tunings) => {
                if let Show::Report(detail) = show {
                    self.text(&listing::tunables(&tunings, detail))?;
                }
            }
            Outcome::Status { status, more } => return self.state(show, status, more),
            Outcome::Drops(losses) => {
                if let Show::Report(detail) = show {
                    self.text(&listing::drops(losses, detail))?;
                }
            }
        }
        Ok(Part::Last)
    }

    /// A page of connections.
    fn page(&mut self, show: Show, entries: Vec<ConnectionView>, more: bool) -> io::Result<Part> {
        match show {
            Show::Table(format) => {
                let labels = Labels::new(self.names, format.numeric);
                let line = |entry: &ConnectionView| listing::connection(entry, format, &labels);
                self.text(&entries.iter().map(line).collect::<String>())?;
            }
            Show::Proc(_) => {
                self.text(&entries.iter().map(proc::connection).collect::<String>())?;
            }
            Show::Json(_) => {
                self.connections.extend(entries);
                if !more {
                    let all = std::mem::take(&mut self.connections);
                    self.text(&json::connections(&all))?;
                }
            }
            _ => return Ok(Part::Last),
        }
        Ok(if more { Part::More } else { Part::Last })
    }

    /// The commands by which rules replaced others, or would.
    fn changes(&mut self, show: Show, commands: &[Command]) -> io::Result<()> {
        if show == Show::Changes(TableUse::Apply) {
            return self.text("");
        }
        let line = |command: &Command| listing::command_line(command) + "\n";
        self.text(&commands.iter().map(line).collect::<String>())?;
        if show == Show::Changes(TableUse::Diff) && !commands.is_empty() {
            self.status = DIFFERENT;
        }
        Ok(())
    }

    /// Puts a part behind the others; a service may be spread over both.
    fn gather(&mut self, services: Vec<ServiceView>) {
        for service in services {
            match self.gathered.last_mut() {
                Some(last) if last.config.key == service.config.key => {
                    last.servers.extend(service.servers);
                }
                _ => self.gathered.push(service),
            }
        }
    }

    /// A part of a status; the whole is printed with its last part.
    fn state(&mut self, show: Show, status: Box<StatusView>, more: bool) -> io::Result<Part> {
        let status = match self.status_so_far.take() {
            Some(mut so_far) => {
                so_far.join(*status);
                so_far
            }
            None => status,
        };
        if more {
            self.status_so_far = Some(status);
            return Ok(Part::More);
        }
        if let Show::Report(detail) = show {
            let attention = attention(&status);
            self.text(&listing::status(&status, &attention, detail))?;
            self.status = if attention.is_empty() { 0 } else { ATTENTION };
        }
        Ok(Part::Last)
    }

    fn services(&mut self, show: Show, table_size: u64) -> io::Result<()> {
        let views = std::mem::take(&mut self.gathered);
        let text = match show {
            Show::Nothing | Show::Report(_) | Show::MarkLines | Show::Changes(_) => String::new(),
            Show::Proc(_) => proc::services(&views, table_size),
            Show::Json(format) => json::services(views, table_size, format),
            Show::Table(format) => {
                let labels = Labels::new(self.names, format.numeric);
                listing::services(views, table_size, format, &labels)
            }
            Show::Rules(format) => {
                let labels = Labels::new(self.names, format.numeric);
                listing::rules(views, format, &labels)
            }
        };
        self.text(&text)
    }
}

/// Whether an answer goes on.
enum Part {
    /// Another part follows.
    More,
    /// The next command's answer follows.
    Last,
    /// Nothing that follows is of interest.
    End,
}

fn to_io(error: LinkError) -> io::Error {
    match error {
        LinkError::Output(error) => error,
        other => io::Error::other(other),
    }
}
