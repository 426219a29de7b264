//! A file of rules for `apply`, `diff` and `check`: services and servers as `-S` prints them, which
//! is what `-R` reads, with comments. It says what there is to be, not what is to be done, so `-A`
//! and `-a` are its only commands.

use super::names::Names;
use super::plan::{Plan, plan_options};
use crate::command::{Command, Rule};
use crate::plane::NoPlane;
use crate::store::{Capabilities, Store};

/// Reads rules; what is wrong is told with the number of its line.
pub(super) fn read(program: &str, text: &str, names: &dyn Names) -> Result<Vec<Rule>, String> {
    let mut rules: Vec<Rule> = Vec::new();
    // Everything that can be wrong whatever is running is met here.
    let mut trial = Store::new(Capabilities::ALL);
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.split('#').next().unwrap_or_default();
        let words = line.split_whitespace().map(str::to_owned);
        let mut words: Vec<String> = words.collect();
        if matches!(
            words.first().map(String::as_str),
            Some("ipvsadm" | "pvsadm")
        ) {
            words.remove(0);
        }
        if words.is_empty() {
            continue;
        }
        let at = |what: String| format!("line {number}: {what}");
        words.insert(0, program.to_owned());
        let command = match plan_options(&words, names) {
            Ok(Plan::Ask { command, .. }) => command,
            Ok(_) => return Err(at("only -A and -a make a table".to_owned())),
            Err(failure) => return Err(at(failure.to_string().trim_end().to_owned())),
        };
        if !matches!(command, Command::AddService(_) | Command::AddServer { .. }) {
            return Err(at("only -A and -a make a table".to_owned()));
        }
        let judged = trial.apply(&command, &NoPlane);
        judged.map_err(|refusal| at(refusal.to_string()))?;
        match command {
            Command::AddService(service) => rules.push(Rule {
                service,
                servers: Vec::new(),
            }),
            Command::AddServer { service, server } => {
                let rule = rules.iter_mut().rfind(|r| r.service.key == service);
                if let Some(rule) = rule {
                    rule.servers.push(server);
                }
            }
            _ => {}
        }
    }
    Ok(rules)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::FileNames;

    fn of(text: &str) -> Result<Vec<Rule>, String> {
        read(
            "pvsadm",
            text,
            &FileNames::parse("10.1.2.3 web1\n", "http 80/tcp\n"),
        )
    }

    #[test]
    fn a_table_is_services_and_servers_with_comments() {
        let rules = of(
            "# web\n\n-A -t 10.0.0.1:80 -s rr  # the site\nipvsadm -a -t 10.0.0.1:80 -r web1:http -m\n-A -f 7\n",
        );
        let rules = rules.unwrap();
        assert_eq!(
            rules.iter().map(|r| r.servers.len()).collect::<Vec<_>>(),
            [1, 0]
        );
        assert_eq!(of(" \n# nothing\n"), Ok(vec![]));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, said) in [
            (
                "-A -t 10.0.0.1:80\n-A -t 10.0.0.1:80\n",
                "line 2: Service already exists",
            ),
            (
                "\n-a -t 10.0.0.1:80 -r 10.0.1.1\n",
                "line 2: Service not defined",
            ),
            ("-D -t 10.0.0.1:80\n", "line 1: only -A and -a make a table"),
            ("-h\n", "line 1: only -A and -a make a table"),
            (
                "-A -t 10.0.0.300:80\n",
                "line 1: illegal virtual server address[:port] specified",
            ),
            ("-A -t 10.0.0.1:80 --foo\n", "line 1: --foo: unknown option"),
            (
                "-A -t 10.0.0.1:80 -s nosuch\n",
                "line 1: Scheduler or persistence engine not found",
            ),
        ] {
            assert_eq!(of(text).unwrap_err(), said);
        }
    }
}
