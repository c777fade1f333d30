//! The first reading: how many texts there are, which labels they have, which come more than once.
//!
//! Splits are read in the order test, dev, train, and each is compared with those before it: what a model is
//! scored on outranks what it learns from.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use rayon::ThreadPool;
use rayon::prelude::*;

use super::{CorpusError, LeftOut, TRAIN};
use crate::action::{Deduplicate, Format, Tokenize};
use crate::data::source::{Broken, Content, Fields, Line, Record, Source, SourceError, excerpt, keys};

/// A text that goes nowhere.
pub(super) const OUT: u8 = 0;
/// A text that goes to the split whose files it is in.
pub(super) const OWN: u8 = 1;
/// The label of a text that is left out for its label.
const NO_LABEL: u32 = u32::MAX;
/// Stands for every label that a map does not name.
const ANY: &str = "*";
/// In this order splits are read.
const ORDER: [&str; 3] = ["test", "dev", TRAIN];

/// A text's content, hashed.
pub(super) type Hash = [u64; 2];

/// What the first reading saw.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// The labels, by the numbers that they got as they were met.
    pub(super) names: Vec<String>,
    /// What was seen of each source.
    pub(super) seen: Vec<Seen>,
}

/// What was seen of a source.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// For each text, [`OWN`] or [`OUT`].
    pub(super) fates: Vec<u8>,
    /// Each text's label by number; empty where there are none.
    pub(super) labels: Vec<u32>,
    /// Each text's hash, where parts are to be made of them.
    pub(super) hashes: Vec<Hash>,
    /// How many texts there are.
    pub(super) texts: u64,
    /// Lines that hold nothing but white space.
    pub(super) blank_lines: u64,
    /// Texts that go nowhere.
    pub(super) left_out: LeftOut,
    /// The texts of splits read before that are also here.
    pub(super) shared: Vec<Shared>,
    /// Which of the text's fields some record has ([`Record::has`]).
    pub(super) has: u64,
    /// The fields of the first record.
    pub(super) keys: Vec<String>,
}

/// The texts of a split that are also in another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shared {
    pub(super) split: String,
    pub(super) count: u64,
    pub(super) of: u64,
    /// What to call the first line that is found in both: there, and here.
    pub(super) example: (String, String),
}

/// Reads every source, or says what is wrong with any of them.
pub(super) fn read(params: &Tokenize, sources: &[Source], pool: &ThreadPool) -> Result<Survey, CorpusError> {
    let mut order: Vec<usize> = (0..sources.len()).collect();
    order.sort_by_key(|&place| ORDER.iter().position(|split| *split == sources[place].split));
    let mut survey = Survey { names: vec![], seen: sources.iter().map(|_| Seen::default()).collect() };
    let mut names = Names::default();
    let mut before: Vec<Remembered> = vec![];
    let mut errors = vec![];
    for (turn, &place) in order.iter().enumerate() {
        let source = &sources[place];
        for split in &mut before {
            split.hit = vec![false; split.firsts.len()];
            split.example = None;
        }
        let is_part_maker = source.split == TRAIN && !params.parts.is_empty();
        let deduplicates = params.deduplicate != Deduplicate::No;
        let mut scan = Scan {
            params,
            source,
            names: &mut names,
            before: &mut before,
            own: Remembered::of(place, source.split),
            seen: Seen::default(),
            broken: Broken::default(),
            unlabelled: Broken::default(),
            labelled: None,
            lacking: vec![],
            hashes: deduplicates || is_part_maker || sources.len() > 1,
            keeps_hashes: is_part_maker,
            is_last: turn + 1 == order.len(),
        };
        let read: Result<(), SourceError> = source.each(Fields::of(params), pool, &mut |file, lines| {
            scan.take(file, lines, pool);
            Ok(())
        });
        match read.and_then(|()| scan.finish(sources)) {
            Ok((seen, own)) => {
                survey.seen[place] = seen;
                before.push(own);
            }
            Err(error) => errors.push((place, error)),
        }
    }
    // A field that some records lack is left out there; one that all lack is none.
    let has = survey.seen.iter().fold(0, |has, seen| has | seen.has);
    if errors.is_empty()
        && let Some(field) = Fields::of(params).lacking(has)
        && let Some(place) = order.iter().copied().find(|place| !survey.seen[*place].keys.is_empty())
    {
        let (files, keys) = (sources[place].names(), std::mem::take(&mut survey.seen[place].keys));
        errors.push((place, SourceError::NoField { files, field: field.to_owned(), keys }));
    }
    if !errors.is_empty() {
        errors.sort_by_key(|(place, _)| *place);
        let of_split = |(place, error): (usize, SourceError)| (sources[place].split.to_owned(), error);
        return Err(CorpusError::Sources(errors.into_iter().map(of_split).collect()));
    }
    survey.names = names.names;
    Ok(survey)
}

