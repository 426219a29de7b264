//! SIP: the Call-ID of a message (RFC 3261 section 20.8), which names a call
//! whoever sends a part of it.
//!
//! Reads as netfilter does (`ct_sip_get_header`), and takes what IPVS's engine takes: lines that
//! end in CR, LF or both, the header's short form, at most 255 bytes, and a line's end behind them.
//! The first line is none of the headers'.

/// Longest Call-ID that counts (IP_VS_PEDATA_MAXLEN).
pub const CALL_ID_MAX: usize = 255;

const NAME: &[u8] = b"call-id";
const SHORT: u8 = b'i';

/// The Call-ID of a message.
#[must_use]
pub fn call_id(message: &[u8]) -> Option<&[u8]> {
    let mut rest = message;
    loop {
        let ends_at = rest.iter().position(|byte| is_end(*byte))?;
        rest = match rest.get(ends_at..)? {
            [b'\r', b'\n', line @ ..] | [_, line @ ..] => line,
            [] => return None,
        };
        let Some(value) = after_name(rest) else {
            continue;
        };
        let value = blanks_off(blanks_off(value)?.strip_prefix(b":")?)?;
        let Some(length) = length(value) else {
            continue;
        };
        let (id, behind) = value.split_at_checked(length)?;
        let is_whole = id.len() <= CALL_ID_MAX && behind.first().copied().is_some_and(is_end);
        return is_whole.then_some(id);
    }
}

const fn is_end(byte: u8) -> bool {
    byte == b'\r' || byte == b'\n'
}

/// What is behind the header's name at the beginning of a line.
fn after_name(line: &[u8]) -> Option<&[u8]> {
    if let Some((name, rest)) = line.split_at_checked(NAME.len()) {
        if name.eq_ignore_ascii_case(NAME) {
            return Some(rest);
        }
    }
    match line {
        [first, rest @ ..] if first.eq_ignore_ascii_case(&SHORT) => {
            (!rest.first()?.is_ascii_alphabetic()).then_some(rest)
        }
        _ => None,
    }
}

/// Without blanks before it, over the end of a line that goes on in the next one (a blank or tab
/// begins that); `None` if it ends there (`sip_skip_whitespace`).
fn blanks_off(text: &[u8]) -> Option<&[u8]> {
    let from = |text: &[u8], is: fn(&u8) -> bool| text.iter().take_while(|byte| is(byte)).count();
    let text = text.get(from(text, |byte| *byte == b' ')..)?;
    let next = match text {
        [b'\r', b'\n', next @ ..] | [b'\r' | b'\n', next @ ..] => next,
        _ => return Some(text),
    };
    let blanks = from(next, |byte| matches!(byte, b' ' | b'\t'));
    next.get(blanks..).filter(|_| blanks > 0)
}

/// Bytes of `word ["@" word]`; `None` if there is none.
fn length(text: &[u8]) -> Option<usize> {
    let words = |text: &[u8]| text.iter().take_while(|byte| is_word(**byte)).count();
    let first = Some(words(text)).filter(|length| *length > 0)?;
    match text.get(first..)? {
        [b'@', host @ ..] => match words(host) {
            0 => None,
            second => Some(first + 1 + second),
        },
        _ => Some(first),
    }
}

/// A character of a word (RFC 3261 section 25.1).
const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~'
        )
        || matches!(
            byte,
            b'(' | b')'
                | b'<'
                | b'>'
                | b':'
                | b'\\'
                | b'"'
                | b'/'
                | b'['
                | b']'
                | b'?'
                | b'{'
                | b'}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(message: &str) -> Option<String> {
        call_id(message.as_bytes()).map(|id| String::from_utf8_lossy(id).into_owned())
    }

    #[test]
    fn the_header_is_found_in_either_form_and_with_any_line_end() {
        let invite = "INVITE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP pc33.example.com\r\n\
                      Call-ID: a84b4c76e66710@pc33.example.com\r\nCSeq: 314159 INVITE\r\n\r\n";
        let id = Some("a84b4c76e66710@pc33.example.com".to_owned());
        assert_eq!(of(invite), id);
        assert_eq!(of(&invite.replace("\r\n", "\n")), id);
        assert_eq!(of(&invite.replace("\r\n", "\r")), id);
        assert_eq!(of(&invite.replace("Call-ID:", "cAlL-iD  :")), id);
        assert_eq!(of(&invite.replace("Call-ID:", "i:")), id);
        assert_eq!(of(&invite.replace("Call-ID:", "I :")), id);
        assert_eq!(of("OPTIONS\ni:x\n"), Some("x".to_owned()));
    }

    #[test]
    fn a_folded_header_goes_on_in_the_next_line() {
        for message in [
            "BYE\r\nCall-ID:\r\n a@b\r\n",
            "BYE\r\nCall-ID\r\n\t : a@b\r\n",
            "BYE\ni: \n \t a@b\n",
        ] {
            assert_eq!(of(message).as_deref(), Some("a@b"), "{message:?}");
        }
        for message in [
            "BYE\r\nCall-ID:\r\na@b\r\n",
            "BYE\r\nCall-ID:\r\n",
            "BYE\r\nCall-ID:\r\n \r\n a@b\r\n",
        ] {
            assert_eq!(of(message), None, "{message:?}");
        }
    }

    #[test]
    fn what_is_no_call_is_none() {
        for message in [
            "",
            "Call-ID: first-line\r\n",
            "INVITE\r\nCSeq: 1\r\n\r\n",
            "INVITE\r\nCall-ID: cut-off",
            "INVITE\r\nCall-ID: \r\n",
            "INVITE\r\nCall-ID x\r\n",
            "INVITE\r\nCall-ID: a@\r\n",
            "INVITE\r\nInfo: x\r\n",
            "INVITE\r\nCall-ID: a b\r\n",
        ] {
            assert_eq!(of(message), None, "{message:?}");
        }
        let long = |n: usize| format!("BYE\r\ni: {}\r\n", "a".repeat(n));
        assert_eq!(of(&long(255)).map(|id| id.len()), Some(255));
        assert_eq!(of(&long(256)), None);
    }

    #[test]
    fn any_bytes_are_read_in_bounds() {
        let whole = b"X\r\nCall-ID : a@b\r\n";
        for end in 0..whole.len() {
            let _ = call_id(&whole[..end]);
            let mut changed = whole.to_vec();
            for byte in 0..=u8::MAX {
                changed[end] = byte;
                let _ = call_id(&changed);
            }
        }
    }
}
