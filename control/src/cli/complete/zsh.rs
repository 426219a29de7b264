//! For zsh: a function of its completion system, by `_arguments`.

use super::super::options::OPTIONS;
use super::super::row::{Argument, Row};
use super::super::words::{Arguments, WORDS, Word};
use super::{arguments, names, values};

/// What zsh is to read.
pub(super) fn text() -> String {
    let mut text = "#compdef pvsadm ipvsadm\n# made by `pvsadm completions zsh'\n_pvsadm() {\n    \
        local -a own\n    own=(\n"
        .to_owned();
    for word in WORDS {
        text += &format!("        '{}:{}'\n", word.name, plain(word.help));
    }
    text += "    )\n    if (( CURRENT == 2 )) && [[ $PREFIX != -* && ${words[1]:t} != ipvsadm ]]; then\n        \
        _describe 'word' own\n        return\n    fi\n    \
        local first=$words[2]\n    \
        if [[ ${words[1]:t} == ipvsadm ]]; then\n        first=\n    \
        elif [[ $first != -* ]]; then\n        shift words\n        (( CURRENT-- ))\n    fi\n    \
        case $first in\n";
    for word in WORDS {
        text += &call(word.name, word.options, &argument(word));
    }
    // The three values of --set, which nothing can be offered for.
    text += &call("*", OPTIONS, &spec("*:seconds: "));
    text + "    esac\n}\n_pvsadm \"$@\"\n"
}

/// A case that has `_arguments` complete options and what stands behind them. The colon ends
/// `_arguments`' own options, of which -A would be one.
fn call(case: &str, rows: &[Row], argument: &str) -> String {
    let options: String = rows.iter().map(option).collect();
    format!("    {case})\n        _arguments -s :{options}{argument}\n        ;;\n")
}

fn spec(text: &str) -> String {
    format!(" \\\n            '{text}'")
}

/// The specifications of an option's names; a value may be attached to each.
fn option(row: &Row) -> String {
    let (attached, argument) = match row.argument {
        Argument::None => (["", ""], String::new()),
        Argument::Required(name) => (["+", "="], format!(":{}:{}", plain(name), listed(row))),
        Argument::Optional(name) => (["+", "="], format!("::{}:{}", plain(name), listed(row))),
    };
    let [letter, long] = attached;
    let help = plain(row.help);
    let one = |name: &String| {
        let attached = if name.starts_with("--") { long } else { letter };
        spec(&format!("{name}{attached}[{help}]{argument}"))
    };
    names(row).iter().map(one).collect()
}

/// The values of an option.
fn listed(row: &Row) -> String {
    values(row).map_or(" ".to_owned(), |values| format!("({values})"))
}

/// What a word takes behind its options.
fn argument(word: &Word) -> String {
    match word.arguments {
        Arguments::None => String::new(),
        Arguments::File => spec("*:file:_files"),
        Arguments::Names(_) => spec(&format!("*:argument:({})", arguments(word))),
    }
}

/// A text in single quotes in which nothing has a meaning for `_arguments`.
fn plain(text: &str) -> String {
    let mut plain = text.replace('\'', "'\\''");
    for special in ['[', ']', ':'] {
        plain = plain.replace(special, &format!("\\{special}"));
    }
    plain
}
