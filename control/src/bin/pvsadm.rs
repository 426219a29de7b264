//! pvsadm: ipvsadm's words for pvsd. Through a link named ipvsadm it is the same.
//!
//! `PVS_SOCKET` names pvsd's control socket; without it, it is /run/pvs/pvsd.sock.

use pvs_control::cli::{Io, SystemNames, run};
use pvs_control::client::Client;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let argv: Vec<String> = std::env::args_os()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let names = SystemNames::new();
    let mut client = Client::from_environment();
    let mut output = BufWriter::new(io::stdout().lock());
    let mut streams = Io {
        input: &mut io::stdin().lock(),
        output: &mut output,
        errors: &mut io::stderr().lock(),
    };
    let ran = run(&argv, &names, &mut client, &mut streams);
    match ran.and_then(|status| output.flush().map(|()| status)) {
        Ok(status) => ExitCode::from(status),
        // Whoever read the listing has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::from(1),
        Err(error) => {
            let _ = writeln!(io::stderr(), "pvsadm: {error}");
            ExitCode::from(1)
        }
    }
}
