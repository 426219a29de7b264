//! Help and version, out of the option table.

use super::options::{Argument, OPTIONS, Row, Tag};

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
    text.push_str("\nwithout a command the table is listed; PVS_SOCKET names pvsd's socket\n");
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
