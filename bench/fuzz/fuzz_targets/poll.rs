//! Any row of choices: frames, edits and time, to a director of one to four workers.
#![no_main]

use pvs_oracle::world::{Bytes, World};

libfuzzer_sys::fuzz_target!(|choices: &[u8]| {
    let _ = World::run(Bytes(choices));
});
