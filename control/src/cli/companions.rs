//! ipvsadm-save and ipvsadm-restore: ipvsadm's companions, which are scripts in its package and
//! links to pvsadm here. They become the words of ipvsadm that the scripts call it with.

use std::path::Path;

/// What a companion was called for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Companion {
    /// The same as this argument vector.
    Words(Vec<String>),
    /// The same, with [`restored`] as its input. What is wrong with a line is told by the name of
    /// the program that the script calls.
    Restore(Vec<String>),
    /// Its usage: `-h`, or an option that it does not have.
    Usage,
}

/// What ipvsadm-restore makes of its input: the table is cleared first, and lines that begin with
/// `#`, which ipvsadm itself refuses, are passed over.
pub(super) fn restored(input: &str) -> String {
    let rules = input
        .split_inclusive('\n')
        .filter(|line| !line.starts_with('#'));
    std::iter::once("-C\n").chain(rules).collect()
}

/// How ipvsadm-save is used.
pub(super) const SAVE_USAGE: &str = "usage: ipvsadm-save [-n]
  writes the rules to standard output, as ipvsadm -S does, for ipvsadm-restore
  -n  addresses and ports as numbers";

/// Whether a program of this name is a companion, and what it is called for. Like the scripts, the
/// one that saves reads options up to the first word that is none, the other ignores all.
pub(super) fn companion(argv: &[String]) -> Option<Companion> {
    let (program, words) = argv.split_first()?;
    let name = Path::new(program).file_name()?.to_str()?;
    let with = |program: &str, flags: &[&str]| -> Vec<String> {
        let flags = flags.iter().copied();
        std::iter::once(program)
            .chain(flags)
            .map(str::to_owned)
            .collect()
    };
    match name {
        "ipvsadm-restore" => Some(Companion::Restore(with("ipvsadm", &["-R"]))),
        "pvsadm-restore" => Some(Companion::Restore(with("pvsadm", &["-R"]))),
        "ipvsadm-save" | "pvsadm-save" => {
            let options = words.iter().map_while(|word| word.strip_prefix('-'));
            let mut letters = options.flat_map(str::chars).peekable();
            let numeric = letters.peek().is_some();
            if letters.any(|letter| letter != 'n') {
                return Some(Companion::Usage);
            }
            let flags: &[&str] = if numeric { &["-S", "-n"] } else { &["-S"] };
            Some(Companion::Words(with(program, flags)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Companion, companion, restored};

    fn called(line: &str) -> Option<Companion> {
        let argv: Vec<String> = line.split(' ').map(str::to_owned).collect();
        companion(&argv)
    }

    fn words(line: &str) -> Option<Companion> {
        Some(Companion::Words(
            line.split(' ').map(str::to_owned).collect(),
        ))
    }

    #[test]
    fn companions_become_the_words_of_ipvsadm() {
        assert_eq!(called("ipvsadm-save"), words("ipvsadm-save -S"));
        let path = "/usr/local/sbin/ipvsadm-save";
        assert_eq!(
            called(&format!("{path} -n")),
            words(&format!("{path} -S -n"))
        );
        assert_eq!(called("ipvsadm-save extra -h"), words("ipvsadm-save -S"));
        assert_eq!(called("ipvsadm-save -nh"), Some(Companion::Usage));
        for (line, name) in [
            ("ipvsadm-restore -h", "ipvsadm"),
            ("/usr/local/sbin/ipvsadm-restore", "ipvsadm"),
            ("pvsadm-restore", "pvsadm"),
        ] {
            let restore = [name, "-R"].map(str::to_owned).to_vec();
            assert_eq!(called(line), Some(Companion::Restore(restore)), "{line}");
        }
    }

    #[test]
    fn restoring_clears_the_table_and_passes_over_comments() {
        assert_eq!(
            restored("# c\n-A -f 1\n#\n #\n-A -f 2"),
            "-C\n-A -f 1\n #\n-A -f 2"
        );
        assert_eq!(restored("#"), "-C\n");
    }

    #[test]
    fn other_programs_are_none() {
        assert_eq!(called("ipvsadm -S"), None);
        assert_eq!(called("pvsadm"), None);
    }
}
