//! IPv4 options (RFC 791 section 3.1): what a host writes into those that ask for it, and which of
//! them an ICMP error echoes.
//!
//! As Linux does it to every packet that it receives (`ip_options_compile`, `ip_options_echo`):
//! Record Route and Timestamp get the address that the packet was for, what follows the end of the
//! list is cleared, all others stay as they are. Source routes and lists that make no sense are not
//! judged here: whoever called leaves the packet to Linux.

use crate::addr::Addr4;

/// Bytes of options that a header has room for.
pub const LEN_MAX: usize = 40;

const END: u8 = 0;
const NO_OPERATION: u8 = 1;
const RECORD_ROUTE: u8 = 7;
const TIMESTAMP: u8 = 68;
const LOOSE_SOURCE_ROUTE: u8 = 131;
const SECURITY_LABEL: u8 = 134;
const STRICT_SOURCE_ROUTE: u8 = 137;

/// What a timestamp option asks for.
const TIME_ALONE: u8 = 0;
const TIME_AND_ADDRESS: u8 = 1;
const TIME_AT: u8 = 3;

/// Options that have to be left to somebody else: malformed ones, source routes, security labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unusable;

/// Who writes.
#[derive(Clone, Copy, Debug)]
pub struct Stamp {
    /// The address that is recorded.
    pub address: Addr4,
    /// The time in milliseconds. One that does not count from midnight says so by its highest bit.
    pub time: u32,
}

/// Walks a list of options; `each` gets the kind and all bytes of each but the padding.
fn walk(
    mut rest: &mut [u8],
    mut each: impl FnMut(u8, &mut [u8]) -> Result<(), Unusable>,
) -> Result<(), Unusable> {
    loop {
        match rest {
            [] => return Ok(()),
            [END, behind @ ..] => {
                behind.fill(END);
                return Ok(());
            }
            [NO_OPERATION, behind @ ..] => rest = behind,
            [kind, len, ..] => {
                let (kind, len) = (*kind, usize::from(*len));
                if len < 2 {
                    return Err(Unusable);
                }
                let (option, behind) = rest.split_at_mut_checked(len).ok_or(Unusable)?;
                each(kind, option)?;
                rest = behind;
            }
            [_] => return Err(Unusable),
        }
    }
}

/// Writes into the options of a packet that arrives what they ask for.
///
/// # Errors
/// The list is none that one may write into; it may have been written into all the same.
pub fn record(
    options: &mut [u8],
    stamp: Stamp,
    is_local: impl Fn(Addr4) -> bool,
) -> Result<(), Unusable> {
    let (mut routes, mut times) = (0, 0);
    walk(options, |kind, option| match kind {
        RECORD_ROUTE => {
            routes += 1;
            record_route(option, stamp.address)
        }
        TIMESTAMP => {
            times += 1;
            record_time(option, stamp, &is_local)
        }
        LOOSE_SOURCE_ROUTE | STRICT_SOURCE_ROUTE | SECURITY_LABEL => Err(Unusable),
        _ => Ok(()),
    })?;
    match routes <= 1 && times <= 1 {
        true => Ok(()),
        false => Err(Unusable),
    }
}

/// The pointer of an option that has one, from 1, and that of its last byte.
fn pointer(option: &[u8], least: u8) -> Result<(usize, usize), Unusable> {
    let pointer = *option.get(2).ok_or(Unusable)?;
    match pointer >= least {
        true => Ok((pointer.into(), option.len())),
        false => Err(Unusable),
    }
}

/// Writes bytes to where a pointer from 1 points.
fn write(option: &mut [u8], pointer: usize, bytes: [u8; 4]) -> Result<(), Unusable> {
    let start = pointer.checked_sub(1).ok_or(Unusable)?;
    let place = option.get_mut(start..).unwrap_or_default();
    *place.first_chunk_mut().ok_or(Unusable)? = bytes;
    Ok(())
}

fn advance(option: &mut [u8], by: u8) {
    if let Some(pointer) = option.get_mut(2) {
        *pointer = pointer.wrapping_add(by);
    }
}

fn record_route(option: &mut [u8], address: Addr4) -> Result<(), Unusable> {
    let (pointer, last) = pointer(option, 4)?;
    if pointer <= last {
        write(option, pointer, address.to_wire())?;
        advance(option, 4);
    }
    Ok(())
}

fn record_time(
    option: &mut [u8],
    stamp: Stamp,
    is_local: impl Fn(Addr4) -> bool,
) -> Result<(), Unusable> {
    let (pointer, last) = pointer(option, 5)?;
    let asked = *option.get(3).ok_or(Unusable)?;
    let (overflow, what) = (asked >> 4, asked & 0x0f);
    if pointer > last {
        if what == TIME_AT {
            return Ok(());
        }
        let more = (overflow < 15).then_some((overflow + 1) << 4 | what);
        *option.get_mut(3).ok_or(Unusable)? = more.ok_or(Unusable)?;
        return Ok(());
    }
    let time = stamp.time.to_be_bytes();
    match what {
        TIME_ALONE => {
            write(option, pointer, time)?;
            advance(option, 4);
        }
        TIME_AND_ADDRESS => {
            write(option, pointer + 4, time)?;
            write(option, pointer, stamp.address.to_wire())?;
            advance(option, 8);
        }
        TIME_AT => {
            let place = option.get(pointer - 1..pointer + 7).ok_or(Unusable)?;
            let asked = place.first_chunk().copied().ok_or(Unusable)?;
            if is_local(Addr4::from_wire(asked)) {
                write(option, pointer + 4, time)?;
                advance(option, 8);
            }
        }
        _ if pointer + 3 > last => return Err(Unusable),
        _ => {}
    }
    Ok(())
}

