//! Asking a run to stop: a flag that signals set and the loop reads.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
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

    /// A wish that SIGINT (Ctrl-C) and SIGTERM set from now on, in place of ending the process. The
    /// second SIGINT makes it urgent.
    pub fn install() -> io::Result<Self> {
        let stop = Self::new();
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
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
