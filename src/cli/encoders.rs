//! What can be known of encoders before anything runs: little, and read quickly. All else is for the worker.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::action::roles;
use crate::plan::{self, EncoderFacts, Outline};

/// What the files of the needed encoders say. A file that cannot be read says nothing: whoever needs it will tell.
pub(super) fn facts(outline: &Outline) -> BTreeMap<PathBuf, EncoderFacts> {
    let folders = plan::encoders(outline).into_iter();
    folders.map(|(folder, masks)| (folder.to_owned(), of_folder(folder, masks))).collect()
}

fn of_folder(folder: &Path, masks: bool) -> EncoderFacts {
    let config = std::fs::read(folder.join(roles::CONFIG)).ok();
    let config: Config = config.and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default();
    EncoderFacts {
        positions: config.positions(),
        model_type: config.model_type,
        mask: !masks || may_have_mask(&folder.join(roles::TOKENIZER)).unwrap_or(true),
    }
}

/// The parts of a `config.json` that matter here.
#[derive(Default, Deserialize)]
pub(super) struct Config {
    model_type: Option<String>,
    max_position_embeddings: Option<u32>,
    pad_token_id: Option<u32>,
}

impl Config {
    /// The most tokens of a text. `RoBERTa` and its kin count positions from behind the pad token.
    pub(super) fn positions(&self) -> Option<u32> {
        let rows = self.max_position_embeddings?;
        match self.model_type.as_deref()? {
            "bert" => Some(rows),
            "roberta" | "camembert" | "xlm-roberta" => rows.checked_sub(self.pad_token_id.unwrap_or(1) + 1),
            _ => None,
        }
    }
}

/// Whether a mask token's name is in a `tokenizer.json`. It stands among the first tokens, as a rule, and megabytes of
/// vocabulary come after it.
fn may_have_mask(file: &Path) -> std::io::Result<bool> {
    const BEGINNING: u64 = 64 << 10;
    let has_mask = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        ["[MASK]", "<mask>"].iter().any(|token| text.contains(token))
    };
    let mut file = File::open(file)?;
    let mut bytes = vec![];
    (&mut file).take(BEGINNING).read_to_end(&mut bytes)?;
    if has_mask(&bytes) {
        return Ok(true);
    }
    file.read_to_end(&mut bytes)?;
    Ok(has_mask(&bytes))
}
