//! Numbers and addresses as the C library reads them for ipvsadm.

use std::net::Ipv4Addr;

/// C's `isspace`.
const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r')
}

/// A whole text as a decimal number, as `strtol` reads it: leading blanks and a sign are taken,
/// anything behind the digits is not. `None` outside of `from..=to`.
pub(crate) fn number(text: &str, from: i64, to: i64) -> Option<i64> {
    let digits = text.trim_start_matches(|c: char| u8::try_from(c).is_ok_and(is_space));
    let unsigned = digits.strip_prefix(['+', '-']).unwrap_or(digits);
    if unsigned.is_empty() || !unsigned.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().filter(|n| (from..=to).contains(n))
}

/// The number that a text begins with, as `atoi` reads it; 0 if it begins with none.
pub(crate) fn leading_number(text: &str) -> i64 {
    let text = text.trim_start_matches(|c: char| u8::try_from(c).is_ok_and(is_space));
    let sign = usize::from(text.starts_with(['+', '-']));
    let digits = text
        .bytes()
        .skip(sign)
        .take_while(u8::is_ascii_digit)
        .count();
    text.get(..sign + digits)
        .and_then(|t| t.parse().ok())
        .unwrap_or(0)
}

/// An IPv4 address as `inet_aton` reads it: one to four parts, each decimal, octal or hexadecimal,
/// the last one filling what is left; anything may follow behind a blank.
pub(crate) fn inet_aton(text: &str) -> Option<Ipv4Addr> {
    let mut rest = text.as_bytes();
    let mut high: u32 = 0;
    let mut parts = 0;
    loop {
        let (value, behind) = part(rest)?;
        match behind.split_first() {
            Some((b'.', next)) if parts < 3 && value <= 0xff => {
                high = (high << 8) | value;
                parts += 1;
                rest = next;
            }
            None => return join(high, parts, value),
            Some((blank, _)) if is_space(*blank) => return join(high, parts, value),
            Some(_) => return None,
        }
    }
}

/// Puts the last part behind the others, if it fits into what is left.
fn join(high: u32, parts: u32, last: u32) -> Option<Ipv4Addr> {
    let bits = 32 - 8 * parts;
    let fits = u64::from(last) < 1 << bits;
    let high = high.checked_shl(bits).unwrap_or(0);
    fits.then(|| Ipv4Addr::from_bits(high | last))
}

/// A number at the beginning, in C's notation, and what is behind it.
fn part(text: &[u8]) -> Option<(u32, &[u8])> {
    let (radix, digits) = match text {
        [b'0', b'x' | b'X', next, ..] if next.is_ascii_hexdigit() => (16, text.get(2..)?),
        [b'0', ..] => (8, text),
        [first, ..] if first.is_ascii_digit() => (10, text),
        _ => return None,
    };
    let mut value: u32 = 0;
    let mut count = 0;
    for digit in digits.iter().map_while(|b| char::from(*b).to_digit(radix)) {
        value = value.checked_mul(radix)?.checked_add(digit)?;
        count += 1;
    }
    Some((value, digits.get(count..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_strtol_takes_them() {
        for (text, value) in [
            ("80", 80),
            (" 80", 80),
            ("+80", 80),
            ("010", 10),
            ("\t-5", -5),
            ("0", 0),
        ] {
            assert_eq!(number(text, -10, 100), Some(value), "{text:?}");
        }
        for text in [
            "", " ", "+", "80 ", "0x10", "1.5", "abc", "10x", "+-5", "- 5", "101", "-11",
        ] {
            assert_eq!(number(text, -10, 100), None, "{text:?}");
        }
        assert_eq!(number("99999999999999999999", 0, i64::MAX), None);
    }

    #[test]
    fn leading_numbers_as_atoi_takes_them() {
        for (text, value) in [
            ("64", 64),
            (" 64x", 64),
            ("abc", 0),
            ("", 0),
            ("-5", -5),
            ("255.255.0.0", 255),
        ] {
            assert_eq!(leading_number(text), value, "{text:?}");
        }
    }

    #[test]
    fn addresses_as_inet_aton_takes_them() {
        for (text, address) in [
            ("10.0.0.100", [10, 0, 0, 100]),
            ("10.1", [10, 0, 0, 1]),
            ("10.1.258", [10, 1, 1, 2]),
            ("167772260", [10, 0, 0, 100]),
            ("0x0a.0.0.012", [10, 0, 0, 10]),
            ("0xa000064", [10, 0, 0, 100]),
            ("10.0.0.100 ", [10, 0, 0, 100]),
            ("10.0.0.100 and more", [10, 0, 0, 100]),
            ("4294967295", [255, 255, 255, 255]),
            ("0", [0, 0, 0, 0]),
        ] {
            assert_eq!(inet_aton(text), Some(address.into()), "{text:?}");
        }
        for text in [
            "",
            "a",
            " 10.0.0.1",
            "10.0.0.300",
            "10.0.0.1x",
            "10.0.0.",
            "1.2.3.4.5",
            "256.1",
            "10.0.65536",
            "4294967296",
            "08",
            "0x",
            "-1",
            "10.-1",
        ] {
            assert_eq!(inet_aton(text), None, "{text:?}");
        }
    }
}
