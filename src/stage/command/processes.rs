//! Ending what a command started, at however many removes.
//!
//! This process is a subreaper: a process below it whose parent ends becomes its child, also one that has made a group
//! or session of its own. So its children are all that is left of a command.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, set_child_subreaper, waitpid};
use tartan::diag::Code;
use tartan::event::Failure;

/// How long killed processes may take to go: one that waits for a dead network drive does not.
const PATIENCE: Duration = Duration::from_secs(5);

/// Has orphans become children of this process.
pub(super) fn adopt_orphans() -> Result<(), Failure> {
    set_child_subreaper(Some(getpid()))
        .map_err(|error| Failure::new(Code::System, format!("cannot adopt orphans: {error}")))
}

/// Kills every process below this one, and waits until they are gone.
pub fn end_descendants() {
    let begun = Instant::now();
    loop {
        let children = children();
        if children.is_empty() || begun.elapsed() > PATIENCE {
            return;
        }
        for child in children {
            // One that has gone meanwhile is as good as killed.
            let _ = kill_process(child, Signal::KILL);
            let _ = waitpid(Some(child), WaitOptions::NOHANG);
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// The children of this process, those that have ended and are not waited for included.
fn children() -> Vec<Pid> {
    let own = getpid().as_raw_nonzero().get();
    // Without /proc nobody can tell; the group is killed when this process exits.
    let Ok(entries) = fs::read_dir("/proc") else { return vec![] };
    entries
        .filter_map(|entry| {
            let pid: i32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            (parent(&stat)? == own).then(|| Pid::from_raw(pid))?
        })
        .collect()
}

/// The parent in a line of `/proc/PID/stat`: the second field after the name, which may itself hold brackets.
fn parent(stat: &str) -> Option<i32> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_name_may_look_like_the_end_of_a_name() {
        assert_eq!(super::parent("12 (a) b) S 7 12 12 0 -1"), Some(7));
        assert_eq!(super::parent(""), None);
    }
}
