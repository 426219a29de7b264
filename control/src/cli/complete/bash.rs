//! For bash: one function that looks at the words of the command line.

use super::super::options::OPTIONS;
use super::super::row::{Argument, Row};
use super::super::words::{Arguments, WORDS};
use super::{arguments, names, values, words};

/// What bash is to read.
pub(super) fn text() -> String {
    let mut text = "# bash completion for pvsadm and ipvsadm; made by `pvsadm completions bash'\n\
        _pvsadm() {\n    \
        local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} first=${COMP_WORDS[1]}\n    \
        COMPREPLY=()\n    \
        # `--option=value' comes as three words.\n    \
        if [[ $cur == = ]]; then\n        cur=\n    \
        elif [[ $prev == = ]]; then\n        prev=${COMP_WORDS[COMP_CWORD-2]}\n    fi\n    \
        [[ ${COMP_WORDS[0]##*/} != ipvsadm ]] || first=\n"
        .to_owned();
    text += &format!(
        "    if [[ $COMP_CWORD == 1 && $cur != -* && ${{COMP_WORDS[0]##*/}} != ipvsadm ]]; then\n        \
         COMPREPLY=($(compgen -W '{}' -- \"$cur\"))\n        return\n    fi\n    case $first in\n",
        words()
    );
    for word in WORDS {
        let files = matches!(word.arguments, Arguments::File);
        text += &format!(
            "    {})\n{}",
            word.name,
            table(word.options, &arguments(word), files)
        );
    }
    text += &format!(
        "    *)\n{}    esac\n}}\ncomplete -F _pvsadm pvsadm ipvsadm\n",
        table(OPTIONS, "", false)
    );
    text
}

/// What follows an option that takes a value, and else the options and arguments.
fn table(rows: &[Row], arguments: &str, files: bool) -> String {
    let mut text = String::new();
    let with_value: Vec<&Row> = rows
        .iter()
        .filter(|row| row.argument != Argument::None)
        .collect();
    if !with_value.is_empty() {
        text += "        case $prev in\n";
    }
    for row in &with_value {
        let reply = values(row).map_or(String::new(), |values| {
            format!("COMPREPLY=($(compgen -W '{values}' -- \"$cur\")); ")
        });
        text += &format!("        {}) {reply}return ;;\n", names(row).join("|"));
    }
    if !with_value.is_empty() {
        text += "        esac\n";
    }
    let options: Vec<String> = rows.iter().flat_map(names).collect();
    let all = format!("{} {arguments}", options.join(" "));
    let files = if files { "-f " } else { "" };
    text + &format!(
        "        COMPREPLY=($(compgen {files}-W '{}' -- \"$cur\"))\n        ;;\n",
        all.trim_end()
    )
}