/// The options of an ICMP error.
#[derive(Clone, Copy, Debug)]
pub struct Echo {
    bytes: [u8; LEN_MAX],
    len: usize,
}

impl Echo {
    /// None.
    pub const NONE: Self = Self {
        bytes: [END; LEN_MAX],
        len: 0,
    };

    /// The bytes, a multiple of 4.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    fn push(&mut self, option: &[u8]) -> Option<()> {
        let end = self.len.checked_add(option.len())?;
        let place = self.bytes.get_mut(self.len..end)?;
        // Not by `copy_from_slice`, which could panic for all that the compiler knows.
        place
            .iter_mut()
            .zip(option)
            .for_each(|(to, from)| *to = *from);
        self.len = end;
        Some(())
    }
}

/// The options of an error about a packet whose own [`record`] has written into: Record Route, then
/// Timestamp, with what the error's sender adds where there is room.
///
/// # Errors
/// There can be no such error.
pub fn echo(options: &[u8], stamp: Stamp) -> Result<Echo, Unusable> {
    let mut copy = Echo::NONE;
    copy.push(options).ok_or(Unusable)?;
    let mut echo = Echo::NONE;
    for wanted in [RECORD_ROUTE, TIMESTAMP] {
        let own = copy.bytes.get_mut(..copy.len).unwrap_or_default();
        walk(own, |kind, option| {
            if kind != wanted {
                return Ok(());
            }
            match kind {
                RECORD_ROUTE => record_route(option, stamp.address)?,
                // One that is full has its overflow counted on arrival only.
                _ if pointer(option, 5)?.0 <= option.len() => {
                    record_time(option, stamp, |_| false)?;
                }
                _ => {}
            }
            echo.push(option).ok_or(Unusable)
        })?;
    }
    echo.len = echo.len.next_multiple_of(4);
    Ok(echo)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Stamp = Stamp {
        address: Addr4::from_wire([10, 0, 0, 100]),
        time: 0x8000_0102,
    };

    /// What a list becomes, as text of hexadecimal digits.
    fn recorded(options: &str) -> Result<String, Unusable> {
        let mut bytes = bytes(options);
        record(&mut bytes, HERE, |a| a == HERE.address)?;
        Ok(text(&bytes))
    }

    fn bytes(text: &str) -> Vec<u8> {
        let digits = text.as_bytes().chunks(2);
        digits
            .map(|pair| u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    fn text(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    // Options of packets that the kernel received, and as they left; but for the times.
    #[test]
    fn the_address_is_written_where_the_kernel_writes_it() {
        for (came, left) in [
            ("070b04000000000000000000", "070b080a0000640000000000"),
            ("070b08010203040000000000", "070b0c010203040a00006400"),
            ("070708010203040000000000", "070708010203040000000000"),
            ("0107070400000000", "010707080a000064"),
            ("070904000000000000000000", "0709080a0000640000000000"),
            ("440c05000000000000000000", "440c09008000010200000000"),
            ("440c05010000000000000000", "440c0d010a00006480000102"),
            ("440c05030a00006400000000", "440c0d030a00006480000102"),
            ("440c05030a09090900000000", "440c05030a09090900000000"),
            ("4408090000000000", "4408091000000000"),
            ("94040000", "94040000"),
            ("820b00000000000000000000", "820b00000000000000000000"),
            ("1e040102", "1e040102"),
            ("00090909", "00000000"),
            ("01010101", "01010101"),
        ] {
            assert_eq!(recorded(came).as_deref(), Ok(left), "{came}");
        }
    }

    // To these the kernel answered by a parameter problem, or dropped them.
    #[test]
    fn what_the_kernel_does_not_take_is_left_to_it() {
        for came in [
            "0707030000000000",
            "0707060000000000",
            "0714040000000000",
            "07020101",
            "0707040000000007070400000000",
            "440809f000000000",
            "4408040000000000",
            "8307080a09090900",
            "8907080a09090900",
            "07000400",
            "c8010000",
            "8606000000010000",
            "07",
        ] {
            assert_eq!(recorded(came), Err(Unusable), "{came}");
        }
    }

    // Options of the kernel's own errors; but for the times.
    #[test]
    fn errors_echo_what_the_kernel_echoes() {
        for (came, echoed) in [
            ("070b04000000000000000000", "070b0c0a0000640a00006400"),
            ("440c05000000000000000000", "440c0d008000010280000102"),
            ("440c05010000000000000000", "440c0d010a00006480000102"),
            ("440c05030a00006400000000", "440c0d030a00006480000102"),
            ("0107070400000000", "0707080a00006400"),
            ("0707080102030400", "0707080102030400"),
            ("94040000", ""),
            ("1e040102", ""),
        ] {
            let mut options = bytes(came);
            record(&mut options, HERE, |a| a == HERE.address).unwrap();
            let echo = echo(&options, HERE).unwrap();
            assert_eq!(text(echo.as_bytes()), echoed, "{came}");
        }
    }

    #[test]
    fn any_bytes_are_taken_or_refused() {
        let mut seed = 1u64;
        for _ in 0..200_000 {
            let mut options = [0u8; LEN_MAX];
            for byte in &mut options {
                seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                let drawn = (seed >> 56) as u8;
                // Mostly small numbers, and the kinds that matter.
                *byte = match drawn % 5 {
                    0 => RECORD_ROUTE,
                    1 => TIMESTAMP,
                    2 => drawn,
                    _ => drawn % 14,
                };
            }
            let len = (seed >> 48) as usize % (LEN_MAX + 1);
            if record(&mut options[..len], HERE, |a| a.0 & 1 == 0).is_ok() {
                let echoed = echo(&options[..len], HERE);
                assert!(echoed.is_err() || echoed.unwrap().as_bytes().len() <= LEN_MAX);
            }
        }
    }
}
