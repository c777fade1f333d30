//! Asking the hub, by a worker: only workers know the network.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use super::ExecError;
use crate::hub::{Answer, Ask};

/// Has a worker ask the hub which commits revisions are at. Blocks until it has answered all, in their order. What
/// it has to say on the way goes to standard error.
pub fn resolve(worker: &Path, asks: &[Ask]) -> Result<Vec<Answer>, ExecError> {
    // A bare name is looked for by the system.
    if worker.components().nth(1).is_some() && !worker.is_file() {
        return Err(ExecError::NoWorker { path: worker.to_owned() });
    }
    let failed = |error: std::io::Error| ExecError::Resolve { why: error.to_string() };
    let mut child = Command::new(worker)
        .arg("resolve")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    // Kept open while it works: it goes when its parent does.
    let mut life_line = child.stdin.take();
    let mut question = serde_json::to_vec(asks).map_err(std::io::Error::from).map_err(failed)?;
    question.push(b'\n');
    if let Some(stdin) = &mut life_line {
        // One that is gone already says more by its exit.
        drop(stdin.write_all(&question).and_then(|()| stdin.flush()));
    }
    let mut answers = vec![];
    let mut other = None;
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines() {
            let line = line.map_err(failed)?;
            match serde_json::from_str(&line) {
                Ok(answer) => answers.push(answer),
                Err(_) => drop(other.get_or_insert(line)),
            }
        }
    }
    let status = child.wait().map_err(failed)?;
    drop(life_line);
    if !status.success() || answers.len() != asks.len() {
        let said = other.map_or_else(String::new, |line| format!("; it said: {line}"));
        return Err(ExecError::Resolve {
            why: format!("{} of {} answered, {status}{said}", answers.len(), asks.len()),
        });
    }
    Ok(answers)
}
