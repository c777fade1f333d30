//! Writing to the terminal. A reader that goes away (`| head`) ends the program quietly.

use std::fmt::Display;
use std::io::{self, Write as _};

use super::Fault;
use crate::diag::{self, Code, Diagnostic};
pub(super) use crate::report::size;

/// A line of a result.
pub(super) fn line(text: impl Display) {
    if let Err(error) = writeln!(io::stdout().lock(), "{text}") {
        gone(&error);
    }
}

/// Bytes of a result, as they are.
pub(super) fn bytes(bytes: &[u8]) {
    if let Err(error) = io::stdout().lock().write_all(bytes) {
        gone(&error);
    }
}

/// A line that is no result. Where nobody can read it, the exit code still tells.
pub(super) fn note(text: impl Display) {
    drop(writeln!(io::stderr().lock(), "{text}"));
}

/// Every diagnostic, in the order of the file, a blank line between two. Returns how many errors were told.
pub(super) fn diagnostics(mut diagnostics: Vec<Diagnostic>) -> usize {
    diag::sort(&mut diagnostics);
    let texts: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
    if !texts.is_empty() {
        note(texts.join("\n\n"));
    }
    diagnostics.iter().filter(|d| d.severity == diag::Severity::Error).count()
}

/// Why a command failed; several faults end with their number.
pub(super) fn fault(fault: &Fault) {
    let errors = diagnostics(fault.diagnostics.clone());
    if errors > 1 {
        note(format_args!("\n{errors} errors; nothing was run"));
    }
}

/// `3 stages`, `1 stage`
pub(super) fn count(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

fn gone(error: &io::Error) {
    if error.kind() == io::ErrorKind::BrokenPipe {
        std::process::exit(0);
    }
    // A result that is lost (a full disk) is no success.
    note(Diagnostic::error(Code::System, format!("failed to write the result: {error}")));
    std::process::exit(super::Exit::Failed.code().into());
}
