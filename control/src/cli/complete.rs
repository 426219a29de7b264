//! Completions for shells, out of the tables of options and words: `pvsadm completions`.

use super::options::{Argument, OPTIONS, Row, Tag};
use super::words::{WORDS, Word};
use pvs_sched::config::SchedulerName;

/// A shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl Shell {
    /// The shell of this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "bash" => Some(Self::Bash),
            "zsh" => Some(Self::Zsh),
            "fish" => Some(Self::Fish),
            _ => None,
        }
    }
}

/// What a shell is to read.
pub(super) fn completions(shell: Shell) -> String {
    match shell {
        Shell::Bash => bash(),
        Shell::Zsh => zsh(),
        Shell::Fish => fish(),
    }
}

/// The values that an option takes, if they can be told.
fn values(row: &Row) -> Option<String> {
    let names = |names: &[&str]| Some(names.join(" "));
    match row.tag {
        Tag::Scheduler => {
            let all: Vec<&str> = SchedulerName::ALL.iter().map(|s| s.as_str()).collect();
            names(&all)
        }
        Tag::TunnelKind => names(&["ipip", "gue", "gre"]),
        Tag::Engine => names(&["sip"]),
        Tag::Verb(_) if row.argument != Argument::None => names(&["master", "backup"]),
        _ => None,
    }
}

/// `-l --long`, as far as there are both.
fn names(row: &Row) -> Vec<String> {
    let letter = row.letter.map(|letter| format!("-{letter}"));
    letter
        .into_iter()
        .chain([format!("--{}", row.long)])
        .collect()
}

fn joined(rows: &[Row]) -> String {
    rows.iter().flat_map(names).collect::<Vec<_>>().join(" ")
}

/// A word's argument is a file.
fn takes_file(word: &Word) -> bool {
    word.usage.ends_with("FILE")
}

fn bash() -> String {
    let mut text = "# bash completion for pvsadm and ipvsadm; made by `pvsadm completions bash'\n\
        _pvsadm() {\n    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n    \
        local first=${COMP_WORDS[1]}\n    COMPREPLY=()\n    case $prev in\n"
        .to_owned();
    for row in OPTIONS.iter().filter(|row| row.argument != Argument::None) {
        let values = values(row).map_or("return".to_owned(), |values| {
            format!("COMPREPLY=($(compgen -W '{values}' -- \"$cur\")); return")
        });
        text += &format!("    {}) {values} ;;\n", names(row).join("|"));
    }
    let words: Vec<&str> = WORDS.iter().map(|word| word.name).collect();
    text += &format!(
        "    esac\n    if [[ $COMP_CWORD == 1 && $cur != -* && ${{COMP_WORDS[0]##*/}} != ipvsadm ]]; then\n        \
         COMPREPLY=($(compgen -W '{}' -- \"$cur\"))\n        return\n    fi\n    case $first in\n",
        words.join(" ")
    );
    for word in WORDS {
        let files = if takes_file(word) { "-f " } else { "" };
        text += &format!(
            "    {}) COMPREPLY=($(compgen {files}-W '{}' -- \"$cur\")) ;;\n",
            word.name,
            joined(word.options)
        );
    }
    text += &format!(
        "    *) COMPREPLY=($(compgen -W '{}' -- \"$cur\")) ;;\n    esac\n}}\n\
         complete -F _pvsadm pvsadm ipvsadm\n",
        joined(OPTIONS)
    );
    text
}

