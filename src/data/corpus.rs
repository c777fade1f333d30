//! A corpus: all splits of a `tokenize` stage, from the bytes of their files to what the stage writes.
//!
//! Read, sample, tokenise, number the labels, count. Tells how far it is through a function; knows
//! neither where bytes come from nor where they go.

use std::collections::{BTreeMap, BTreeSet};

use rayon::ThreadPool;
use serde::{Deserialize, Serialize};

use super::sample;
use super::source::{Source, SourceError, Texts};
use super::split::Split;
use super::tokenize::{TextEncoder, TokenizeError, Tokens};
use crate::action::{Labels, Sample, Tokenize, Vocabulary};

/// The split that is sampled, and whose labels are the classes.
const TRAIN: &str = "train";
/// Texts between two reports of progress: a tenth of a second's work or so.
const TEXTS_PER_REPORT: usize = 2048;
/// The part of a split's texts that may be cut without a word.
const CUT_UNSAID: f64 = 0.01;
/// How many labels a note names.
const NAMED: usize = 10;

/// A split's file and its texts.
type Read<'a> = (&'a Source<'a>, Texts<'a>);

/// What a `tokenize` stage reads.
#[derive(Clone, Debug)]
pub struct Inputs<'a> {
    /// The bytes of `tokenizer.json`.
    pub tokenizer: &'a [u8],
    /// What its ids mean.
    pub vocabulary: &'a Vocabulary,
    /// Each split's file.
    pub sources: &'a [Source<'a>],
    /// Texts in each split of the stage that a multiple counts.
    pub base_sizes: Option<&'a BTreeMap<String, u64>>,
}

/// What a `tokenize` stage makes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Corpus {
    /// The tokens of each split.
    pub splits: BTreeMap<String, Split>,
    /// The labels. Classes are those of the whole train file, whatever is sampled of it, so that models
    /// of samples of different size tell the same classes apart; of all splits where there is no train.
    pub labels: Labels,
    /// What was seen in each split.
    pub stats: BTreeMap<String, Stats>,
    /// What the user should know: a sentence each.
    pub warnings: Vec<String>,
}

/// What was seen in a split. Lengths are in tokens, special tokens included.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// Texts taken.
    pub texts: u64,
    /// Texts in the file.
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
}

/// Why there is no corpus.
#[derive(Debug, thiserror::Error)]
pub enum CorpusError {
    /// Files that cannot be read as texts; every one of them.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Sources(Vec<SourceError>),
    /// The tokenizer does not serve.
    #[error(transparent)]
    Tokenize(#[from] TokenizeError),
    /// A multiple of a stage that has no train split.
    #[error("the sample is a multiple of a stage's train split, and that stage has none")]
    NoBase,
}

impl CorpusError {
    /// The way out, where one is known.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Sources(errors) => {
                errors.iter().any(|error| matches!(error, SourceError::Broken { .. })).then(|| {
                    "`text` and `label` name the fields; a file of plain lines ends in `.txt`".to_owned()
                })
            }
            Self::Tokenize(error) => error.help(),
            Self::NoBase => Some("name a stage with a train split, or give `sample` a number".to_owned()),
        }
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
    let read = pool.install(|| read(params, inputs.sources))?;
    let mut corpus = Corpus { labels: labels(&read), ..Corpus::default() };
    corpus.warnings.extend(unknown_labels(&read, &corpus.labels));

    let mut taken = vec![];
    for (source, texts) in &read {
        let all = texts.texts.len();
        let places = match params.sample.filter(|_| source.split == TRAIN) {
            None => (0..all).collect(),
            Some(sample) => {
                let wanted = sample::wanted(sample, all, base(sample, inputs)?);
                if wanted > all as u64 {
                    corpus.warnings.push(format!(
                        "the sample asks for {wanted} texts, and `{}` has {all}: all are taken",
                        source.file
                    ));
                }
                sample::draw(all, wanted, params.seed)
            }
        };
        taken.push(places);
    }
    if params.sample.is_some() && read.iter().all(|(source, _)| source.split != TRAIN) {
        corpus.warnings.push("there is no train split to sample".to_owned());
    }

    let total = taken.iter().map(|places| places.len() as u64).sum();
    let mut done = 0;
    progress(done, total);
    for ((source, texts), places) in read.iter().zip(&taken) {
        let chosen: Vec<&str> = places.iter().map(|&place| texts.texts[place].as_ref()).collect();
        let mut tokens = Tokens::default();
        for part in chosen.chunks(TEXTS_PER_REPORT) {
            tokens.append(pool.install(|| encoder.encode(part))?);
            done += part.len() as u64;
            progress(done, total);
        }
        let stats = stats(texts, places, &tokens);
        if stats.truncated as f64 > stats.texts as f64 * CUT_UNSAID {
            corpus.warnings.push(format!(
                "{} of the {} texts of split `{}` ({:.1}%) are cut at {} tokens",
                stats.truncated,
                stats.texts,
                source.split,
                100.0 * stats.truncated as f64 / stats.texts as f64,
                params.max_length,
            ));
        }
        corpus.stats.insert(source.split.to_owned(), stats);
        corpus.splits.insert(source.split.to_owned(), split(texts, places, tokens, &corpus.labels));
    }
    Ok(corpus)
}

