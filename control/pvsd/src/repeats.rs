//! Errors that come again and again: told once, until they change or end.

/// What was told last.
#[derive(Debug, Default)]
pub struct Repeats(Option<String>);

impl Repeats {
    /// Tells an error in the log unless it was the last one to be told.
    pub fn tell(&mut self, error: &impl ToString) {
        let text = error.to_string();
        if self.is_new(&text) {
            tracing::error!("{text}");
        }
    }

    fn is_new(&mut self, text: &str) -> bool {
        let is_new = self.0.as_deref() != Some(text);
        if is_new {
            self.0 = Some(text.to_owned());
        }
        is_new
    }

    /// All is well again.
    pub fn end(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_told_once_until_it_changes_or_ends() {
        let mut repeats = Repeats::default();
        let told = ["a", "a", "b", "b", "a"].map(|text| repeats.is_new(text));
        assert_eq!(told, [true, false, true, false, true]);
        repeats.end();
        assert!(repeats.is_new("a"));
    }
}
