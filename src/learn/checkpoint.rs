//! What training can be taken up from after it was cut off, and where that is kept.
//!
//! The folder is the checkpoints' alone. A checkpoint is two files: the tensors, and `checkpoint.json`, which names them by their digest and
//! says the rest. The second is written last and put in place by a rename, so that whatever cuts the
//! process off leaves the last whole checkpoint. Chance needs no state: each use of it has a stream of
//! its own, by seed, purpose and step.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tartan::action::Checkpoint;
use tartan::digest::Digest;

use super::libtorch;
use super::train::Log;
use super::weighting::MetaState;
use super::weights::{self, Tensors, WeightsError};

const FORMAT: u32 = 1;
const DESCRIPTION: &str = "checkpoint.json";

/// Everything that training goes on from.
#[derive(Debug)]
pub struct State {
    /// What happened so far.
    pub log: Log,
    /// Texts taken of each objective, then of dev for each use.
    pub taken: Vec<u64>,
    /// The learned weights.
    pub meta: Option<MetaState>,
    /// Steps of the optimisers of body and heads.
    pub optimiser_steps: [i32; 2],
    /// Parameters, moments, and the best parameters, all flat.
    pub tensors: Tensors,
    /// What it was computed on.
    pub computed_on: String,
}

#[derive(Serialize, Deserialize)]
struct Description {
    format: u32,
    /// Another libtorch may compute other bits.
    torch: String,
    /// So may another device, or another number of threads; that is told, and used.
    computed_on: String,
    tensors: Digest,
    log: Log,
    taken: Vec<u64>,
    meta: Option<MetaState>,
    optimiser_steps: [i32; 2],
}

/// Why a checkpoint could not be written.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The disk.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The tensors.
    #[error("{0}")]
    Tensors(#[from] WeightsError),
    /// The rest.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
}

/// The place for a stage's checkpoints.
#[derive(Debug)]
pub struct Checkpoints {
    folder: PathBuf,
    every: Option<Checkpoint>,
    computed_on: String,
    /// The tensors of the last whole checkpoint.
    tensors: Option<Digest>,
    last: Instant,
}

impl Checkpoints {
    /// Checkpoints in `folder`, which is theirs alone, `every` so often; without it none is written, but one
    /// that is there is read. `computed_on` names the device and the threads.
    pub fn new(folder: &Path, every: Option<Checkpoint>, computed_on: String) -> Self {
        Self { folder: folder.to_owned(), every, computed_on, tensors: None, last: Instant::now() }
    }

    /// The device and the threads.
    pub fn computed_on(&self) -> &str {
        &self.computed_on
    }

    /// Whether one is due after `done` steps, where training may `stop` now.
    pub fn due(&self, done: u64, stop: bool) -> bool {
        match self.every {
            None => false,
            Some(_) if stop => true,
            Some(Checkpoint::Steps(steps)) => done.is_multiple_of(steps),
            Some(Checkpoint::Minutes(minutes)) => {
                self.last.elapsed() >= Duration::try_from_secs_f64(60.0 * minutes).unwrap_or(Duration::MAX)
            }
        }
    }

    /// Writes a checkpoint and removes the one before.
    pub fn save(&mut self, state: State) -> Result<(), CheckpointError> {
        self.last = Instant::now();
        fs::create_dir_all(&self.folder)?;
        // What an earlier save could not finish is in the way of this one, and takes room.
        self.sweep()?;
        let fresh = self.folder.join("tensors.new");
        weights::write_file(&state.tensors, &fresh)?;
        let file = File::open(&fresh)?;
        file.sync_all()?;
        let digest = Digest::of_reader(file)?;
        fs::rename(&fresh, self.folder.join(tensors_name(&digest)))?;

        let State { log, taken, meta, optimiser_steps, .. } = state;
        let (torch, computed_on) = (libtorch::version(), self.computed_on.clone());
        let description = Description {
            format: FORMAT,
            torch,
            computed_on,
            tensors: digest,
            log,
            taken,
            meta,
            optimiser_steps,
        };
        let fresh = self.folder.join("checkpoint.new");
        let mut file = File::create(&fresh)?;
        file.write_all(&serde_json::to_vec(&description)?)?;
        file.sync_all()?;
        fs::rename(&fresh, self.folder.join(DESCRIPTION))?;
        File::open(&self.folder)?.sync_all()?;
        self.tensors = Some(digest);
        self.sweep()
    }

    /// The last checkpoint; none where there is none that is whole and of this libtorch, with the reason if
    /// there was one to read.
    pub fn load(&mut self) -> (Option<State>, Option<String>) {
        let bytes = match fs::read(self.folder.join(DESCRIPTION)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return (None, None),
            Err(error) => return (None, Some(error.to_string())),
        };
        match self.read(&bytes) {
            Ok(state) => (Some(state), None),
            Err(why) => (None, Some(why)),
        }
    }

    fn read(&mut self, description: &[u8]) -> Result<State, String> {
        let Description { format, torch, computed_on, tensors, log, taken, meta, optimiser_steps } =
            serde_json::from_slice(description)
                .map_err(|error| format!("its description is damaged ({error})"))?;
        if format != FORMAT || torch != libtorch::version() {
            return Err("it was written by another version of the program or of libtorch".to_owned());
        }
        let path = self.folder.join(tensors_name(&tensors));
        let bytes = fs::read(path).map_err(|error| format!("its tensors: {error}"))?;
        if Digest::of(&bytes) != tensors {
            return Err("it is damaged".to_owned());
        }
        self.tensors = Some(tensors);
        let tensors = weights::read_all(&bytes).map_err(|error| error.to_string())?;
        Ok(State { log, taken, meta, optimiser_steps, tensors, computed_on })
    }

    /// Removes all but the last whole checkpoint.
    fn sweep(&self) -> Result<(), CheckpointError> {
        let keep = self.tensors.as_ref().map(|tensors| [DESCRIPTION.to_owned(), tensors_name(tensors)]);
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            if keep.iter().flatten().any(|name| entry.file_name() == name.as_str()) {
                continue;
            }
            let is_folder = entry.file_type()?.is_dir();
            if is_folder { fs::remove_dir_all(entry.path())? } else { fs::remove_file(entry.path())? }
        }
        Ok(())
    }
}

fn tensors_name(digest: &Digest) -> String {
    format!("{}.safetensors", digest.hex())
}
