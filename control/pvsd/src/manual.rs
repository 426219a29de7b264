//! The manual pages pvsd(8) and pvsd.toml(5): out of the command line's own table, and out of the
//! example of the configuration, which the tests of `config` hold to the parser.

use crate::args::Args;
use anyhow::{Context, Result};
use clap::{CommandFactory, ValueEnum};
use std::fmt::Write;

/// A page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Page {
    /// pvsd(8).
    #[value(name = "8")]
    Program,
    /// pvsd.toml(5).
    #[value(name = "5")]
    File,
}

/// The file that has every key, with its default and what it is for.
const EXAMPLE: &str = include_str!("../../../docs/pvsd.toml");

/// The page as man reads it.
///
/// # Errors
/// It is no text.
pub fn page(page: Page) -> Result<String> {
    match page {
        Page::Program => program(),
        Page::File => Ok(file()),
    }
}

fn program() -> Result<String> {
    let man = clap_mangen::Man::new(Args::command()).section("8");
    let mut page = Vec::new();
    man.render(&mut page).context("pvsd(8)")?;
    let mut page = String::from_utf8(page).context("pvsd(8)")?;
    page.push_str(
        ".SH SIGNALS\nSIGTERM and SIGINT end pvsd in order; SIGHUP has it read log.level again.\n\
         .SH SEE ALSO\n.BR pvsd.toml (5),\n.BR pvsadm (8)\n",
    );
    Ok(page)
}

/// Comments become paragraphs, sections headings, and keys what they are: `#key`, without a
/// blank, is one that is not set.
fn file() -> String {
    let mut page = format!(
        ".TH PVSD.TOML 5 \"\" \"pvs {}\" \"File Formats\"\n.SH NAME\npvsd.toml \\- configuration of pvsd\n\
         .SH DESCRIPTION\n",
        env!("CARGO_PKG_VERSION")
    );
    let mut about: Vec<&str> = Vec::new();
    let mut sections: Vec<&str> = Vec::new();
    // The second port has the keys of the first one.
    let mut is_twin = false;
    for line in EXAMPLE.lines() {
        let unset = line
            .strip_prefix('#')
            .filter(|rest| !rest.is_empty() && !rest.starts_with(' '));
        if let Some(comment) = line.strip_prefix('#').filter(|_| unset.is_none()) {
            about.push(comment.trim());
        } else if line.starts_with('[') {
            // The second port is the first one's twin.
            is_twin = sections.contains(&line);
            if !is_twin {
                let _ = write!(page, ".SH {}\n{}", plain(line), paragraph(&about));
                sections.push(line);
            }
            about.clear();
        } else if let Some((key, value)) = unset.unwrap_or(line).split_once('=') {
            let default = match unset {
                Some(_) => format!("not set; for example {}", plain(value.trim())),
                None => format!("default {}", plain(value.trim())),
            };
            let key = plain(key.trim());
            if !is_twin {
                let _ = write!(
                    page,
                    ".TP\n.B {key}\n({default})\n.br\n{}",
                    paragraph(&about)
                );
            }
            about.clear();
        } else if line.is_empty() {
            page.push_str(&paragraph(&about));
            about.clear();
        }
    }
    page + ".SH SEE ALSO\n.BR pvsd (8),\n.BR pvsadm (8)\n"
}

fn paragraph(lines: &[&str]) -> String {
    let line = |line: &&str| match line.is_empty() {
        true => ".PP\n".to_owned(),
        false => format!("{}\n", plain(line)),
    };
    lines.iter().map(line).collect()
}

/// Text that man takes as it is.
fn plain(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    match text.starts_with(['.', '\'']) {
        true => format!("\\&{text}"),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_and_every_key_has_its_place() {
        let program = page(Page::Program).unwrap();
        for argument in Args::command().get_arguments() {
            let long = argument.get_long().unwrap().replace('-', "\\-");
            assert!(program.contains(&long), "{long}: {program}");
        }
        let file = page(Page::File).unwrap();
        for line in EXAMPLE.lines() {
            let key = line.strip_prefix('#').unwrap_or(line);
            let is_key = key.starts_with(|c: char| c.is_ascii_lowercase()) && key.contains(" = ");
            if let Some((key, _)) = key.split_once(" = ").filter(|_| is_key) {
                assert!(file.contains(&format!(".B {key}\n")), "{key}: {file}");
            }
        }
        assert!(file.lines().all(|line| !line.starts_with('\'')), "{file}");
        assert_eq!(file.matches(".SH [[port]]").count(), 1);
    }
}
