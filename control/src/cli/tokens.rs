//! An argument vector as options and words, in order, as popt reads it.
//!
//! Long names are not abbreviated; `--long=value` and `-lvalue` and clusters of letters are taken;
//! an optional argument is taken unless the next word begins with `-`; `--` ends the options. What
//! is no option is left over. Nothing is judged here but whether an option exists and has its
//! argument.

use super::options;
use super::row::{Argument, Row, Tag};
use std::collections::VecDeque;

/// An option as it was given.
#[derive(Clone, Debug)]
pub struct Token {
    /// Its row.
    pub row: &'static Row,
    /// Its argument.
    pub value: Option<String>,
    /// The last word that was read for it: what messages quote.
    pub word: String,
}

/// What popt finds wrong with a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No such option.
    #[error("unknown option")]
    Unknown,
    /// An argument is missing.
    #[error("missing argument")]
    ArgumentMissing,
    /// There is an argument too many.
    #[error("option does not take an argument")]
    ArgumentUnwanted,
}

/// A fault and the word that has it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{word}: {fault}")]
pub struct TokenError {
    /// The word.
    pub word: String,
    /// The fault.
    pub fault: Fault,
}

/// Reads an argument vector (without the program's name) option by option.
#[derive(Debug)]
pub struct Tokens {
    table: &'static [Row],
    words: VecDeque<String>,
    word: String,
    /// The letters of a cluster that are still to be read.
    cluster: Option<String>,
    only_words: bool,
    /// Options that ipvsadm does not have are known.
    own: bool,
    left_over: VecDeque<String>,
}

impl Tokens {
    /// ipvsadm's options among these words.
    pub fn new(words: impl IntoIterator<Item = String>) -> Self {
        Self::of_table(options::OPTIONS, words)
    }

    /// The options of a table among these words.
    pub fn of_table(table: &'static [Row], words: impl IntoIterator<Item = String>) -> Self {
        Self {
            table,
            words: words.into_iter().collect(),
            word: String::new(),
            cluster: None,
            only_words: false,
            own: true,
            left_over: VecDeque::new(),
        }
    }

    /// Whether options that ipvsadm does not have are known.
    pub fn set_own(&mut self, own: bool) {
        self.own = own;
    }

    /// The next option; `None` after the last one.
    ///
    /// # Errors
    /// [`TokenError`]; there is no going on after it.
    pub fn next_option(&mut self) -> Result<Option<Token>, TokenError> {
        let (row, attached) = match self.cluster.take() {
            Some(letters) => self.letter(&letters)?,
            None => match self.next_word() {
                None => return Ok(None),
                Some(()) => self.option()?,
            },
        };
        let value = match row.argument {
            Argument::None if attached.is_some() => {
                return Err(self.error(Fault::ArgumentUnwanted));
            }
            Argument::None => None,
            Argument::Required(_) => Some(self.argument(attached)?),
            Argument::Optional(_) => {
                let absent = self.words.front().is_none_or(|w| w.starts_with('-'));
                if attached.is_none() && absent {
                    None
                } else {
                    Some(self.argument(attached)?)
                }
            }
        };
        Ok(Some(Token {
            row,
            value,
            word: self.word.clone(),
        }))
    }

    /// The next word that was no option; complete once the options have been read.
    pub fn next_left_over(&mut self) -> Option<String> {
        self.left_over.pop_front()
    }

    /// Goes on to the next word that is an option.
    fn next_word(&mut self) -> Option<()> {
        loop {
            let word = self.words.pop_front()?;
            let is_option = word.starts_with('-') && word != "-";
            self.word.clone_from(&word);
            if self.only_words || !is_option {
                self.left_over.push_back(word);
            } else if word == "--" {
                self.only_words = true;
            } else {
                return Some(());
            }
        }
    }

