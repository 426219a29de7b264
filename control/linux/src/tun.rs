//! The four ioctls of /dev/net/tun that the mirror tap needs (linux/if_tun.h).
//!
//! The one file of this crate with unsafe code: an ioctl's argument type is a promise that only its
//! caller can keep. Everything else about a tap goes through netlink.
#![allow(unsafe_code)]

use rustix::ioctl::{IntegerSetter, Opcode, Setter, Updater, ioctl, opcode};
use std::ffi::c_int;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// An interface's name is shorter than this (IFNAMSIZ).
pub(crate) const NAME_MAX: usize = 16;

const IFF_TAP: i16 = 0x0002;
const IFF_NO_PI: i16 = 0x1000;

const TUNSETIFF: Opcode = opcode::write::<c_int>(b'T', 202);
const TUNSETPERSIST: Opcode = opcode::write::<c_int>(b'T', 203);
const TUNSETOFFLOAD: Opcode = opcode::write::<u32>(b'T', 208);
const TUNSETCARRIER: Opcode = opcode::write::<c_int>(b'T', 226);

/// `struct ifreq` as TUNSETIFF reads and writes it.
#[repr(C)]
struct Request {
    name: [u8; NAME_MAX],
    flags: i16,
    rest: [u8; 22],
}

const _: () = assert!(size_of::<Request>() == 40);

/// Attaches an open /dev/net/tun to the tap of this name in the namespace that it was opened in,
/// making the tap if there is none. Frames come without any header before them.
pub(crate) fn attach(tun: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    let mut request = Request {
        name: [0; NAME_MAX],
        flags: IFF_TAP | IFF_NO_PI,
        rest: [0; 22],
    };
    // The last byte stays 0: the kernel cuts there.
    for (to, from) in request.name.iter_mut().take(NAME_MAX - 1).zip(name.bytes()) {
        *to = from;
    }
    // SAFETY: TUNSETIFF reads and writes a struct ifreq, whose size the assertion above has pinned.
    let update = unsafe { Updater::<TUNSETIFF, Request>::new(&mut request) };
    // SAFETY: the argument is the one of this opcode; the kernel checks
    // that the file is a tun file.
    unsafe { ioctl(tun, update) }?;
    Ok(())
}

/// Makes the tap outlive its last file descriptor, or end with it.
pub(crate) fn set_persist(tap: impl AsFd, persist: bool) -> io::Result<()> {
    // SAFETY: TUNSETPERSIST takes an integer by value.
    let setter = unsafe { IntegerSetter::<TUNSETPERSIST>::new_usize(usize::from(persist)) };
    // SAFETY: the argument is the one of this opcode; no memory is touched.
    unsafe { ioctl(tap, setter) }?;
    Ok(())
}

/// Declares that no offload is understood: Linux completes checksums and segments what it sends.
pub(crate) fn clear_offloads(tap: impl AsFd) -> io::Result<()> {
    // SAFETY: TUNSETOFFLOAD takes an integer by value.
    let setter = unsafe { IntegerSetter::<TUNSETOFFLOAD>::new_usize(0) };
    // SAFETY: the argument is the one of this opcode; no memory is touched.
    unsafe { ioctl(tap, setter) }?;
    Ok(())
}

/// Sets the tap's carrier.
pub(crate) fn set_carrier(tap: impl AsFd, up: bool) -> io::Result<()> {
    // SAFETY: TUNSETCARRIER reads an int through a pointer.
    let setter = unsafe { Setter::<TUNSETCARRIER, c_int>::new(c_int::from(up)) };
    // SAFETY: the argument is the one of this opcode and lives in `setter` for the call.
    unsafe { ioctl(tap, setter) }?;
    Ok(())
}
