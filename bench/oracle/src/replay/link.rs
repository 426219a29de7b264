//! From the command line to the store, without a socket between them.

use super::lab::Lab;
use pvs_control::cli::{Asked, Link, LinkError};
use pvs_control::command::Command;
use pvs_control::limits::SEEN_TIME_MAX;
use pvs_control::reply::{ConnectionView, Outcome, Refusal};
use pvs_control::{Cursor, Plane};
use serde_json::Value;

/// The store itself in place of a socket, with what the control server does around it.
pub(super) struct Direct<'a> {
    pub(super) lab: &'a mut Lab,
    /// What was asked for and the dataplane can't do.
    pub(super) missing: Option<String>,
}

impl Link for Direct<'_> {
    fn ask(&mut self, commands: &[Command], asked: Asked<'_>) -> Result<Option<String>, LinkError> {
        let Lab { store, plane, .. } = &mut *self.lab;
        let outcomes = store.apply_all(commands, plane);
        if let Some(snapshot) = store.take_snapshot() {
            let version = snapshot.version;
            plane.publish(snapshot);
            if plane.wait_seen(version, SEEN_TIME_MAX).is_ok() {
                store.note_seen(version, plane);
            }
        }
        for (command, outcome) in commands.iter().zip(outcomes) {
            match outcome {
                Outcome::Connections { .. } => pages(plane, asked)?,
                Outcome::Refused(refusal) => {
                    self.missing = self.missing.take().or_else(|| missing(command, &refusal));
                    asked(Outcome::Refused(refusal)).map_err(LinkError::Output)?;
                }
                other => asked(other).map_err(LinkError::Output)?,
            }
        }
        Ok(None)
    }
}

/// A listing of connections, page by page.
fn pages(plane: &mut dyn Plane, asked: Asked<'_>) -> Result<(), LinkError> {
    let mut from = Cursor::default();
    loop {
        let mut page = Vec::new();
        let next = plane.connections(from, &mut page);
        let entries = page.iter().map(ConnectionView::from).collect();
        let (outcome, next) = match next {
            Ok(next) => {
                let more = next.is_some();
                (Outcome::Connections { entries, more }, next)
            }
            Err(lag) => {
                let worker = lag.worker;
                (Outcome::Refused(Refusal::Silent { worker }), None)
            }
        };
        asked(outcome).map_err(LinkError::Output)?;
        match next {
            Some(next) => from = next,
            None => return Ok(()),
        }
    }
}

/// What a refusal says that the dataplane can't do.
fn missing(command: &Command, refusal: &Refusal) -> Option<String> {
    match (refusal, command) {
        (Refusal::Unsupported(feature), _) => match serde_json::to_value(feature) {
            Ok(Value::String(name)) => Some(name),
            _ => Some("feature".to_owned()),
        },
        (
            Refusal::SchedulerUnknown,
            Command::AddService(request) | Command::EditService(request),
        ) => Some(format!("scheduler {}", request.scheduler)),
        _ => None,
    }
}