fn zsh() -> String {
    let plain = |text: &str| {
        let mut plain = text.replace('\'', "'\\''");
        for special in ['[', ']', ':'] {
            plain = plain.replace(special, &format!("\\{special}"));
        }
        plain
    };
    let mut text = "#compdef pvsadm ipvsadm\n# made by `pvsadm completions zsh'\n_pvsadm() {\n    \
        local -a own\n    own=(\n"
        .to_owned();
    for word in WORDS {
        text += &format!("        '{}:{}'\n", word.name, plain(word.help));
    }
    text += "    )\n    if (( CURRENT == 2 )) && [[ $PREFIX != -* && ${words[1]:t} != ipvsadm ]]; then\n        \
        _describe 'word' own\n        return\n    fi\n    case $words[2] in\n";
    let specs = |rows: &[Row]| {
        let spec = |row: &Row| {
            let argument = match row.argument {
                Argument::None => String::new(),
                Argument::Required(name) | Argument::Optional(name) => {
                    let values = values(row).map(|values| format!("({values})"));
                    let colons = if matches!(row.argument, Argument::Optional(_)) {
                        "::"
                    } else {
                        ":"
                    };
                    format!("{colons}{}:{}", plain(name), values.unwrap_or_default())
                }
            };
            let help = plain(row.help);
            let each = names(row).into_iter();
            each.map(|name| format!(" \\\n            '{name}[{help}]{argument}'"))
                .collect::<String>()
        };
        rows.iter().map(spec).collect::<String>()
    };
    for word in WORDS {
        let files = if takes_file(word) {
            " \\\n            '*:file:_files'"
        } else {
            ""
        };
        text += &format!(
            "    {})\n        _arguments{}{files}\n        ;;\n",
            word.name,
            specs(word.options)
        );
    }
    text += &format!(
        "    *)\n        _arguments{}\n        ;;\n    esac\n}}\n_pvsadm \"$@\"\n",
        specs(OPTIONS)
    );
    text
}

fn fish() -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
    let mut text = "# fish completion for pvsadm; made by `pvsadm completions fish'\n\
        complete -c pvsadm -f\n"
        .to_owned();
    for word in WORDS {
        text += &format!(
            "complete -c pvsadm -n __fish_use_subcommand -a {} -d {}\n",
            word.name,
            quoted(word.help)
        );
    }
    let line = |condition: &str, row: &Row| {
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
            "complete -c pvsadm{condition}{letter} -l {}{argument} -d {help}\n",
            row.long
        )
    };
    for word in WORDS {
        let condition = format!(" -n '__fish_seen_subcommand_from {}'", word.name);
        text.extend(word.options.iter().map(|row| line(&condition, row)));
        if takes_file(word) {
            text += &format!("complete -c pvsadm{condition} -F\n");
        }
    }
    let all: Vec<&str> = WORDS.iter().map(|word| word.name).collect();
    let condition = format!(" -n 'not __fish_seen_subcommand_from {}'", all.join(" "));
    text.extend(OPTIONS.iter().map(|row| line(&condition, row)));
    text + "complete -c ipvsadm -w pvsadm\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shell_is_told_every_option_and_word() {
        for (shell, dashes) in [
            (Shell::Bash, "--"),
            (Shell::Zsh, "--"),
            (Shell::Fish, "-l "),
        ] {
            let text = completions(shell);
            for row in OPTIONS {
                assert!(
                    text.contains(&format!("{dashes}{}", row.long)),
                    "{shell:?}: {}",
                    row.long
                );
            }
            for word in WORDS {
                assert!(text.contains(word.name), "{shell:?}: {}", word.name);
            }
        }
        assert_eq!(Shell::named("tcsh"), None);
    }

    /// What bash offers for a command line that is being typed.
    fn offered(words: &[&str]) -> Vec<String> {
        let list: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
        let script = format!(
            "{}\nCOMP_WORDS=({}); COMP_CWORD={}; _pvsadm; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            completions(Shell::Bash),
            list.join(" "),
            words.len() - 1
        );
        let ran = std::process::Command::new("bash")
            .args(["-c", &script])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8(ran.stderr).unwrap(), "");
        let text = String::from_utf8(ran.stdout).unwrap();
        text.lines()
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn bash_offers_what_may_come_next() {
        assert_eq!(offered(&["pvsadm", "di"]), ["diff"]);
        assert_eq!(offered(&["ipvsadm", "di"]), [""; 0]);
        assert_eq!(
            offered(&["ipvsadm", "--add-s"]),
            ["--add-service", "--add-server"]
        );
        assert_eq!(
            offered(&["pvsadm", "-A", "-t", "x", "-s", "lbl"]),
            ["lblc", "lblcr"]
        );
        assert_eq!(offered(&["pvsadm", "drops", "--a"]), ["--all"]);
        assert_eq!(offered(&["pvsadm", "-a", "-t", ""]), [""; 0]);
    }
}
