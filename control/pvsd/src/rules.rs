//! Rules that are loaded at start: a file as `ipvsadm -S` writes it, read as `ipvsadm -R` reads it.

use crate::config::RulesConfig;
use anyhow::{Context, Result, anyhow};
use pvs_control::cli::{self, SystemNames};
use pvs_control::command::{Command, Tuning};
use pvs_control::{NoPlane, Store};
use std::path::Path;

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

/// Remembers how many slots the tables of mh services are to have, before there are services.
///
/// # Errors
/// One is wrong; `config` has judged them before.
pub fn remember_slots(rules: &RulesConfig, store: &mut Store) -> Result<()> {
    for (service, slots) in rules.mh_slots()? {
        store
            .remember_slots(service, slots)
            .context("rules.mh_slots")?;
    }
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

/// Loads a file into a store that nobody serves yet: the whole of it becomes the first snapshot.
///
/// # Errors
/// It can't be read, or one of its lines is wrong; then the store is as it was, since pvsd does not
/// start with half of its rules.
pub fn load(file: &Path, store: &mut Store) -> Result<()> {
    let shown = file.display();
    let bytes = std::fs::read(file).with_context(|| {
        format!("rules.file {shown}: make it with pvsadm -S, or take the line out")
    })?;
    let text = String::from_utf8_lossy(&bytes);
    let mut loaded = store.clone();
    for (number, command) in cli::commands("pvsd", &text, &SystemNames::new()) {
        let done = command.and_then(|command| {
            let applied = loaded.apply(&command, &NoPlane);
            applied.map_err(|refusal| refusal.to_string())
        });
        if let Err(told) = done {
            let told = told.lines().next().unwrap_or("not understood");
            return Err(anyhow!("rules.file {shown}: line {number}: {told}"));
        }
    }
    *store = loaded;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use pvs_control::Capabilities;

    fn load_into(store: &mut Store, rules: &[u8]) -> Result<()> {
        let (process, thread) = (std::process::id(), std::thread::current().id());
        let file = std::env::temp_dir().join(format!("pvsd-rules-{process}-{thread:?}"));
        std::fs::write(&file, rules).unwrap();
        let result = load(&file, store);
        std::fs::remove_file(&file).unwrap();
        result
    }

    /// How many services and servers a store has.
    fn counted(store: &Store) -> (usize, usize) {
        let servers = store.snapshot().services().map(|s| s.servers().len());
        servers.fold((0, 0), |(services, sum), n| (services + 1, sum + n))
    }

    fn loaded(rules: &str) -> Result<(usize, usize)> {
        let mut store = Store::new(Capabilities::ALL);
        load_into(&mut store, rules.as_bytes())?;
        Ok(counted(&store))
    }

    #[test]
    fn a_service_of_the_rules_gets_the_slots_of_the_configuration() {
        let slots = [("-t 10.0.0.1:80".to_owned(), 65_537)];
        let config = RulesConfig {
            mh_slots: slots.into(),
            ..RulesConfig::default()
        };
        let mut store = Store::new(Capabilities::ALL);
        remember_slots(&config, &mut store).unwrap();
        load_into(
            &mut store,
            b"-A -t 10.0.0.1:80 -s mh\n-A -t 10.0.0.1:81 -s mh\n",
        )
        .unwrap();
        let services = store.snapshot().services();
        let slots: Vec<u32> = services.map(|s| s.slots().get()).collect();
        assert_eq!(slots, [65_537, 4093]);
    }

    #[test]
    fn a_saved_file_is_loaded_and_a_wrong_line_is_named() {
        let rules = "-A -t 10.0.0.1:80 -s wlc\n\n-a -t 10.0.0.1:80 -r 10.1.1.1:80 -m -w 3\n";
        assert_eq!(loaded(rules).unwrap(), (1, 1));
        let wrong = format!("{rules}-a -t 10.0.0.2:80 -r 10.1.1.1:80 -m\n");
        let told = loaded(&wrong).unwrap_err().to_string();
        assert!(told.ends_with("line 4: Service not defined"), "{told}");
    }

    #[test]
    fn lines_are_read_as_by_restore() {
        let rules = "\r\n  \t\r\nipvsadm -A -t 10.0.0.1:80\r\n\t-A\t-u 10.0.0.1:53\r\n\n\
                     pvsadm -a -t 10.0.0.1:80 -r 10.1.1.1\n-Ln\n-D -u 10.0.0.1:53";
        assert_eq!(loaded(rules).unwrap(), (1, 1));
        assert_eq!(loaded("").unwrap(), (0, 0));
    }

    #[test]
    fn each_wrong_line_is_named_with_its_reason() {
        for (line, said) in [
            ("-A -t 10.0.0.1:80", "Service already exists"),
            ("-A -t 10.0.0.1:80 --foo", "--foo: unknown option"),
            (
                "-A -t 10.0.0.9:99999",
                "illegal virtual server address[:port] specified",
            ),
            (
                "-A -f 1 -s nosuch",
                "Scheduler or persistence engine not found",
            ),
            ("-A -6 -f 1", "-6 used before -f"),
            ("-R", "Try `pvsd -h' or 'pvsd --help' for more information."),
            (
                "drops",
                "Try `pvsd -h' or 'pvsd --help' for more information.",
            ),
            ("-h", "this is no command"),
            ("-v", "this is no command"),
            ("-Ln -t 10.0.0.7:80", "No such service"),
        ] {
            let rules = format!("-A -t 10.0.0.1:80\n\n{line}\n-A -t nosuch -foo\n");
            let told = loaded(&rules).unwrap_err().to_string();
            assert!(
                told.ends_with(&format!(": line 3: {said}")),
                "{line}: {told}"
            );
        }
        let mut store = Store::new(Capabilities::ALL);
        let told = load_into(&mut store, b"-C\n-A -t \xff:80\n").unwrap_err();
        assert!(
            told.to_string().contains(": line 2: illegal virtual"),
            "{told}"
        );
    }

    #[test]
    fn a_file_is_one_snapshot_or_none() {
        let mut store = Store::new(Capabilities::ALL);
        let rules = "-A -t 10.0.0.1:80\n-A -t 10.0.0.2:80\n--set 10 20 30\n";
        let wrong = format!("{rules}-D -t 10.0.0.3:80\n");
        load_into(&mut store, wrong.as_bytes()).unwrap_err();
        assert_eq!(counted(&store), (0, 0));
        assert!(store.take_snapshot().is_none(), "nothing has changed");
        load_into(&mut store, rules.as_bytes()).unwrap();
        let snapshot = store.take_snapshot().unwrap();
        assert_eq!((snapshot.version, snapshot.services().count()), (1, 2));
        assert!(store.take_snapshot().is_none());
    }

    #[test]
    fn a_thousand_services_of_a_hundred_servers_are_one_snapshot() {
        let mut text = String::new();
        for service in 0..1000 {
            let (a, b) = (service / 250, service % 250);
            text += &format!("-A -t 10.0.{a}.{b}:80 -s wlc\n");
            for last in 0..100 {
                text += &format!("-a -t 10.0.{a}.{b}:80 -r 10.9.{a}.{last}:80 -m -w 1\n");
            }
        }
        let mut store = Store::new(Capabilities::ALL);
        let began = std::time::Instant::now();
        load_into(&mut store, text.as_bytes()).unwrap();
        println!("{} lines in {:?}", text.lines().count(), began.elapsed());
        assert_eq!(counted(&store), (1000, 100_000));
        assert_eq!(store.take_snapshot().unwrap().version, 1);
        assert!(store.take_snapshot().is_none());
    }
}
