//! The manual page pvsadm(8), out of the tables of options and words: `pvsadm manual`.

use super::options::OPTIONS;
use super::row::{Argument, Row, Tag};
use super::words::WORDS;

/// The page, for `man -l -`.
pub(super) fn manual() -> String {
    let is_command = |row: &&Row| matches!(row.tag, Tag::Verb(_) | Tag::Help | Tag::Version);
    let mut text = format!(
        ".TH PVSADM 8 \"\" \"pvs {}\" \"System Administration\"\n\
         .SH NAME\npvsadm \\- administer pvs, a layer\\-4 load balancer\n\
         .SH SYNOPSIS\n.B pvsadm\n.I COMMAND\n.RI [ OPTION ]...\n.br\n.B pvsadm\n.I WORD\n.RI [ OPTION ]...\n\
         .SH DESCRIPTION\npvsadm sets up, changes and shows the virtual services of pvsd, the director. It takes \
         what ipvsadm takes and prints what ipvsadm prints; through a link named ipvsadm it is nothing else. \
         Through links named ipvsadm\\-save and ipvsadm\\-restore it is these. The words below are its own.\n\
         .PP\nWithout a command the table is listed.\n",
        env!("CARGO_PKG_VERSION")
    );
    text += ".SH COMMANDS\n";
    text.extend(OPTIONS.iter().filter(is_command).map(row));
    text += ".SH OPTIONS\n";
    text.extend(OPTIONS.iter().filter(|row| !is_command(row)).map(row));
    text += ".SH WORDS\n";
    for word in WORDS {
        text += &format!(".SS {}\n", plain(word.usage));
        for paragraph in word.about.split("\n\n") {
            text += &format!("{}\n.PP\n", plain(paragraph));
        }
        text.extend(word.options.iter().map(row));
    }
    text += ".SH ENVIRONMENT\n.TP\n.B PVS_SOCKET\npvsd's control socket; /run/pvs/pvsd.sock if it is not set.\n\
        .SH EXIT STATUS\nAs ipvsadm: 0; 1 for a listing that is refused; 2 for a command line that is wrong; 255 for \
        an option that is not understood, or a command that is refused. 2 as well if pvsd does not answer. Words \
        have their own.\n.SH SEE ALSO\n.BR pvsd (8)\n";
    text
}

fn row(row: &Row) -> String {
    let value = match row.argument {
        Argument::None => String::new(),
        Argument::Required(value) => format!(" {value}"),
        Argument::Optional(value) => format!(" [{value}]"),
    };
    let letter = row
        .letter
        .map_or(String::new(), |letter| format!("-{letter}, "));
    let names = format!("{letter}--{}{value}", row.long);
    format!(".TP\n.B {}\n{}\n", plain(&names), plain(row.help))
}

/// A text that means nothing to roff.
fn plain(text: &str) -> String {
    let escaped = text.replace('\\', "\\e").replace('-', "\\-");
    let line = |line: &str| match line.starts_with(['.', '\'']) {
        true => format!("\\&{line}"),
        false => line.to_owned(),
    };
    escaped.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_option_and_word() {
        let page = manual();
        for row in OPTIONS {
            assert!(
                page.contains(&plain(&format!("--{}", row.long))),
                "{}",
                row.long
            );
        }
        for word in WORDS {
            assert!(
                page.contains(&format!(".SS {}", plain(word.usage))),
                "{}",
                word.name
            );
        }
        let requests = page.lines().filter(|line| line.starts_with('.'));
        for request in requests {
            let known = [
                ".TH", ".SH", ".SS", ".TP", ".PP", ".B ", ".BR", ".I ", ".RI", ".br",
            ];
            assert!(
                known.iter().any(|known| request.starts_with(known)),
                "{request}"
            );
        }
    }
}
