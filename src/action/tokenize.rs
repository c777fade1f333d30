//! What a `tokenize` stage does: which texts it takes from its files, and how it cuts them.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::is_default;

const TRAIN: &str = "train";

/// How a source file holds its texts. Whether it is packed with gzip or zstd is seen from its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// A JSON object a line.
    Jsonl,
    /// A text a line.
    Lines,
    /// Comma-separated values as RFC 4180 has them; the first row names the columns.
    Csv,
    /// The same with tabs.
    Tsv,
    /// Apache Parquet.
    Parquet,
}

impl Format {
    /// Every format and its name in pipelines.
    pub const ALL: [(&str, Self); 5] = [
        ("jsonl", Self::Jsonl),
        ("lines", Self::Lines),
        ("csv", Self::Csv),
        ("tsv", Self::Tsv),
        ("parquet", Self::Parquet),
    ];

    /// Its name in pipelines.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, format)| *format == self).map_or("", |(name, _)| name)
    }

    /// What a file's name says of its format, in capitals or not; `.gz` and `.zst` at its end say nothing.
    pub fn of_name(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let name = [".gz", ".zst"].iter().find_map(|packed| name.strip_suffix(packed)).unwrap_or(&name);
        match Path::new(name).extension()?.to_str()? {
            "jsonl" | "ndjson" => Some(Self::Jsonl),
            "txt" => Some(Self::Lines),
            "csv" => Some(Self::Csv),
            "tsv" | "tab" => Some(Self::Tsv),
            "parquet" => Some(Self::Parquet),
            _ => None,
        }
    }
}

/// How many of a split's texts to take, drawn without replacement from the seed. A smaller sample with
/// the same seed is part of a larger one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sample {
    /// So many texts.
    Count(u64),
    /// So large a part of the texts, above 0 and at most 1.
    Fraction(f64),
    /// So many times the number of texts in the train split of another stage.
    Times(f64),
}

/// How many of the texts of the train split's files become another split.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// So many texts, at least 1.
    Count(u64),
    /// So large a part of the texts, above 0 and below 1.
    Fraction(f64),
}

/// What becomes of a text that comes more than once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Deduplicate {
    /// It stays.
    #[default]
    No,
    /// The first of its split stays.
    Within,
    /// The same; and what is in test goes from dev and train, what is in dev from train.
    Across,
}

/// `tokenize`. Reads `tokenizer.json`, `vocabulary.json`, `source/SPLIT` for each split with a file of its
/// own (or `source/SPLIT.NNNNN` for each of its files), and `sample/sizes.json` where the sample is a
/// multiple. Writes `SPLIT.safetensors` for each split, `labels.json`, `sizes.json` and `stats.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tokenize {
    /// The splits (`train`, `dev`, `test`) with files of their own, and how those are read.
    pub splits: BTreeMap<String, Format>,
    /// The splits that are parts of the train split's files.
    #[serde(default, skip_serializing_if = "is_default")]
    pub parts: BTreeMap<String, Part>,
    /// Seeds which texts become part of which split.
    #[serde(default, skip_serializing_if = "is_default")]
    pub split_seed: u64,
    /// Give each part its share of every label.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub stratify: bool,
    /// The field or column that holds the text; `a.b` is field `b` of the object in field `a`.
    #[serde(default = "Tokenize::default_text", skip_serializing_if = "is_default_text")]
    pub text: String,
    /// More fields, whose texts follow.
    #[serde(default, skip_serializing_if = "is_default")]
    pub more_text: Vec<String>,
    /// What stands between the texts of several fields.
    #[serde(default = "Tokenize::default_join", skip_serializing_if = "is_default_join")]
    pub join: String,
    /// The field or column that holds the label. Absent: `label`, if the records have it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub label: Option<String>,
    /// What each label of the files becomes; a text whose label becomes nothing is left out. `*` stands
    /// for every label that is not named. Empty: labels stay as they are.
    #[serde(default, skip_serializing_if = "is_default")]
    pub label_map: BTreeMap<String, Option<String>>,
    /// Whether a `"` at the start of a value of CSV or TSV quotes it.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub quotes: bool,
    /// The most tokens of a text, special tokens included.
    #[serde(default = "Tokenize::default_max_length", skip_serializing_if = "is_default_max_length")]
    pub max_length: u32,
    /// How many of the train split's texts to take; other splits are never sampled.
    #[serde(default, skip_serializing_if = "is_default")]
    pub sample: Option<Sample>,
    /// Seeds the sample.
    #[serde(default, skip_serializing_if = "is_default")]
    pub seed: u64,
    /// What becomes of texts that come more than once.
    #[serde(default, skip_serializing_if = "is_default")]
    pub deduplicate: Deduplicate,
    /// Whether labels that train lacks and texts that two splits share are errors.
    #[serde(default, skip_serializing_if = "is_default")]
    pub strict: bool,
}

