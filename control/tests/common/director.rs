//! Command lines against a store, with frames between them.

use crate::common::IdlePlane;
use pvs_control::cli::{Asked, FileNames, Io, Link, LinkError, run};
use pvs_control::command::Command;
use pvs_control::frame::{Response, VERSION, decode, encode};
use pvs_control::reply::Outcome;
use pvs_control::{Capabilities, Store};

/// A store behind frames.
pub struct Director {
    pub store: Store,
    pub plane: IdlePlane,
}

impl Director {
    pub fn new() -> Self {
        Self {
            store: Store::new(Capabilities::ALL),
            plane: IdlePlane::default(),
        }
    }

    /// Runs a command line with this input: status, output, errors.
    pub fn fed(&mut self, line: &str, mut input: &[u8]) -> (u8, String, String) {
        let argv: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let (mut output, mut errors) = (Vec::new(), Vec::new());
        let mut io = Io {
            input: &mut input,
            output: &mut output,
            errors: &mut errors,
        };
        let status = run(&argv, &FileNames::default(), self, &mut io).unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (status, text(output), text(errors))
    }

    pub fn run(&mut self, line: &str) -> (u8, String, String) {
        self.fed(line, b"")
    }

    /// The output of a command line that succeeds in silence otherwise.
    pub fn shown(&mut self, line: &str) -> String {
        let (status, output, errors) = self.run(line);
        assert_eq!((status, errors.as_str()), (0, ""), "{line}");
        output
    }
}

impl Link for Director {
    fn ask(&mut self, commands: &[Command], asked: Asked<'_>) -> Result<Option<String>, LinkError> {
        let mut outcomes = self.store.apply_all(commands, &self.plane);
        for (command, outcome) in commands.iter().zip(&mut outcomes) {
            if let (Command::ListConnections, Outcome::Connections { entries, .. }) =
                (command, outcome)
            {
                *entries = self.plane.connections.iter().map(Into::into).collect();
            }
        }
        let answer = Response {
            version: VERSION,
            outcomes,
            last: true,
            ..Response::default()
        };
        let received: Response = decode(&encode(&answer)?)?;
        assert_eq!(received, answer);
        for outcome in received.outcomes {
            asked(outcome).map_err(LinkError::Output)?;
        }
        Ok(None)
    }
}
