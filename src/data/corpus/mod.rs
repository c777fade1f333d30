//! A corpus: all splits of a `tokenize` stage, from their files to what the stage writes.
//!
//! Files are read twice, from start to end, so that memory grows with the tokens and not with the texts. The
//! first time ([`survey`]) texts are counted, their labels numbered and, where anything depends on it, their
//! content hashed. Then it is known which texts are taken and for which split ([`choice`]); the second time
//! those are tokenised. Tells how far it is through a function; knows neither where bytes come from nor where
//! they go.

mod choice;
mod findings;
mod parts;
mod survey;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;

use rayon::ThreadPool;
use serde::{Deserialize, Serialize};

use super::source::{Content, Fields, Line, Source, SourceError};
use super::split::Split;
use super::tokenize::{TextEncoder, TokenizeError, Tokens};
use crate::action::{Labels, Tokenize, Vocabulary};
use crate::diag::Code;
use crate::event::Finding;
use choice::Choice;
use survey::Seen;

/// The split that is sampled, and whose labels are the classes.
const TRAIN: &str = "train";
/// Texts between two reports of progress: a tenth of a second's work or so.
const TEXTS_PER_REPORT: usize = 2048;

/// What a `tokenize` stage reads.
#[derive(Clone, Debug)]
pub struct Inputs<'a> {
    /// The bytes of `tokenizer.json`.
    pub tokenizer: &'a [u8],
    /// What its ids mean.
    pub vocabulary: &'a Vocabulary,
    /// The files of each split that has some.
    pub sources: &'a [Source<'a>],
    /// Texts in each split of the stage that a multiple counts.
    pub base_sizes: Option<&'a BTreeMap<String, u64>>,
}

/// What a `tokenize` stage makes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Corpus {
    /// The tokens of each split.
    pub splits: BTreeMap<String, Split>,
    /// The labels. Classes are those of the whole train split, whatever is sampled of it, so that models
    /// of samples of different size tell the same classes apart; of all splits where there is no train.
    pub labels: Labels,
    /// What was seen in each split.
    pub stats: BTreeMap<String, Stats>,
    /// What the user should know.
    pub findings: Vec<Finding>,
}

/// What was seen in a split. Lengths are in tokens, special tokens included. Counts of what is rare are left out
/// where they are 0.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// Texts taken.
    pub texts: u64,
    /// Texts in the files that they are taken from.
    pub source_texts: u64,
    /// Lines skipped because they hold nothing but white space.
    pub blank_lines: u64,
    /// Tokens of all texts.
    pub tokens: u64,
    /// Mean length of a text.
    pub mean_length: f64,
    /// Half of the texts are no longer.
    pub p50_length: u64,
    /// 95% of the texts are no longer.
    pub p95_length: u64,
    /// Length of the longest text.
    pub max_length: u64,
    /// Texts that were cut at `max_length`.
    pub truncated: u64,
    /// Texts taken with each label.
    pub labels: BTreeMap<String, u64>,
    /// Texts of the files that were left out, and why.
    #[serde(default, skip_serializing_if = "LeftOut::is_none")]
    pub left_out: LeftOut,
    /// Texts that are also in the files of another split, by that split.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub shared: BTreeMap<String, u64>,
    /// Texts with a label that train lacks.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unknown_labels: u64,
}

/// How many texts were left out, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Their label becomes nothing.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub by_label: u64,
    /// The same text came before.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub repeated: u64,
    /// Of those, texts that came before with another label.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub relabelled: u64,
    /// The text is in another split, by that split.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub shared: BTreeMap<String, u64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl LeftOut {
    fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// Why there is no corpus.
