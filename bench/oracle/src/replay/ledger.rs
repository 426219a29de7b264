//! What was compared of a recorded line, what differed, and what a rule let pass.

use super::masks::Mask;
use super::stated::Stated;
use super::way::StandIn;
use std::collections::BTreeMap;
use std::fmt::{self, Debug, Display};
use std::ops::Range;

/// A recorded field that came out otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Where in the recorded line it is: a JSON pointer.
    pub field: String,
    /// What was recorded, and what is here.
    pub text: String,
}

impl Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.field.as_str() {
            "" => f.write_str(&self.text),
            field => write!(f, "{field}: {}", self.text),
        }
    }
}

/// A recorded field that was compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared {
    /// Where in the recorded line it is: a JSON pointer.
    pub field: String,
    /// Characters of its text that a mask covers.
    pub masked: Vec<Range<usize>>,
}

/// The comparisons of one recorded line.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// Every field that was compared.
    pub fields: Vec<Compared>,
    /// Those that differ.
    pub differences: Vec<Difference>,
    /// How often which mask covered something.
    pub masked: BTreeMap<Mask, usize>,
    /// How often which stated difference excused something.
    pub excused: BTreeMap<Stated, usize>,
    /// How often which stand-in answered.
    pub stand_ins: BTreeMap<StandIn, usize>,
}

impl Ledger {
    /// Of a line that could not be replayed.
    #[must_use]
    pub fn failed(why: String) -> Self {
        let mut ledger = Self::default();
        ledger.fail(why);
        ledger
    }

    /// Enters that the line could not be replayed, or not to its end.
    pub fn fail(&mut self, why: String) {
        self.differences.push(Difference {
            field: String::new(),
            text: why,
        });
    }

    /// Compares a field.
    pub fn compare<T: PartialEq + Debug + ?Sized>(
        &mut self,
        field: impl Into<String>,
        recorded: &T,
        here: &T,
    ) {
        let said = (recorded != here).then(|| format!("recorded {recorded:?}, here {here:?}"));
        self.note(field, said);
    }

    /// Enters a field that was compared elsewhere, with what is wrong about it.
    pub fn note(&mut self, field: impl Into<String>, wrong: Option<String>) {
        self.note_masked(field, Vec::new(), wrong);
    }

    /// The same of a text of which some characters are masked.
    pub fn note_masked(
        &mut self,
        field: impl Into<String>,
        masked: Vec<Range<usize>>,
        wrong: Option<String>,
    ) {
        let field = field.into();
        if let Some(text) = wrong {
            self.differences.push(Difference {
                field: field.clone(),
                text,
            });
        }
        self.fields.push(Compared { field, masked });
    }

    /// Enters that a mask covered a field, or a part of it.
    pub fn mask(&mut self, mask: Mask) {
        *self.masked.entry(mask).or_default() += 1;
    }

    /// Enters that a stated difference was met in a field, and was what its rule says.
    pub fn excuse(&mut self, stated: Stated) {
        *self.excused.entry(stated).or_default() += 1;
    }

    /// Enters that a stand-in answered.
    pub fn stand_in(&mut self, stand_in: StandIn) {
        *self.stand_ins.entry(stand_in).or_default() += 1;
    }
}
