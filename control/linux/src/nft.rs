//! The command `nft`: a ruleset on its standard input, a listing from its standard output.

use crate::Error;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs `nft -f -` with this ruleset, which is taken whole or not at all.
pub(crate) fn apply(ifname: &str, ruleset: &str) -> Result<(), Error> {
    run(ifname, &["-f", "-"], ruleset)?
        .map(|_| ())
        .map_err(|text| Error::Nft {
            ifname: ifname.to_owned(),
            text,
        })
}

/// The output of `nft` with these arguments; `None` if it says that there is no such thing.
pub(crate) fn list(ifname: &str, arguments: &[&str]) -> Result<Option<String>, Error> {
    Ok(run(ifname, arguments, "")?.ok())
}

/// The output, or the first line of the complaint.
fn run(ifname: &str, arguments: &[&str], input: &str) -> Result<Result<String, String>, Error> {
    let failed = |text: String| Error::Nft {
        ifname: ifname.to_owned(),
        text,
    };
    // A daemon's PATH may be without the directories of the administrator's commands.
    let known = ["/usr/sbin/nft", "/sbin/nft"];
    let found = known.into_iter().find(|path| Path::new(path).exists());
    let mut child = Command::new(found.unwrap_or("nft"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| match error.kind() {
            ErrorKind::NotFound => Error::NoNft,
            _ => failed(format!("it cannot be run: {error}")),
        })?;
    if let Some(mut stdin) = child.stdin.take() {
        // An nft that ends before it has read all says why on its standard error.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child
        .wait_with_output()
        .map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(Ok(String::from_utf8_lossy(&output.stdout).into_owned()));
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    Ok(Err(complaint
        .lines()
        .next()
        .unwrap_or("no reason given")
        .to_owned()))
}
