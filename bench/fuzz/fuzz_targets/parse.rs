//! Any bytes as a frame: the parser never panics, and what it accepts is as `Meta` promises.
#![no_main]

#[path = "../../../proto/tests/invariants/mod.rs"]
mod invariants;

libfuzzer_sys::fuzz_target!(|frame: &[u8]| {
    let _ = invariants::assert_invariants(frame);
});