/// Labels and their numbers.
#[derive(Default)]
struct Names {
    names: Vec<String>,
    numbers: HashMap<String, u32>,
}

impl Names {
    fn number(&mut self, name: &str) -> u32 {
        if let Some(&number) = self.numbers.get(name) {
            return number;
        }
        let number = u32::try_from(self.names.len()).unwrap_or(NO_LABEL);
        self.names.push(name.to_owned());
        self.numbers.insert(name.to_owned(), number);
        number
    }
}

/// A line: the place of its file among the source's, and its number.
type Spot = (usize, u64);

/// The texts of a split that was read, for those after it to be compared with. Places are among its texts.
struct Remembered {
    source: usize,
    split: String,
    /// Where each text comes first.
    first: HashMap<Hash, u32>,
    /// For each text where it comes first, if it is taken.
    firsts: Vec<Option<u32>>,
    /// For each text its line.
    spots: Vec<Spot>,
    /// Which texts the split that is read now has too, by where they come first.
    hit: Vec<bool>,
    /// The first line found in both: there and here.
    example: Option<(Spot, Spot)>,
}

impl Remembered {
    fn of(source: usize, split: &str) -> Self {
        Self {
            source,
            split: split.to_owned(),
            first: HashMap::new(),
            firsts: vec![],
            spots: vec![],
            hit: vec![],
            example: None,
        }
    }
}

/// The first reading of one source.
struct Scan<'s> {
    params: &'s Tokenize,
    source: &'s Source<'s>,
    names: &'s mut Names,
    before: &'s mut [Remembered],
    own: Remembered,
    seen: Seen,
    broken: Broken,
    /// Lines without a label, which is a fault where others have one.
    unlabelled: Broken,
    /// The first line with a label.
    labelled: Option<Spot>,
    /// The fields of the first record without a text.
    lacking: Vec<String>,
    /// Whether texts are hashed, and whether the hashes are needed afterwards.
    hashes: bool,
    keeps_hashes: bool,
    /// Whether no split comes after this one.
    is_last: bool,
}

