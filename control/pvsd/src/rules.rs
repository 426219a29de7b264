//! Rules that are loaded at start: a file as `ipvsadm -S` writes it, read as `ipvsadm -R` reads it.

use anyhow::{Context, Result, ensure};
use pvs_control::cli::{self, Asked, Io, Link, LinkError, SystemNames};
use pvs_control::command::{Command, Tuning};
use pvs_control::{NoPlane, Store};
use std::path::Path;

/// The store itself in place of a socket.
struct Direct<'a>(&'a mut Store);

impl Link for Direct<'_> {
    fn ask(&mut self, commands: &[Command], asked: Asked<'_>) -> Result<Option<String>, LinkError> {
        for outcome in self.0.apply_all(commands, &NoPlane) {
            asked(outcome).map_err(LinkError::Output)?;
        }
        Ok(None)
    }
}

/// Sets the tunables that the configuration names.
///
/// # Errors
/// One is refused; `config` has judged them before.
pub fn tune(tunings: &[Tuning], store: &mut Store) -> Result<()> {
    store
        .apply(&Command::Tune(tunings.to_vec()), &NoPlane)
        .context("[sysctl]")?;
    Ok(())
}

/// Loads a file of mark rules.
///
/// # Errors
/// It can't be read, or one of its lines is wrong.
pub fn load_marks(file: &Path, store: &mut Store) -> Result<()> {
    let shown = file.display();
    let text = std::fs::read_to_string(file).with_context(|| {
        format!("rules.marks {shown}: make it with pvsadm mark save, or take the line out")
    })?;
    let rules = cli::parse_marks("rules.marks", &text).with_context(|| shown.to_string())?;
    store
        .apply(&Command::SetMarks(rules), &NoPlane)
        .with_context(|| format!("rules.marks {shown}"))?;
    Ok(())
}

/// Loads a file into a store that nobody serves yet.
///
/// # Errors
/// It can't be read, or one of its lines is wrong: pvsd does not start with half of its rules.
pub fn load(file: &Path, store: &mut Store) -> Result<()> {
    let shown = file.display();
    let text = std::fs::read_to_string(file).with_context(|| {
        format!("rules.file {shown}: make it with pvsadm -S, or take the line out")
    })?;
    let argv = ["pvsd", "-R"].map(str::to_owned);
    for (number, line) in (1..).zip(text.lines()) {
        let (mut output, mut errors) = (Vec::<u8>::new(), Vec::<u8>::new());
        let mut input = line.as_bytes();
        let mut io = Io {
            input: &mut input,
            output: &mut output,
            errors: &mut errors,
        };
        let status = cli::run(&argv, &SystemNames::new(), &mut Direct(store), &mut io)?;
        let told = String::from_utf8_lossy(&errors);
        let told: String = told.lines().next().unwrap_or("not understood").into();
        ensure!(
            status == 0 && errors.is_empty(),
            "rules.file {shown}: line {number}: {told}"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use pvs_control::Capabilities;

    fn loaded(rules: &str) -> Result<usize> {
        let name = format!("pvsd-rules-{}-{}", std::process::id(), rules.len());
        let file = std::env::temp_dir().join(name);
        std::fs::write(&file, rules).unwrap();
        let mut store = Store::new(Capabilities::ALL);
        let result = load(&file, &mut store);
        std::fs::remove_file(&file).unwrap();
        result.map(|()| store.snapshot().services().map(|s| s.servers().len()).sum())
    }

    #[test]
    fn a_saved_file_is_loaded_and_a_wrong_line_is_named() {
        let rules = "-A -t 10.0.0.1:80 -s wlc\n\n-a -t 10.0.0.1:80 -r 10.1.1.1:80 -m -w 3\n";
        assert_eq!(loaded(rules).unwrap(), 1);
        let wrong = format!("{rules}-a -t 10.0.0.2:80 -r 10.1.1.1:80 -m\n");
        let told = loaded(&wrong).unwrap_err().to_string();
        assert!(told.ends_with("line 4: Service not defined"), "{told}");
    }
}
