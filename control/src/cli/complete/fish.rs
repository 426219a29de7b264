//! For fish: a line for each thing that may be offered, and a condition.

use super::super::options::OPTIONS;
use super::super::row::{Argument, Row};
use super::super::words::{Arguments, WORDS};
use super::{arguments, values, words};

/// The condition that lines belong to pvsadm's words: the first argument decides.
const FIRST: &str = "\
function __pvsadm_first -d 'the first argument is one of these; with none: there is none yet'
    set -l words (commandline -opc)
    if set -q argv[1]
        set -q words[2]; and contains -- $words[2] $argv
    else
        not set -q words[2]
    end
end
";

/// What fish is to read.
pub(super) fn text() -> String {
    let mut text = format!(
        "# fish completion for pvsadm and ipvsadm; made by `pvsadm completions fish'\n\
         {FIRST}complete -c pvsadm -f\ncomplete -c ipvsadm -f\n"
    );
    for word in WORDS {
        let condition = format!("pvsadm -n '__pvsadm_first {}'", word.name);
        text += &format!(
            "complete -c pvsadm -n __pvsadm_first -a {} -d {}\n",
            word.name,
            quoted(word.help)
        );
        text.extend(word.options.iter().map(|row| option(&condition, row)));
        text += &match word.arguments {
            Arguments::None => String::new(),
            Arguments::File => format!("complete -c {condition} -F\n"),
            Arguments::Names(_) => {
                format!("complete -c {condition} -a {}\n", quoted(&arguments(word)))
            }
        };
    }
    let condition = format!("pvsadm -n 'not __pvsadm_first {}'", words());
    text.extend(OPTIONS.iter().map(|row| option(&condition, row)));
    text.extend(OPTIONS.iter().map(|row| option("ipvsadm", row)));
    text
}

/// The line of an option, for a program and under a condition.
fn option(program: &str, row: &Row) -> String {
    let letter = row
        .letter
        .map_or(String::new(), |letter| format!(" -s {letter}"));
    let argument = match (row.argument, values(row)) {
        (Argument::Required(_), Some(values)) => format!(" -x -a {}", quoted(&values)),
        (Argument::Required(_), None) => " -x".to_owned(),
        _ => String::new(),
    };
    let help = quoted(row.help);
    format!(
        "complete -c {program}{letter} -l {}{argument} -d {help}\n",
        row.long
    )
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}
