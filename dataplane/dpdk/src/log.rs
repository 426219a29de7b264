//! DPDK's log as `tracing` events, target `dpdk`.
//!
//! DPDK writes its log to a C stream; this gives it one whose write function is ours. A line is
//! handed on when its newline comes. DPDK's notices become `info`, its info `debug`. While the EAL
//! starts, errors are kept too, so that a failure can be told in DPDK's words.
//! What libxdp and libbpf print themselves does not come this way.

#![allow(unsafe_code)]

use std::ffi::{c_char, c_int, c_void};
use std::io;
use std::ptr;
use std::slice;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Lines kept while recording; later ones follow from earlier ones.
const KEPT_MAX: usize = 16;
/// Bytes of an unfinished line; more than that is handed on in pieces.
const LINE_MAX: usize = 1024;

#[derive(Default)]
struct Log {
    unfinished: String,
    recording: bool,
    kept: Vec<String>,
}

static LOG: Mutex<Log> = Mutex::new(Log {
    unfinished: String::new(),
    recording: false,
    kept: Vec::new(),
});

/// Sends DPDK's log to `tracing` from here on; once, before the EAL starts. Begins recording.
pub(crate) fn install() -> io::Result<()> {
    lock().recording = true;
    let functions = dpdk_sys::cookie_io_functions_t {
        write: Some(write),
        ..Default::default()
    };
    // SAFETY: the mode is a C string; `write` has the type that glibc calls and needs no cookie.
    let stream = unsafe { dpdk_sys::fopencookie(ptr::null_mut(), c"w".as_ptr(), functions) };
    if stream.is_null() {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `stream` is an open stream, which nobody closes.
    let rc = unsafe { dpdk_sys::rte_openlog_stream(stream) };
    if rc == 0 {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(-rc))
    }
}

/// Ends the recording; the errors that DPDK logged meanwhile.
pub(crate) fn take_recorded() -> Vec<String> {
    let mut log = lock();
    log.recording = false;
    std::mem::take(&mut log.kept)
}

fn lock() -> MutexGuard<'static, Log> {
    LOG.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the stream calls. DPDK flushes after each message, on the thread that logs it, so that the
/// level asked for is the message's.
unsafe extern "C" fn write(
    _cookie: *mut c_void,
    text: *const c_char,
    len: usize,
) -> dpdk_sys::__ssize_t {
    // SAFETY: reads a thread-local variable of librte_eal.
    let level = unsafe { dpdk_sys::rte_log_cur_msg_loglevel() };
    if !text.is_null() && len > 0 {
        // SAFETY: glibc passes `len` readable bytes, which live over the call.
        let bytes = unsafe { slice::from_raw_parts(text.cast::<u8>(), len) };
        take(level, &String::from_utf8_lossy(bytes));
    }
    dpdk_sys::__ssize_t::try_from(len).unwrap_or(dpdk_sys::__ssize_t::MAX)
}

fn take(level: c_int, text: &str) {
    let mut lines = Vec::new();
    {
        let mut log = lock();
        for piece in text.split_inclusive('\n') {
            log.unfinished.push_str(piece);
            if piece.ends_with('\n') || log.unfinished.len() >= LINE_MAX {
                lines.push(std::mem::take(&mut log.unfinished).trim().to_owned());
            }
        }
        lines.retain(|line| !line.is_empty());
        if log.recording && level <= dpdk_sys::RTE_LOG_ERR as c_int {
            let room = KEPT_MAX.saturating_sub(log.kept.len());
            log.kept.extend(lines.iter().take(room).cloned());
        }
    }
    for line in lines {
        emit(level, &line);
    }
}

fn emit(level: c_int, line: &str) {
    match u32::try_from(level).unwrap_or(dpdk_sys::RTE_LOG_INFO) {
        0..=dpdk_sys::RTE_LOG_ERR => tracing::error!(target: "dpdk", "{line}"),
        dpdk_sys::RTE_LOG_WARNING => tracing::warn!(target: "dpdk", "{line}"),
        dpdk_sys::RTE_LOG_NOTICE => tracing::info!(target: "dpdk", "{line}"),
        dpdk_sys::RTE_LOG_INFO => tracing::debug!(target: "dpdk", "{line}"),
        _ => tracing::trace!(target: "dpdk", "{line}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{lock, take, take_recorded};
    use std::ffi::c_int;

    const ERR: c_int = dpdk_sys::RTE_LOG_ERR as c_int;
    const INFO: c_int = dpdk_sys::RTE_LOG_INFO as c_int;

    #[test]
    fn lines_are_joined_split_and_kept_by_level() {
        lock().recording = true;
        take(ERR, "PMD: one ");
        assert!(lock().kept.is_empty(), "the line is not finished");
        take(ERR, "line\n\nEAL: another\nand ");
        take(INFO, "a half\n");
        assert_eq!(take_recorded(), ["PMD: one line", "EAL: another"]);
        take(ERR, "EAL: not recorded\n");
        assert!(take_recorded().is_empty());
    }
}