impl Corpus {
    /// Texts in each split.
    pub fn sizes(&self) -> BTreeMap<String, u64> {
        self.splits.iter().map(|(name, split)| (name.clone(), split.len() as u64)).collect()
    }
}

/// Every split's texts, or what is wrong in any of them.
fn read<'a>(params: &Tokenize, sources: &'a [Source<'a>]) -> Result<Vec<Read<'a>>, CorpusError> {
    let (mut read, mut errors) = (vec![], vec![]);
    for source in sources {
        match source.read(&params.text, params.label.as_deref()) {
            Ok(texts) => read.push((source, texts)),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(read) } else { Err(CorpusError::Sources(errors)) }
}

/// The number that a multiple multiplies; others need none.
fn base(sample: Sample, inputs: &Inputs) -> Result<u64, CorpusError> {
    match sample {
        Sample::Count(_) | Sample::Fraction(_) => Ok(0),
        Sample::Times(_) => {
            inputs.base_sizes.and_then(|sizes| sizes.get(TRAIN)).copied().ok_or(CorpusError::NoBase)
        }
    }
}

/// The labels of train in byte order, then those that only dev has, then those that only test has: what a
/// label's id is depends on no split that comes later.
fn labels(read: &[Read]) -> Labels {
    let mut splits: Vec<&Read> = read.iter().collect();
    splits.sort_by_key(|(source, _)| {
        [TRAIN, "dev"].iter().position(|first| *first == source.split).unwrap_or(2)
    });
    let mut names: Vec<String> = vec![];
    let mut classes = None;
    for (source, texts) in splits {
        let known: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        let own: BTreeSet<&str> = texts.labels.iter().map(AsRef::as_ref).collect();
        let new: Vec<String> = own.difference(&known).map(ToString::to_string).collect();
        names.extend(new);
        if source.split == TRAIN {
            classes = Some(names.len());
        }
    }
    let classes = classes.unwrap_or(names.len());
    Labels { names, classes }
}

/// A sentence for each split with labels that no class stands for, or with none where train has some.
fn unknown_labels(read: &[Read], labels: &Labels) -> Vec<String> {
    let classes: BTreeSet<&str> = labels.names[..labels.classes].iter().map(String::as_str).collect();
    let mut sentences = vec![];
    if labels.classes > 0 && read.iter().any(|(source, _)| source.split == TRAIN) {
        // A model could be trained for hours before someone asks for the score that this split cannot give.
        let bare = read.iter().filter(|(_, texts)| texts.labels.is_empty());
        sentences.extend(bare.map(|(source, _)| {
            format!("split `{}` has no labels, and train has: no model can be scored on it", source.split)
        }));
    }
    // Of a train split without labels there is nothing to learn, and nothing to miss.
    for (source, texts) in read.iter().filter(|_| labels.classes > 0) {
        let counts = count(texts.labels.iter().map(AsRef::as_ref).filter(|label| !classes.contains(label)));
        if counts.is_empty() {
            continue;
        }
        let mut named: Vec<String> =
            counts.iter().take(NAMED).map(|(label, count)| format!("`{label}` ({count})")).collect();
        if counts.len() > NAMED {
            named.push(format!("and {} more", counts.len() - NAMED));
        }
        sentences.push(format!(
            "{} of the {} texts of split `{}` have labels that train lacks: {}",
            counts.values().sum::<u64>(),
            texts.texts.len(),
            source.split,
            named.join(", "),
        ));
    }
    sentences
}

fn stats(texts: &Texts, places: &[usize], tokens: &Tokens) -> Stats {
    let mut lengths = tokens.lengths.clone();
    lengths.sort_unstable();
    // The nearest rank: the shortest length that so many percent of the texts do not pass.
    let percentile = |percent: usize| {
        let rank = (lengths.len() * percent).div_ceil(100);
        lengths.get(rank.saturating_sub(1)).map_or(0, |&length| length as u64)
    };
    Stats {
        texts: places.len() as u64,
        source_texts: texts.texts.len() as u64,
        blank_lines: texts.blank_lines,
        tokens: tokens.ids.len() as u64,
        mean_length: tokens.ids.len() as f64 / lengths.len().max(1) as f64,
        p50_length: percentile(50),
        p95_length: percentile(95),
        max_length: percentile(100),
        truncated: tokens.truncated,
        labels: count(places.iter().filter_map(|&place| texts.labels.get(place)).map(AsRef::as_ref))
            .into_iter()
            .map(|(label, count)| (label.to_owned(), count))
            .collect(),
    }
}

fn split(texts: &Texts, places: &[usize], tokens: Tokens, labels: &Labels) -> Split {
    let ids: BTreeMap<&str, i32> = labels.names.iter().map(String::as_str).zip(0..).collect();
    let mut end = 0;
    let ends = tokens.lengths.iter().map(|&length| {
        end += (length as u64).cast_signed();
        end
    });
    Split {
        offsets: std::iter::once(0).chain(ends).collect(),
        ids: tokens.ids,
        labels: places.iter().filter_map(|&p| texts.labels.get(p)).map(|label| ids[label.as_ref()]).collect(),
        rows: places.iter().map(|&place| (place as u64).cast_signed()).collect(),
    }
}

fn count<'a>(labels: impl Iterator<Item = &'a str>) -> BTreeMap<&'a str, u64> {
    let mut counts = BTreeMap::new();
    for label in labels {
        *counts.entry(label).or_insert(0) += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::super::tokenize::tests::{tokenizer_json, vocabulary};
    use super::*;
    use crate::action::Format;

    struct Case {
        params: Tokenize,
        files: Vec<(&'static str, Format, String)>,
        base: Option<u64>,
    }

    impl Case {
        fn new(files: &[(&'static str, Format, &str)]) -> Self {
            let params = Tokenize {
                splits: files.iter().map(|(split, format, _)| ((*split).to_owned(), *format)).collect(),
                text: Tokenize::default_text(),
                label: None,
                max_length: 5,
                sample: None,
                seed: 0,
            };
            let files =
                files.iter().map(|(split, format, text)| (*split, *format, (*text).to_owned())).collect();
            Self { params, files, base: None }
        }

        fn sampled(mut self, sample: Sample) -> Self {
            self.params.sample = Some(sample);
            self
        }

        fn build(&self) -> Result<Corpus, CorpusError> {
            let sources: Vec<Source> = self
                .files
                .iter()
                .map(|(split, format, text)| Source {
                    split,
                    file: split,
                    format: *format,
                    bytes: text.as_bytes(),
                })
                .collect();
            let base_sizes = self.base.map(|base| BTreeMap::from([("train".to_owned(), base)]));
            let inputs = Inputs {
                tokenizer: &tokenizer_json(),
                vocabulary: &vocabulary(),
                sources: &sources,
                base_sizes: base_sizes.as_ref(),
            };
            let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("pool");
            build(&self.params, &inputs, &pool, &|done, total| assert!(done <= total, "{done} of {total}"))
        }
    }

    fn jsonl(records: &[(&str, &str)]) -> String {
        let line = |(text, label): &(&str, &str)| {
            serde_json::json!({"text": text, "label": label}).to_string() + "\n"
        };
        records.iter().map(line).collect()
    }

    fn letters(count: usize) -> String {
        (0..count).map(|i| ["a", "b", "c", "d", "e"][i % 5].to_owned() + "\n").collect()
    }

    #[test]
    fn makes_splits_labels_sizes_and_stats() {
        let train = jsonl(&[("a b", "z"), ("a b c d e", "B")]) + "\n" + &jsonl(&[("", "z")]);
        let dev = jsonl(&[("c", "a"), ("c", "B"), ("c", "a")]);
        let corpus = Case::new(&[
            ("train", Format::Jsonl, train.as_str()),
            ("dev", Format::Jsonl, dev.as_str()),
            ("test", Format::Lines, "a"),
        ])
        .build()
        .expect("corpus");

        assert_eq!(corpus.labels, Labels { names: vec!["B".into(), "z".into(), "a".into()], classes: 2 });
        let train = &corpus.splits["train"];
        assert_eq!(train.ids, [2, 5, 6, 3, 2, 5, 6, 7, 3, 2, 3]);
        assert_eq!(train.offsets, [0, 4, 9, 11]);
        assert_eq!((&train.labels[..], &train.rows[..]), (&[1, 0, 1][..], &[0, 1, 2][..]));
        assert_eq!(corpus.splits["dev"].labels, [2, 0, 2]);
        assert_eq!(corpus.splits["test"].labels, [0; 0]);
        assert_eq!(
            corpus.sizes(),
            [("dev", 3), ("test", 1), ("train", 3)].map(|(k, v)| (k.to_owned(), v)).into()
        );
        let stats = &corpus.stats["train"];
        let expected = Stats {
            texts: 3,
            source_texts: 3,
            blank_lines: 1,
            tokens: 11,
            mean_length: 11.0 / 3.0,
            p50_length: 4,
            p95_length: 5,
            max_length: 5,
            truncated: 1,
            labels: BTreeMap::from([("B".to_owned(), 1), ("z".to_owned(), 2)]),
        };
        assert_eq!(*stats, expected);
        assert_eq!(
            corpus.warnings,
            [
                "split `test` has no labels, and train has: no model can be scored on it",
                "2 of the 3 texts of split `dev` have labels that train lacks: `a` (2)",
                "1 of the 3 texts of split `train` (33.3%) are cut at 5 tokens",
            ]
        );
        for split in corpus.splits.values() {
            assert_eq!(Split::from_bytes(&split.to_bytes().expect("bytes")).expect("split"), *split);
        }
    }

    #[test]
    fn without_train_every_label_is_a_class() {
        let (dev, test) = (jsonl(&[("a", "x")]), jsonl(&[("a", "b")]));
        let case = Case::new(&[("dev", Format::Jsonl, &dev), ("test", Format::Jsonl, &test)]);
        let corpus = case.build().expect("corpus");
        assert_eq!(corpus.labels, Labels { names: vec!["x".into(), "b".into()], classes: 2 });
        assert_eq!(corpus.warnings, [""; 0]);
        // A train split without labels is another matter: there is no class to learn.
        let case = Case::new(&[("train", Format::Lines, "a"), ("dev", Format::Jsonl, &dev)]);
        assert_eq!(case.build().expect("corpus").labels, Labels { names: vec!["x".into()], classes: 0 });
    }

    #[test]
    fn samples_train_alone_and_keeps_its_rows() {
        let text = letters(100);
        let files = [("train", Format::Lines, text.as_str()), ("dev", Format::Lines, text.as_str())];
        let whole = Case::new(&files).build().expect("corpus");
        let sampled = Case::new(&files).sampled(Sample::Fraction(0.1)).build().expect("corpus");
        assert_eq!((sampled.sizes()["train"], sampled.sizes()["dev"]), (10, 100));
        assert_eq!((sampled.stats["train"].texts, sampled.stats["train"].source_texts), (10, 100));
        let train = &sampled.splits["train"];
        assert!(train.rows.is_sorted());
        for (index, &row) in train.rows.iter().enumerate() {
            let row = usize::try_from(row).expect("row");
            assert_eq!(train.text(index), whole.splits["train"].text(row));
        }
        let other = Case { params: Tokenize { seed: 1, ..Case::new(&files).params }, ..Case::new(&files) };
        let other = other.sampled(Sample::Fraction(0.1)).build().expect("corpus");
        assert_ne!(other.splits["train"].rows, train.rows);
    }

    #[test]
    fn a_sample_keeps_the_classes_of_the_whole() {
        let train = jsonl(&[("a", "x"), ("b", "y"), ("c", "z")]);
        let corpus =
            Case::new(&[("train", Format::Jsonl, &train)]).sampled(Sample::Count(1)).build().expect("corpus");
        assert_eq!((corpus.sizes()["train"], corpus.labels.classes), (1, 3));
        assert_eq!(corpus.stats["train"].labels.len(), 1);
    }

    #[test]
    fn a_multiple_counts_another_stages_texts() {
        let text = letters(100);
        let mut case = Case::new(&[("train", Format::Lines, &text)]).sampled(Sample::Times(10.0));
        assert!(matches!(case.build(), Err(CorpusError::NoBase)));
        case.base = Some(7);
        assert_eq!(case.build().expect("corpus").sizes()["train"], 70);
        case.base = Some(11);
        let corpus = case.build().expect("corpus");
        assert_eq!(corpus.sizes()["train"], 100);
        assert_eq!(corpus.warnings, ["the sample asks for 110 texts, and `train` has 100: all are taken"]);
    }

    #[test]
    fn broken_files_are_all_reported() {
        let case = Case::new(&[
            ("train", Format::Jsonl, "x\n"),
            ("dev", Format::Lines, "\n"),
            ("test", Format::Lines, "a"),
        ]);
        let error = case.build().expect_err("broken");
        let message = error.to_string();
        assert!(message.contains("train:1: expected a JSON object"), "{message}");
        assert!(message.contains("\nsplit `dev` has no text"), "{message}");
        assert!(error.help().is_some());
    }
}
