//! Any bytes as an ICMP message to a director with connections.
#![no_main]

libfuzzer_sys::fuzz_target!(|message: &[u8]| pvs_oracle::world::hostile::quoted(message));
