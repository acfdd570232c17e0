//! Runs [`nosphere_fuzz::atmosphere`] on what libFuzzer makes up.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nosphere_fuzz::atmosphere(data));