impl Default for Tokenize {
    fn default() -> Self {
        Self {
            splits: BTreeMap::new(),
            parts: BTreeMap::new(),
            split_seed: 0,
            stratify: true,
            text: Self::default_text(),
            more_text: vec![],
            join: Self::default_join(),
            label: None,
            label_map: BTreeMap::new(),
            quotes: true,
            max_length: Self::default_max_length(),
            sample: None,
            seed: 0,
            deduplicate: Deduplicate::No,
            strict: false,
        }
    }
}

impl Tokenize {
    /// The splits whose files decide which texts are in `split`.
    pub fn split_depends_on(&self, split: &str) -> Vec<&str> {
        let own = if self.parts.contains_key(split) { TRAIN } else { split };
        // Which of them take texts from it.
        let above: &[&str] = match own {
            _ if self.deduplicate != Deduplicate::Across => &[],
            TRAIN => &["dev", "test"],
            "dev" => &["test"],
            _ => &[],
        };
        self.splits
            .keys()
            .map(String::as_str)
            .filter(|split| *split == own || above.contains(split))
            .collect()
    }

    /// What is read of the files that `split` depends on: the parameters that choose its texts and their labels.
    pub fn choosing(&self, split: &str) -> serde_json::Value {
        let mut chooses = Self { parts: BTreeMap::new(), split_seed: 0, stratify: true, ..self.clone() };
        if self.parts.contains_key(split) || (split == TRAIN && !self.parts.is_empty()) {
            let Self { parts, split_seed, stratify, .. } = self.clone();
            chooses = Self { parts, split_seed, stratify, ..chooses };
        }
        if split != TRAIN {
            chooses = Self { sample: None, seed: 0, ..chooses };
        }
        // How a text is cut, and what is said of it, is no matter, and a file is of one format.
        chooses = Self {
            splits: BTreeMap::new(),
            max_length: Self::default_max_length(),
            strict: false,
            ..chooses
        };
        serde_json::to_value(chooses).unwrap_or_default()
    }

    /// `text`.
    pub fn default_text() -> String {
        "text".to_owned()
    }

    /// A blank.
    pub fn default_join() -> String {
        " ".to_owned()
    }

    /// 512 tokens.
    pub fn default_max_length() -> u32 {
        512
    }
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_yes(value: &bool) -> bool {
    *value
}

fn is_default_text(value: &String) -> bool {
    *value == Tokenize::default_text()
}

fn is_default_join(value: &String) -> bool {
    *value == Tokenize::default_join()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_default_max_length(value: &u32) -> bool {
    *value == Tokenize::default_max_length()
}

#[cfg(test)]
mod tests {
    use super::Format;

    #[test]
    fn a_name_says_the_format() {
        for (name, format) in [
            ("data/a.jsonl", Some(Format::Jsonl)),
            ("a.ndjson.gz", Some(Format::Jsonl)),
            ("a.b.txt.zst", Some(Format::Lines)),
            ("a.csv", Some(Format::Csv)),
            ("a.tsv.gz", Some(Format::Tsv)),
            ("a.tab", Some(Format::Tsv)),
            ("DATA.CSV", Some(Format::Csv)),
            ("A.Jsonl.GZ", Some(Format::Jsonl)),
            ("a.parquet", Some(Format::Parquet)),
            ("a.gz", None),
            ("data.d/a", None),
            (".txt", None),
            ("a.csv.bz2", None),
        ] {
            assert_eq!(Format::of_name(name), format, "{name}");
        }
    }
}