impl Scan<'_> {
    fn take(&mut self, file: usize, lines: Vec<Line>, pool: &ThreadPool) {
        let hashes: Vec<Option<Hash>> = if self.hashes {
            pool.install(|| lines.par_iter().map(hash).collect())
        } else {
            vec![None; lines.len()]
        };
        for (line, hash) in lines.into_iter().zip(hashes) {
            let number = line.number;
            match line.content {
                Content::Blank => self.seen.blank_lines += 1,
                Content::Broken(wrong) => {
                    let said = wrong.lacking.and(Fields::of(self.params).text_said());
                    if let Some(line) = wrong.lacking.filter(|_| self.lacking.is_empty()) {
                        self.lacking = keys(line);
                    }
                    let called = || self.source.line(file, number);
                    self.broken.add((file, number), called, || wrong.to_string(), said);
                }
                Content::Record(record) => self.record((file, number), &record, hash),
            }
        }
    }

    fn record(&mut self, spot: Spot, record: &Record, hash: Option<Hash>) {
        let called = || self.source.line(spot.0, spot.1);
        let mut fate = OWN;
        self.seen.has |= record.has;
        if self.source.format == Format::Jsonl && self.seen.keys.is_empty() {
            self.seen.keys = keys(record.shown);
        }
        match &record.label {
            None => {
                let said = Fields::of(self.params).label_said();
                self.unlabelled.add(spot, called, || excerpt(record.shown), said);
            }
            Some(label) => {
                self.labelled.get_or_insert(spot);
                let number = match mapped(label, self.params) {
                    Mapped::To(name) => self.names.number(name),
                    Mapped::ToNothing => {
                        fate = OUT;
                        self.seen.left_out.by_label += 1;
                        NO_LABEL
                    }
                    Mapped::Unknown => {
                        self.broken.add_unmapped(spot, called, label);
                        NO_LABEL
                    }
                };
                self.seen.labels.push(number);
            }
        }
        if let Some(hash) = hash {
            if fate == OWN {
                fate = self.compare(spot, hash);
            }
            if !self.is_last {
                self.own.spots.push(spot);
                self.own.firsts.push(self.own.first.get(&hash).copied().filter(|_| fate == OWN));
            }
            if self.keeps_hashes {
                self.seen.hashes.push(hash);
            }
        }
        self.seen.fates.push(fate);
    }

    /// What becomes of a text beside those before it.
    fn compare(&mut self, spot: Spot, hash: Hash) -> u8 {
        let left_out = &mut self.seen.left_out;
        for split in &mut *self.before {
            let Some(&first) = split.first.get(&hash) else { continue };
            if self.params.deduplicate == Deduplicate::Across {
                *left_out.shared.entry(split.split.clone()).or_default() += 1;
                return OUT;
            }
            split.hit[first as usize] = true;
            split.example.get_or_insert((split.spots[first as usize], spot));
        }
        let deduplicates = self.params.deduplicate != Deduplicate::No;
        if self.is_last && !deduplicates {
            return OWN;
        }
        // More texts than that do not fit into memory.
        let place = u32::try_from(self.seen.fates.len()).unwrap_or(u32::MAX);
        match self.own.first.entry(hash) {
            Entry::Vacant(entry) => {
                entry.insert(place);
                OWN
            }
            Entry::Occupied(first) if deduplicates => {
                let label = |place: u32| self.seen.labels.get(place as usize);
                left_out.repeated += 1;
                left_out.relabelled += u64::from(label(*first.get()) != label(place));
                OUT
            }
            Entry::Occupied(_) => OWN,
        }
    }

    fn finish(mut self, sources: &[Source]) -> Result<(Seen, Remembered), SourceError> {
        let label = Fields::of(self.params).label();
        let said = self.params.label.is_some() || !self.params.label_map.is_empty();
        if self.source.format != Format::Lines && (said || self.labelled.is_some()) {
            let why = match self.labelled {
                Some((_, number)) if !said && self.source.files.len() == 1 => {
                    format!(", as line {number} has one")
                }
                Some((file, number)) if !said => {
                    format!(", as {} has one", self.source.line(file, number))
                }
                _ => String::new(),
            };
            let mut unlabelled = std::mem::take(&mut self.unlabelled);
            if self.labelled.is_none() && !self.seen.keys.is_empty() {
                unlabelled.lacks(label, self.seen.keys.clone());
            }
            self.broken
                .merge(unlabelled.explain(|found| format!("expected a \"{label}\"{why}, found: {found}")));
        }
        if self.seen.fates.is_empty() && !self.lacking.is_empty() {
            self.broken.lacks(&self.params.text, std::mem::take(&mut self.lacking));
        }
        if !self.broken.is_empty() {
            return Err(SourceError::Broken(self.broken));
        }
        if !self.seen.fates.contains(&OWN) {
            let (split, why) = (self.source.split.to_owned(), self.emptiness());
            return Err(SourceError::Empty { split, why });
        }
        for split in &*self.before {
            if let Some((there, here)) = split.example {
                let hit = |first: &&Option<u32>| first.is_some_and(|first| split.hit[first as usize]);
                let of = &sources[split.source];
                self.seen.shared.push(Shared {
                    split: split.split.clone(),
                    count: split.firsts.iter().filter(hit).count() as u64,
                    of: split.firsts.iter().flatten().count() as u64,
                    example: (of.line(there.0, there.1), self.source.line(here.0, here.1)),
                });
            }
        }
        self.seen.texts = self.seen.fates.len() as u64;
        Ok((self.seen, self.own))
    }

    /// What became of all that is in the source's files.
    fn emptiness(&self) -> String {
        let (names, is) = (self.source.names(), if self.source.files.len() == 1 { "is" } else { "are" });
        let texts = self.seen.fates.len();
        if texts > 0 {
            let LeftOut { by_label, shared, .. } = &self.seen.left_out;
            let mut fates: Vec<String> =
                shared.iter().map(|(split, count)| format!("{count} are in `{split}`")).collect();
            if *by_label > 0 {
                fates.insert(0, format!("{by_label} have labels that `label_map` leaves out"));
            }
            return format!("of the {texts} in {names}, {}", fates.join(", "));
        }
        if self.seen.blank_lines > 0 {
            return format!("{names} {} only blank lines", if is == "is" { "has" } else { "have" });
        }
        match self.source.format {
            Format::Jsonl | Format::Lines => format!("{names} {is} empty"),
            Format::Csv | Format::Tsv => format!("{names} {is} empty, or without a row below the first"),
            Format::Parquet => format!("{names} {is} without a row"),
        }
    }
}

/// What becomes of a label.
enum Mapped<'l> {
    To(&'l str),
    ToNothing,
    /// The map does not say.
    Unknown,
}

/// What the label map says of a label.
fn mapped<'l>(label: &'l str, params: &'l Tokenize) -> Mapped<'l> {
    if params.label_map.is_empty() {
        return Mapped::To(label);
    }
    match params.label_map.get(label).or_else(|| params.label_map.get(ANY)) {
        Some(Some(to)) => Mapped::To(to),
        Some(None) => Mapped::ToNothing,
        None => Mapped::Unknown,
    }
}

fn hash(line: &Line) -> Option<Hash> {
    let Content::Record(record) = &line.content else { return None };
    let hash = blake3::hash(record.text.as_bytes());
    let (halves, _) = hash.as_bytes().as_chunks::<8>();
    Some([u64::from_le_bytes(halves[0]), u64::from_le_bytes(halves[1])])
}
