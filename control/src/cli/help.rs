//! Help and version, out of the tables of options and words.

use super::options::OPTIONS;
use super::row::{Argument, Row, Tag};
use super::words::{WORDS, Word, has_words};

/// The version, in a line.
#[must_use]
pub fn version() -> String {
    format!(
        "pvsadm {} (speaks ipvsadm, control protocol {})\n",
        env!("CARGO_PKG_VERSION"),
        crate::frame::VERSION
    )
}

/// The help.
#[must_use]
pub fn help(program: &str) -> String {
    let is_command = |row: &&Row| matches!(row.tag, Tag::Verb(_) | Tag::Help | Tag::Version);
    let mut text = version();
    text.push_str(&format!(
        "usage: {program} COMMAND [OPTION]...\n\ncommands:\n"
    ));
    text.extend(OPTIONS.iter().filter(is_command).map(line));
    text.push_str("\noptions:\n");
    text.extend(OPTIONS.iter().filter(|row| !is_command(row)).map(line));
    if has_words(program) {
        text.push_str("\nor a word of pvsadm's own:\n");
        text.extend(
            WORDS
                .iter()
                .map(|word| format!("  {:<36} {}\n", word.usage, word.help)),
        );
    }
    text.push_str("\nwithout a command the table is listed; PVS_SOCKET names pvsd's socket\n");
    text
}

/// The help of one word.
#[must_use]
pub fn word_help(program: &str, word: &Word) -> String {
    let mut text = format!(
        "usage: {program} {}\n\n{}\n\noptions:\n",
        word.usage, word.about
    );
    text.extend(word.options.iter().map(line));
    text
}

fn line(row: &Row) -> String {
    let letter = row
        .letter
        .map_or("    ".to_owned(), |letter| format!("-{letter}, "));
    let value = match row.argument {
        Argument::None => String::new(),
        Argument::Required(value) => format!(" {value}"),
        Argument::Optional(value) => format!(" [{value}]"),
    };
    let names = format!("{letter}--{}{value}", row.long);
    format!("  {names:<36} {}\n", row.help)
}
