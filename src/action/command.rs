//! `command`: a program of the user's own.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// `command`. Reads `program/NAME` for each program (and `interpreter/NAME` for one that is a script itself),
/// and `inputs/NAME` for each file that it finds in its folder. Writes each of `outputs`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Command {
    /// The command line, word by word. The first is a program's name without its folder.
    pub run: Vec<String>,
    /// What is kept of its folder: files, and folders, which end with `/` and stand for every file under them.
    pub outputs: BTreeSet<String>,
    /// Variables of its environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// What it finds in `params.json`, if there is any.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub params: Map<String, Value>,
}

/// The file in which a command finds its parameters.
pub const PARAMS: &str = "params.json";

/// By what means a command runs. None of it may change a result, and none is part of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Means {
    /// Whether it wants a GPU where there is one.
    pub gpu: bool,
    /// How long it may take.
    pub timeout: Option<Duration>,
    /// The variables that it sees as the user has them.
    pub pass_env: Vec<String>,
}

impl Means {
    /// What suffices for two stages that do the same, and so are one.
    pub fn join(&mut self, other: &Self) {
        self.gpu |= other.gpu;
        // None is the longest.
        self.timeout = self.timeout.zip(other.timeout).map(|(a, b)| a.max(b));
        let more = other.pass_env.iter().filter(|name| !self.pass_env.contains(name));
        self.pass_env.extend(more.cloned().collect::<Vec<_>>());
    }
}
