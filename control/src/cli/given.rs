//! What was given with one of pvsadm's own words: its options by name, and its arguments.

use super::row::{Row, Tag};
use super::tokens::Tokens;
use crate::listing::Detail;

/// What was given with a word.
#[derive(Default)]
pub(super) struct Given {
    options: Vec<(&'static str, Option<String>)>,
    pub(super) arguments: Vec<String>,
    pub(super) asks_for_help: bool,
}

impl Given {
    /// Reads options of a table, and arguments.
    pub(super) fn read(table: &'static [Row], words: Vec<String>) -> Result<Self, String> {
        let mut tokens = Tokens::of_table(table, words);
        let mut given = Self::default();
        while let Some(token) = tokens.next_option().map_err(|error| error.to_string())? {
            if token.row.tag == Tag::Help {
                given.asks_for_help = true;
                return Ok(given);
            }
            given.options.push((token.row.long, token.value));
        }
        given.arguments = std::iter::from_fn(|| tokens.next_left_over()).collect();
        Ok(given)
    }

    pub(super) fn has(&self, option: &str) -> bool {
        self.options().any(|given| given == option)
    }

    /// The options that were given.
    pub(super) fn options(&self) -> impl Iterator<Item = &'static str> {
        self.options.iter().map(|(option, _)| *option)
    }

    /// The argument of an option, the last one if it was given several times.
    pub(super) fn value(&self, option: &str) -> Option<&str> {
        let given = self.options.iter().rev().find(|(name, _)| *name == option);
        given.and_then(|(_, value)| value.as_deref())
    }

    pub(super) fn detail(&self) -> Detail {
        Detail {
            all: self.has("all"),
            json: self.has("json"),
        }
    }
}
