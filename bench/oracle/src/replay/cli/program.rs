//! pvsadm as a process of its own, with the recorder's names.

use anyhow::{Context, Result, ensure};
use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The recorder's hosts.
const HOSTS: &str = "127.0.0.1 localhost
10.1.2.3 web1.example web1
10.1.2.4 web2.example web2
10.1.2.100 vip.example
10.1.2.101 averyveryverylongservername.with.many.labels.example
fd00:2::1 six.example
";

/// What gives a process other hosts than the system's.
const WRAPPER: &str = "libnss_wrapper.so";

/// Where libraries are.
const LIBRARIES: [&str; 3] = ["/usr/lib", "/usr/local/lib", "/lib"];

/// The program, about to be run.
pub(super) struct Program {
    path: PathBuf,
}

/// What a run of it came to.
pub(super) struct Output {
    pub(super) rc: i32,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl Program {
    /// The pvsadm that was built beside this program.
    pub(super) fn find() -> Result<Self> {
        ensure!(
            has_wrapper(),
            "there is no {WRAPPER}: install libnss-wrapper (scripts/deps does)"
        );
        let own = std::env::current_exe()?;
        // Tests are a folder deeper than programs.
        let path = own.ancestors().skip(1).take(2).map(|f| f.join("pvsadm"));
        let path = path.into_iter().find(|path| path.is_file());
        let path = path.context("there is no pvsadm beside this program: build pvs-control")?;
        Ok(Self { path })
    }

    /// Runs it under the name that the argument vector begins with.
    pub(super) fn run(
        &self,
        argv: &[String],
        input: Option<&str>,
        socket: &Path,
    ) -> Result<Output> {
        let (name, words) = argv.split_first().context("a program's name")?;
        let hosts = socket.with_extension("hosts");
        if !hosts.exists() {
            fs::write(&hosts, HOSTS)?;
        }
        let mut command = Command::new(&self.path);
        command
            .arg0(name)
            .args(words)
            .env_clear()
            .env("LC_ALL", "C")
            .env("COLUMNS", "80")
            .env("LD_PRELOAD", WRAPPER)
            .env("NSS_WRAPPER_HOSTS", hosts)
            .env(pvs_control::client::SOCKET_VARIABLE, socket)
            .stdin(input.map_or_else(Stdio::null, |_| Stdio::piped()))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().context("pvsadm")?;
        if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
            // It need not read all of it, or any.
            let _ = stdin.write_all(input.as_bytes());
        }
        let output = child.wait_with_output()?;
        Ok(Output {
            rc: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }
}

/// The library is in one of the usual folders, or in that of an architecture there.
fn has_wrapper() -> bool {
    let below = |folder: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    };
    LIBRARIES.iter().map(Path::new).any(|folder| {
        folder.join(WRAPPER).exists() || below(folder).iter().any(|f| f.join(WRAPPER).exists())
    })
}
