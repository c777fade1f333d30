//! What the set-up says, mostly on stderr: stdout belongs to the program it starts.

use std::fmt::Display;
use std::io::Write as _;

/// Say one line. A reader who has gone away is no reason to stop.
pub(crate) fn say(line: impl Display) {
    let _gone = writeln!(std::io::stderr().lock(), "{line}");
}

/// Print what was asked for, on stdout.
pub(crate) fn print(text: &str) {
    let _gone = writeln!(std::io::stdout().lock(), "{text}");
}

/// A count of bytes as people read it: `531 MB`, `3.2 GB` (decimal, as pip shows them).
pub(crate) fn bytes(count: u64) -> String {
    let megabytes = count.div_ceil(1_000_000);
    if megabytes < 1000 { format!("{megabytes} MB") } else { format!("{:.1} GB", count as f64 / 1e9) }
}

/// A time in seconds as `0:07` or `12:40`.
pub(crate) fn clock(seconds: u64) -> String {
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_well() {
        assert_eq!(bytes(0), "0 MB");
        assert_eq!(bytes(530_604_548), "531 MB");
        assert_eq!(bytes(3_204_000_000), "3.2 GB");
        assert_eq!(clock(7), "0:07");
        assert_eq!(clock(760), "12:40");
    }
}