    /// The option that the present word begins with, and an argument that is attached to it.
    fn option(&mut self) -> Result<(&'static Row, Option<String>), TokenError> {
        let word = self.word.clone();
        let Some(long) = word.strip_prefix("--") else {
            return self.letter(word.strip_prefix('-').unwrap_or(&word));
        };
        let (name, value) = match long.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (long, None),
        };
        let row = options::long(self.table, name).filter(|row| self.own || row.tag != Tag::Json);
        Ok((row.ok_or_else(|| self.error(Fault::Unknown))?, value))
    }

    /// The option of the first letter; the rest is its argument, or further letters.
    fn letter(&mut self, letters: &str) -> Result<(&'static Row, Option<String>), TokenError> {
        let mut rest = letters.chars();
        let row = rest.next().and_then(|l| options::letter(self.table, l));
        let row = row.ok_or_else(|| self.error(Fault::Unknown))?;
        let rest = rest.as_str();
        if rest.is_empty() {
            return Ok((row, None));
        }
        if row.argument == Argument::None && !rest.starts_with('=') {
            self.cluster = Some(rest.to_owned());
            return Ok((row, None));
        }
        Ok((row, Some(rest.strip_prefix('=').unwrap_or(rest).to_owned())))
    }

    fn argument(&mut self, attached: Option<String>) -> Result<String, TokenError> {
        match attached {
            Some(value) => Ok(value),
            None => match self.words.pop_front() {
                Some(word) => {
                    self.word.clone_from(&word);
                    Ok(word)
                }
                None => Err(self.error(Fault::ArgumentMissing)),
            },
        }
    }

    fn error(&self, fault: Fault) -> TokenError {
        TokenError {
            word: self.word.clone(),
            fault,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Read = (Vec<(String, Option<String>)>, Option<String>, Vec<String>);

    fn read(line: &[&str]) -> Read {
        let mut tokens = Tokens::new(line.iter().map(|w| (*w).to_owned()));
        let mut read = Vec::new();
        let error = loop {
            match tokens.next_option() {
                Ok(Some(token)) => read.push((token.row.long.to_owned(), token.value)),
                Ok(None) => break None,
                Err(error) => break Some(error.to_string()),
            }
        };
        let left = std::iter::from_fn(|| tokens.next_left_over()).collect();
        (read, error, left)
    }

    fn values(line: &[&str]) -> Vec<String> {
        let (read, error, _) = read(line);
        assert_eq!(error, None);
        let value = |v: Option<String>| v.map(|v| format!("={v}")).unwrap_or_default();
        read.into_iter().map(|(name, v)| name + &value(v)).collect()
    }

    #[test]
    fn arguments_in_every_position() {
        assert_eq!(
            values(&["-t", "a", "-tb", "-t=c"]),
            ["tcp-service=a", "tcp-service=b", "tcp-service=c"]
        );
        assert_eq!(
            values(&["--weight", "3", "--weight=", "--weight=4"]),
            ["weight=3", "weight=", "weight=4"]
        );
        assert_eq!(values(&["-Lnsrr"]), ["list", "numeric", "scheduler=rr"]);
        assert_eq!(values(&["-w", "-1"]), ["weight=-1"]);
    }

    #[test]
    fn an_optional_argument_does_not_begin_with_a_dash() {
        assert_eq!(
            values(&["-p", "60", "-p", "-n", "-p"]),
            ["persistent=60", "persistent", "numeric", "persistent"]
        );
        assert_eq!(values(&["--persistent="]), ["persistent="]);
        assert_eq!(read(&["-p", "-1"]).1.unwrap(), "-1: unknown option");
    }

    #[test]
    fn words_are_left_over() {
        let (_, error, left) = read(&["a", "-L", "-", "--", "-n", "b"]);
        assert_eq!(
            (error, left),
            (None, vec!["a".into(), "-".into(), "-n".into(), "b".into()])
        );
    }

    #[test]
    fn faults_quote_the_word() {
        for (line, said) in [
            (&["-L", "--st"][..], "--st: unknown option"),
            (&["-L", "-nq"], "-nq: unknown option"),
            (&["-A", "-t"], "-t: missing argument"),
            (&["-L", "-nt"], "-nt: missing argument"),
            (
                &["-L", "--numeric=x"],
                "--numeric=x: option does not take an argument",
            ),
            (&["-L", "-n=x"], "-n=x: option does not take an argument"),
        ] {
            assert_eq!(read(line).1.unwrap(), said);
        }
    }
}