#[derive(Debug, thiserror::Error)]
pub enum CorpusError {
    /// Files that cannot be read as texts; every split's, by the split.
    #[error("{}", .0.iter().map(|(_, error)| error.to_string()).collect::<Vec<_>>().join("\n"))]
    Sources(Vec<(String, SourceError)>),
    /// The tokenizer does not serve.
    #[error(transparent)]
    Tokenize(#[from] TokenizeError),
    /// A multiple of a stage that has no train split.
    #[error("the sample is a multiple of a stage's train split, and that stage has none")]
    NoBase,
    /// Parts that are all there is, or more.
    #[error(
        "{asked} of the {texts} texts of `train` are to become other splits, which leaves none for train"
    )]
    NothingLeft {
        /// What the parts ask for.
        asked: u64,
        /// What there is.
        texts: u64,
        /// The split that takes most of it.
        part: String,
    },
    /// What is an error because the stage is strict.
    #[error("{}", .0.iter().map(|finding| finding.message.as_str()).collect::<Vec<_>>().join("\n"))]
    Strict(Vec<Finding>),
}

impl CorpusError {
    /// The way out, where one is known.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Sources(errors) => errors.iter().find_map(|(_, error)| error.help()),
            Self::Tokenize(error) => error.help(),
            Self::NoBase => Some("name a stage with a train split, or give `sample` a number".to_owned()),
            Self::NothingLeft { .. } => Some("make the parts smaller".to_owned()),
            Self::Strict(_) => Some("without `strict: true` this is a warning".to_owned()),
        }
    }

    /// What kind of fault it is; of several, the first.
    pub fn code(&self) -> Code {
        let first = self.findings().into_iter().next();
        first.map_or(Code::Defect, |finding| finding.code)
    }

    /// All of it, each fault at the field that it is about.
    pub fn findings(&self) -> Vec<Finding> {
        findings::of_error(self)
    }

    /// The roles of inputs that turned out damaged in the store.
    pub fn damaged(&self) -> Vec<String> {
        let Self::Sources(errors) = self else { return vec![] };
        let role = |error: &SourceError| match error {
            SourceError::Damaged { role, .. } => Some(role.clone()),
            _ => None,
        };
        errors.iter().filter_map(|(_, error)| role(error)).collect()
    }
}

/// Makes the corpus on the threads of `pool`. `progress` is told texts done and texts in all.
pub fn build(
    params: &Tokenize,
    inputs: &Inputs,
    pool: &ThreadPool,
    progress: &dyn Fn(u64, u64),
) -> Result<Corpus, CorpusError> {
    let encoder = TextEncoder::new(inputs.tokenizer, inputs.vocabulary, params.max_length)?;
    let mut survey = survey::read(params, inputs.sources, pool)?;
    let choice = choice::choose(params, inputs, &mut survey)?;
    let mut corpus = Corpus { labels: choice.labels.clone(), ..Corpus::default() };
    corpus.findings = findings::of_texts(params, inputs, &survey, &choice);
    if params.strict && corpus.findings.iter().any(findings::is_strict) {
        corpus.findings.retain(findings::is_strict);
        return Err(CorpusError::Strict(corpus.findings));
    }

    let mut count = Progress { done: 0, all: choice.texts(), tell: progress };
    count.more(0);
    for (place, source) in inputs.sources.iter().enumerate() {
        let splits = &choice.targets[place];
        let mut built: Vec<Built> = splits.iter().map(|_| Built::default()).collect();
        let mut texts = Texts { place: 0, fates: &choice.fates[place], labels: &survey.seen[place].labels };
        let read = source.each(Fields::of(params), pool, &mut |_, lines| {
            let chosen = texts.choose(lines, &choice.ids, &mut built);
            for (built, chosen) in built.iter_mut().zip(chosen) {
                for part in chosen.chunks(TEXTS_PER_REPORT) {
                    built.add(pool.install(|| encoder.encode(part))?);
                    count.more(part.len() as u64);
                }
            }
            Ok(())
        });
        read.map_err(|error| match error {
            Stop::Source(error) => CorpusError::Sources(vec![(source.split.to_owned(), error)]),
            Stop::Tokenize(error) => CorpusError::Tokenize(error),
        })?;
        for (split, built) in splits.iter().zip(built) {
            let stats = built.stats(&survey.seen[place], &choice, split);
            corpus.findings.extend(findings::of_lengths(params, split, &stats));
            corpus.stats.insert(split.clone(), stats);
            corpus.splits.insert(split.clone(), built.split);
        }
    }
    findings::count_shared(&mut corpus.stats, inputs, &survey);
    Ok(corpus)
}

