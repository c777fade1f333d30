//! The toy world: makes the corpus and the tiny encoder's files under `examples/toy/`.
//!
//! ```text
//! cargo run --no-default-features --example toy_world -- examples/toy
//! ```
//!
//! Everything follows from one seed, so the files in the repository can be made again, byte for byte.
//! `examples/README.md` tells what the world is like and why. Knows nothing of stages or training.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rand::Rng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use tartan::data::rng::stream;
use tokenizers::Tokenizer;

/// Seeds the whole world.
const SEED: u64 = 2109;

/// Where a walk on the island may lead: the end-task's labels.
const HABITATS: [&str; 4] = ["cliff", "cove", "dunes", "marsh"];
/// Where things are sold on the mainland. No task asks for it.
const STALLS: [&str; 4] = ["baker", "chandler", "grocer", "smith"];

/// Names of the creatures that live in one habitat, or of the wares of one stall.
const NAMES: usize = 40;

/// What a file's texts are like.
struct Corpus {
    /// Texts.
    texts: usize,
    /// The fewest and the most names in a text.
    names: [usize; 2],
    /// Of 100 names, how many are drawn blindly from all places.
    strays: u32,
}

const fn walks(texts: usize) -> Corpus {
    Corpus { texts, names: [6, 9], strays: 45 }
}

const TRAIN: Corpus = walks(40);
const DEV: Corpus = walks(100);
const TEST: Corpus = walks(400);
/// Walks without a label, beside those of the train split.
const UNLABELLED: Corpus = walks(1960);
/// The warden's lists: longer, and with a better eye for what belongs together.
const DOMAIN: Corpus = Corpus { texts: 3000, names: [8, 11], strays: 30 };
/// Shopping lists.
const OTHER: Corpus = Corpus { texts: 3000, names: [8, 11], strays: 30 };

/// Walks marked with the colour that the surveyors' map gives a habitat: the end-task's structure under names of
/// its own.
const SURVEY: Corpus = walks(1000);
const COLOURS: [(&str, &str); 4] =
    [("cliff", "grey"), ("cove", "blue"), ("dunes", "sand"), ("marsh", "green")];
/// Walks whose labels were dealt out blindly.
const RUMOURS: Corpus = walks(1000);

/// A place and what is found there, the common names first.
struct Place {
    label: &'static str,
    names: Vec<String>,
}

/// A list of names and where it was made.
struct Text {
    names: String,
    label: &'static str,
}

/// Every file of the world: its path below `examples/toy`, and its content.
fn world() -> BTreeMap<&'static str, String> {
    let mut taken = BTreeSet::new();
    let island = HABITATS.map(|label| settle(label, &mut taken));
    let mainland = STALLS.map(|label| settle(label, &mut taken));

    // Each list is written once in the whole world: no file repeats, or gives away, a text of another.
    let mut seen = BTreeSet::new();
    let mut texts =
        |purpose, corpus: &Corpus, places: &[Place; 4]| write_texts(purpose, corpus, places, &mut seen);
    let train = texts("train", &TRAIN, &island);
    let dev = texts("dev", &DEV, &island);
    let test = texts("test", &TEST, &island);
    let unlabelled = texts("unlabelled", &UNLABELLED, &island);
    let domain = texts("domain", &DOMAIN, &island);
    let other = texts("other", &OTHER, &mainland);

    let mut survey = texts("survey", &SURVEY, &island);
    colour_in(&mut survey);
    let mut rumours = texts("rumours", &RUMOURS, &island);
    deal_out_labels(&mut rumours);

    let tokenizer = tokenizer(&taken);
    let vocabulary = tokenizer.get_vocab_size(true);
    BTreeMap::from([
        ("train.jsonl", labelled(&train)),
        ("dev.jsonl", labelled(&dev)),
        ("test.jsonl", labelled(&test)),
        ("task.txt", lines(train.iter().chain(&unlabelled))),
        ("domain.txt", lines(&domain)),
        ("other.txt", lines(&other)),
        ("rumours.jsonl", labelled(&rumours)),
        ("survey.jsonl", labelled(&survey)),
        ("encoder/config.json", config(vocabulary)),
        ("encoder/tokenizer.json", tokenizer.to_string(true).expect("a tokenizer is JSON") + "\n"),
    ])
}

