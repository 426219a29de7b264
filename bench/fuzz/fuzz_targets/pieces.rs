//! Any pieces of datagrams, in any order and at any time.
#![no_main]

libfuzzer_sys::fuzz_target!(|pieces: &[u8]| pvs_oracle::world::hostile::pieces(pieces));
