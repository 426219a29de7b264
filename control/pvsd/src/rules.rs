//! Rules that are loaded at start: a file as `ipvsadm -S` writes it, read as `ipvsadm -R` reads it.

use anyhow::{Context, Result, ensure};
use pvs_control::cli::{self, Asked, Io, Link, LinkError, SystemNames};
use pvs_control::command::Command;
use pvs_control::reply::Outcome;
use pvs_control::{Plane, Store};
use std::path::Path;

/// The store itself in place of a socket.
struct Direct<'a> {
    store: &'a mut Store,
    plane: &'a dyn Plane,
}

impl Link for Direct<'_> {
    fn ask(&mut self, commands: &[Command], asked: Asked<'_>) -> Result<Option<String>, LinkError> {
        for command in commands {
            let outcome = self.store.apply(command, self.plane);
            asked(outcome.unwrap_or_else(Outcome::Refused)).map_err(LinkError::Output)?;
        }
        Ok(None)
    }
}

/// Loads a file.
///
/// # Errors
/// It can't be read, or one of its lines is wrong: pvsd does not start with half of its rules.
pub fn load(file: &Path, store: &mut Store, plane: &dyn Plane) -> Result<()> {
    let shown = file.display();
    let mut input = std::fs::File::open(file).with_context(|| {
        format!("rules.file {shown}: make it with pvsadm -S, or take the line out")
    })?;
    let (mut output, mut errors) = (Vec::new(), Vec::new());
    let mut io = Io {
        input: &mut input,
        output: &mut output,
        errors: &mut errors,
    };
    let argv = ["pvsd", "-R"].map(str::to_owned);
    let status = cli::run(
        &argv,
        &SystemNames::new(),
        &mut Direct { store, plane },
        &mut io,
    )?;
    let errors = String::from_utf8_lossy(&errors);
    let first = errors.lines().next().unwrap_or("a line is wrong");
    ensure!(
        status == 0 && errors.is_empty(),
        "rules.file {shown}: {first}"
    );
    Ok(())
}