/// A place with new names: none of them is in `taken`.
fn settle(label: &'static str, taken: &mut BTreeSet<String>) -> Place {
    let mut rng = stream(SEED, &format!("names of {label}"), 0);
    let mut names = Vec::with_capacity(NAMES);
    while names.len() < NAMES {
        let name = invent(&mut rng);
        if taken.insert(name.clone()) {
            names.push(name);
        }
    }
    Place { label, names }
}

/// A name that can be spoken. It says nothing of the place.
fn invent(rng: &mut ChaCha8Rng) -> String {
    const HEADS: [&str; 20] = [
        "b", "br", "d", "dr", "f", "g", "gl", "h", "k", "l", "m", "n", "p", "r", "sk", "st", "t", "tr", "v",
        "z",
    ];
    const VOWELS: [&str; 7] = ["a", "e", "i", "o", "u", "ae", "oo"];
    const INNER: [&str; 10] = ["b", "d", "ld", "lm", "m", "nd", "r", "sk", "t", "v"];
    const ENDS: [&str; 8] = ["a", "el", "en", "ik", "in", "ock", "ul", "us"];
    let parts: [&[&str]; 4] = [&HEADS, &VOWELS, &INNER, &ENDS];
    parts.iter().filter_map(|part| part.choose(rng)).copied().collect()
}

/// The texts of `corpus`, none of which is in `seen` yet.
fn write_texts(
    purpose: &str,
    corpus: &Corpus,
    places: &[Place; 4],
    seen: &mut BTreeSet<String>,
) -> Vec<Text> {
    let mut rng = stream(SEED, purpose, 0);
    let mut texts = Vec::with_capacity(corpus.texts);
    while texts.len() < corpus.texts {
        // Places take turns, so that each file has as many texts of each.
        let home = &places[texts.len() % places.len()];
        let names = list(&mut rng, corpus, home, places);
        if seen.insert(names.clone()) {
            texts.push(Text { names, label: home.label });
        }
    }
    texts.shuffle(&mut rng);
    texts
}

/// Gives the texts the colour of their habitat for a label.
fn colour_in(texts: &mut [Text]) {
    for text in texts {
        if let Some((_, colour)) = COLOURS.iter().find(|(habitat, _)| *habitat == text.label) {
            text.label = colour;
        }
    }
}

/// Gives the texts each other's labels, so that a label says nothing of its text.
fn deal_out_labels(texts: &mut [Text]) {
    let mut labels: Vec<&str> = texts.iter().map(|text| text.label).collect();
    labels.shuffle(&mut stream(SEED, "labels of rumours", 0));
    for (text, label) in texts.iter_mut().zip(labels) {
        text.label = label;
    }
}

/// A list made at `home`.
fn list(rng: &mut ChaCha8Rng, corpus: &Corpus, home: &Place, places: &[Place; 4]) -> String {
    let [fewest, most] = corpus.names;
    let count = rng.random_range(fewest..=most);
    let mut names = Vec::with_capacity(count);
    for _ in 0..count {
        let stray = rng.random_range(0..100) < corpus.strays;
        let place = if stray { &places[rng.random_range(0..places.len())] } else { home };
        // Of two draws the earlier: the first names are common, the last hardly ever met.
        let draws = [0; 2].map(|_| rng.random_range(0..NAMES));
        names.push(place.names[draws[0].min(draws[1])].as_str());
    }
    names.join(" ")
}

fn labelled(texts: &[Text]) -> String {
    texts.iter().map(|text| json!({"label": text.label, "text": text.names}).to_string() + "\n").collect()
}

fn lines<'a>(texts: impl IntoIterator<Item = &'a Text>) -> String {
    texts.into_iter().map(|text| text.names.clone() + "\n").collect()
}

