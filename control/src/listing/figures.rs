//! Figures in eight digits.

/// A figure in a column: eight digits at least with a blank before them; unless exact, what has
/// more is cut to thousands, millions, milliards or billions.
pub(super) fn figure(value: u64, exact: bool) -> String {
    let (divisor, unit) = match value {
        _ if exact => return format!(" {value:>8}"),
        0..100_000_000 => return format!("{value:>9}"),
        100_000_000..1_000_000_000 => (1_000, 'K'),
        1_000_000_000..100_000_000_000 => (1_000_000, 'M'),
        100_000_000_000..100_000_000_000_000 => (1_000_000_000, 'G'),
        _ => (1_000_000_000_000, 'T'),
    };
    format!("{:>8}{unit}", value / divisor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_begin_where_eight_digits_end() {
        for (value, shown) in [
            (0, "        0"),
            (99_999_999, " 99999999"),
            (100_246_760, "  100246K"),
            (1_006_669_560, "    1006M"),
            (99_999_999_999, "   99999M"),
            (100_000_000_000, "     100G"),
            (100_000_000_000_000, "     100T"),
        ] {
            assert_eq!(figure(value, false), shown);
        }
        assert_eq!(figure(7, true), "        7");
        assert_eq!(figure(100_246_760, true), " 100246760");
    }
}