impl Corpus {
    /// Texts in each split.
    pub fn sizes(&self) -> BTreeMap<String, u64> {
        self.splits.iter().map(|(name, split)| (name.clone(), split.len() as u64)).collect()
    }
}

/// Why a second reading ended early.
enum Stop {
    Source(SourceError),
    Tokenize(TokenizeError),
}

impl From<SourceError> for Stop {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}

impl From<TokenizeError> for Stop {
    fn from(error: TokenizeError) -> Self {
        Self::Tokenize(error)
    }
}

/// How far it is.
struct Progress<'p> {
    done: u64,
    all: u64,
    tell: &'p dyn Fn(u64, u64),
}

impl Progress<'_> {
    fn more(&mut self, texts: u64) {
        self.done += texts;
        (self.tell)(self.done, self.all);
    }
}

/// The texts of a source as they are read again.
struct Texts<'c> {
    /// How many were read.
    place: usize,
    fates: &'c [u8],
    labels: &'c [u32],
}

impl Texts<'_> {
    /// The texts that are taken of some lines, for each split; their labels and rows go to `built`.
    fn choose<'b>(
        &mut self,
        lines: Vec<Line<'b>>,
        ids: &[i32],
        built: &mut [Built],
    ) -> Vec<Vec<Cow<'b, str>>> {
        let mut chosen: Vec<Vec<Cow<str>>> = built.iter().map(|_| vec![]).collect();
        for line in lines {
            let Content::Record(record) = line.content else { continue };
            let place = self.place;
            self.place += 1;
            // A file that has more texts than before is not the same file, which its digest will tell.
            let fate = self.fates.get(place).map_or(0, |fate| usize::from(*fate));
            let Some(target) = fate.checked_sub(1) else { continue };
            chosen[target].push(record.text);
            let Split { labels, rows, .. } = &mut built[target].split;
            labels.extend(self.labels.get(place).map(|label| ids[*label as usize]));
            rows.push((place as u64).cast_signed());
        }
        chosen
    }
}

/// A split as it grows.
struct Built {
    split: Split,
    truncated: u64,
    /// How many texts have so many tokens.
    lengths: BTreeMap<usize, u64>,
}

impl Default for Built {
    fn default() -> Self {
        let split = Split { offsets: vec![0], ..Split::default() };
        Self { split, truncated: 0, lengths: BTreeMap::new() }
    }
}

impl Built {
    fn add(&mut self, tokens: Tokens) {
        self.split.ids.extend(tokens.ids);
        self.truncated += tokens.truncated;
        let mut end = self.split.offsets.last().copied().unwrap_or_default();
        for length in tokens.lengths {
            *self.lengths.entry(length).or_default() += 1;
            end += (length as u64).cast_signed();
            self.split.offsets.push(end);
        }
    }

    fn stats(&self, seen: &Seen, choice: &Choice, split: &str) -> Stats {
        let texts = self.split.len() as u64;
        // The nearest rank: the shortest length that so many percent of the texts do not pass.
        let percentile = |percent: u64| {
            let rank = (texts * percent).div_ceil(100).max(1);
            let mut passed = 0;
            let found = self.lengths.iter().find(|(_, count)| {
                passed += **count;
                passed >= rank
            });
            found.map_or(0, |(length, _)| *length as u64)
        };
        let mut labels = BTreeMap::new();
        for id in &self.split.labels {
            if let Some(name) = usize::try_from(*id).ok().and_then(|id| choice.labels.names.get(id)) {
                *labels.entry(name.clone()).or_default() += 1;
            }
        }
        Stats {
            texts,
            source_texts: seen.texts,
            blank_lines: seen.blank_lines,
            tokens: self.split.ids.len() as u64,
            mean_length: self.split.ids.len() as f64 / texts.max(1) as f64,
            p50_length: percentile(50),
            p95_length: percentile(95),
            max_length: percentile(100),
            truncated: self.truncated,
            labels,
            left_out: seen.left_out.clone(),
            shared: BTreeMap::new(),
            unknown_labels: findings::unknown_labels(choice, split).values().sum(),
        }
    }
}