/// Whole names, as a BERT reads words, and letters for whatever is unknown.
fn tokenizer(names: &BTreeSet<String>) -> Tokenizer {
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
    let tokens = special
        .into_iter()
        .map(str::to_owned)
        .chain(('a'..='z').map(String::from))
        .chain(('a'..='z').map(|letter| format!("##{letter}")))
        .chain(names.iter().cloned());
    let vocabulary: BTreeMap<String, usize> = tokens.enumerate().map(|(id, token)| (token, id)).collect();

    let added: Vec<_> = special
        .iter()
        .enumerate()
        .map(|(id, token)| {
            json!({
                "id": id, "content": token, "special": true,
                "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
            })
        })
        .collect();
    let json = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": vocabulary,
        },
    });
    json.to_string().parse().expect("the tokenizer is one")
}

/// The encoder's sizes, as `transformers` writes them.
fn config(vocabulary: usize) -> String {
    let config = json!({
        "architectures": ["BertForMaskedLM"],
        "model_type": "bert",
        "vocab_size": vocabulary,
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 256,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "max_position_embeddings": 64,
        "type_vocab_size": 2,
        "initializer_range": 0.1,
        "layer_norm_eps": 1e-12,
        "pad_token_id": 0,
        "position_embedding_type": "absolute",
    });
    format!("{config:#}\n")
}

fn main() -> std::io::Result<()> {
    let root = std::env::args().nth(1).unwrap_or_else(|| "examples/toy".to_owned());
    for (name, content) in world() {
        let path = Path::new(&root).join(name);
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new(&root)))?;
        std::fs::write(path, content)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_files_are_this_world() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/toy");
        for (name, content) in world() {
            let committed = std::fs::read_to_string(root.join(name)).unwrap_or_default();
            assert!(committed == content, "examples/toy/{name} differs: make it again and commit it");
        }
    }

    #[test]
    fn who_knows_the_homes_and_counts_solves_most_of_the_task() {
        let mut taken = BTreeSet::new();
        let island = HABITATS.map(|label| settle(label, &mut taken));
        let (mut right, mut all) = (0, 0);
        for line in world()["test.jsonl"].lines() {
            let walk: serde_json::Value = serde_json::from_str(line).expect("a walk");
            let names: Vec<&str> = walk["text"].as_str().expect("text").split(' ').collect();
            let met = |place: &&Place| {
                let at_home = |name: &&&str| place.names.iter().any(|known| known == **name);
                names.iter().filter(at_home).count()
            };
            let home = island.iter().max_by_key(met).expect("a place");
            right += usize::from(walk["label"] == home.label);
            all += 1;
        }
        assert!((360..=388).contains(&right), "{right} of {all}");
    }

    #[test]
    fn no_text_is_in_two_places_and_every_name_is_a_token() {
        let world = world();
        let texts = |name: &str| -> Vec<String> {
            let text = |line: &str| match serde_json::from_str::<serde_json::Value>(line) {
                Ok(walk) => walk["text"].as_str().expect("text").to_owned(),
                Err(_) => line.to_owned(),
            };
            world[name].lines().map(text).collect()
        };
        let files = [
            "task.txt",
            "dev.jsonl",
            "test.jsonl",
            "domain.txt",
            "other.txt",
            "rumours.jsonl",
            "survey.jsonl",
        ];
        let all: Vec<String> = files.iter().flat_map(|name| texts(name)).collect();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
        // The task's text is that of its labelled train split, and more of the same.
        let (train, task) = (texts("train.jsonl"), texts("task.txt"));
        assert!(train.iter().all(|text| task.contains(text)));

        let tokenizer: Tokenizer = world["encoder/tokenizer.json"].parse().expect("a tokenizer");
        for text in all {
            let tokens = tokenizer.encode(text.as_str(), true).expect("tokens");
            let expected = format!("[CLS] {text} [SEP]");
            assert_eq!(tokens.get_tokens().join(" "), expected);
        }
    }
}
