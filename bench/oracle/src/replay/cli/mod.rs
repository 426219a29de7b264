//! `cli.jsonl`: what ipvsadm printed, and its exit status, in many short sessions.
//!
//! The program is pvsadm itself, a process of its own, which asks the control server over its
//! socket; the server runs here, over memory ports and by a clock that only a recorded sleep moves.
//! Packets come as frames from clients on the link of the recorded device; the rules on local
//! addresses and strange sources stay on. Names are the recorder's: its hosts by libnss-wrapper,
//! services as Debian has them, no DNS.

mod program;
mod screen;
mod stage;

use super::case::{Case, Line};
use super::ledger::Ledger;
use anyhow::Result;
use program::Program;
use serde::Deserialize;
use serde_json::Value;
use stage::{Action, Stage};

#[derive(Deserialize)]
struct Session {
    steps: Vec<Step>,
    /// There is a device dummy0.
    #[serde(default)]
    net: bool,
    /// Its MTU.
    mtu: Option<u32>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Step {
    Action {
        #[serde(rename = "do")]
        action: Action,
    },
    Command(Said),
}

/// A command and what was recorded of it. A text of the program's own words is absent.
#[derive(Deserialize)]
struct Said {
    argv: Vec<String>,
    stdin: Option<String>,
    stdout: Option<String>,
    stderr: Option<String>,
    rc: Value,
    #[serde(default)]
    volatile: bool,
}

/// A director for each session.
pub(super) fn cases(lines: Vec<Value>) -> Vec<Case> {
    let case = |value: Value| {
        let name = value.get("case").and_then(Value::as_str).unwrap_or("?");
        let name = name.to_owned();
        Case::from(Line::new(name, value))
    };
    lines.into_iter().map(case).collect()
}

pub(super) fn replay(lines: &[Line]) -> Result<Vec<Ledger>> {
    lines.iter().map(|line| session(&line.value)).collect()
}

fn session(line: &Value) -> Result<Ledger> {
    let session = Session::deserialize(line)?;
    let actions = session.steps.iter().filter_map(|step| match step {
        Step::Action { action } => Some(action),
        Step::Command(_) => None,
    });
    let mtu = session.net.then(|| session.mtu.unwrap_or(1500));
    let program = Program::find()?;
    let mut stage = Stage::new(mtu, actions)?;
    let mut ledger = Ledger::default();
    for (at, step) in session.steps.iter().enumerate() {
        match step {
            Step::Action { action } => stage.play(action)?,
            Step::Command(said) => {
                let here = program.run(&said.argv, said.stdin.as_deref(), stage.socket())?;
                compare(&mut ledger, &format!("/steps/{at}"), said, &here);
            }
        }
    }
    Ok(ledger)
}

fn compare(ledger: &mut Ledger, at: &str, said: &Said, here: &program::Output) {
    ledger.compare(format!("{at}/rc"), &said.rc, &Value::from(here.rc));
    for (stream, recorded, here) in [
        ("stdout", &said.stdout, &here.stdout),
        ("stderr", &said.stderr, &here.stderr),
    ] {
        let field = format!("{at}/{stream}");
        match recorded {
            Some(text) if said.volatile && stream == "stdout" => {
                screen::compare(ledger, field, text, here);
            }
            Some(text) => ledger.compare(field, text, here),
            None => {
                let silent = here.is_empty().then(|| "a text was recorded".to_owned());
                ledger.note(field, silent);
            }
        }
    }
}
