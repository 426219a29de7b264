//! Words: their options, what is refused, and their help.

use super::*;
use crate::cli::{FileNames, help, plan as plan_line};
use crate::listing::Detail;

fn planned(line: &[&str]) -> Result<Plan, Failure> {
    let argv: Vec<String> = line.iter().map(|w| (*w).to_owned()).collect();
    plan_line(&argv, &FileNames::default())
}

fn refused(line: &[&str]) -> (String, u8) {
    let failure = planned(line).unwrap_err();
    (failure.to_string(), failure.status())
}

#[test]
fn a_word_takes_its_options_in_any_order_and_form() {
    let drops = |all, json| {
        Ok(Plan::Ask {
            command: Command::Drops,
            show: Show::Report(Detail { all, json }),
        })
    };
    assert_eq!(planned(&["pvsadm", "drops"]), drops(false, false));
    assert_eq!(
        planned(&["/sbin/pvsadm", "drops", "--json"]),
        drops(false, true)
    );
    assert_eq!(planned(&["pvsadm", "drops", "-ja"]), drops(true, true));
    assert_eq!(
        planned(&["director", "drops", "-a", "--all"]),
        drops(true, false)
    );
}

#[test]
fn what_is_wrong_with_a_word_is_one_line_and_status_2() {
    for line in [
        &["pvsadm", "drop"][..],
        &["pvsadm", "foo", "-L"],
        &["pvsadm", ""],
        &["pvsadm", "drops", "--numeric"],
        &["pvsadm", "drops", "--json=yes"],
        &["pvsadm", "drops", "status"],
    ] {
        let (said, status) = refused(line);
        assert_eq!((said.lines().count(), status), (1, 2), "{said}");
        assert!(said.starts_with("pvsadm"), "{said}");
    }
    assert!(
        refused(&["pvsadm", "drop"])
            .0
            .contains("no such word: drop")
    );
}

#[test]
fn ipvsadm_has_no_words() {
    for program in ["ipvsadm", "/usr/sbin/ipvsadm"] {
        let said = format!("Try `{program} -h' or '{program} --help' for more information.");
        assert_eq!(refused(&[program, "drops"]), (said, 255));
        assert!(!help::help(program).contains("drops"));
    }
}

#[test]
fn rules_have_no_words() {
    let lines = crate::cli::restore::lines("pvsadm", "drops\n", &FileNames::default());
    let said = Failure::NoCommand("pvsadm".to_owned());
    assert_eq!(lines, [crate::cli::restore::Line::Wrong(said)]);
}

#[test]
fn help_has_every_word_and_each_of_its_options() {
    let text = help::help("pvsadm");
    for word in WORDS {
        assert!(
            text.contains(&format!("  {} ", word.usage)),
            "{}",
            word.name
        );
        let line = ["pvsadm", word.name, "--help"];
        assert_eq!(planned(&line), Ok(Plan::WordHelp(word)));
        let text = help::word_help("pvsadm", word);
        for row in word.options {
            assert!(text.contains(&format!("--{}", row.long)), "{}", row.long);
        }
        assert!(text.lines().all(|line| line.len() <= 100), "{text}");
    }
}
