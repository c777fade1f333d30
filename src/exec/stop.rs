//! Asking a run to stop: a flag that signals set and the loop reads.

use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// A shared wish to stop. Clones are one wish.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<Flags>);

#[derive(Debug, Default)]
struct Flags {
    asked: AtomicBool,
    urgent: AtomicBool,
}

impl Stop {
    /// A wish that no signal sets.
    pub fn new() -> Self {
        Self::default()
    }

    /// A wish that SIGINT (Ctrl-C), SIGTERM, and SIGHUP (the terminal is gone) set from now on, in place of
    /// ending the process. The second SIGINT makes it urgent. Under `nohup`, SIGHUP stays without effect.
    pub fn install() -> io::Result<Self> {
        let stop = Self::new();
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        if !is_ignored(SIGHUP) {
            signals.add_signal(SIGHUP)?;
        }
        let flags = stop.clone();
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            for signal in signals.forever() {
                if signal == SIGINT && flags.asked() {
                    flags.ask_urgently();
                }
                flags.ask();
            }
        })?;
        Ok(stop)
    }

    /// Asks to stop: workers get a moment to end.
    pub fn ask(&self) {
        self.0.asked.store(true, Ordering::SeqCst);
    }

    /// Asks to stop at once: workers are killed.
    pub fn ask_urgently(&self) {
        self.0.urgent.store(true, Ordering::SeqCst);
        self.ask();
    }

    /// Whether anyone asked.
    pub fn asked(&self) -> bool {
        self.0.asked.load(Ordering::SeqCst)
    }

    /// Whether anyone asked urgently.
    pub fn urgent(&self) -> bool {
        self.0.urgent.load(Ordering::SeqCst)
    }
}

/// Whether this process was started with a signal ignored, as far as the system tells.
fn is_ignored(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}
