//! `cargo fuzz run pipeline`: no text may crash or hang the way from a text to a plan.

#![no_main]

#[path = "../plan_of_text.rs"]
mod plan_of_text;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        plan_of_text::plan_of_text(text);
    }
});
