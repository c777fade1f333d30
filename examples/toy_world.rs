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

/// A kind of thing, the plain words for what it does and has, and its invented names.
struct Kind {
    label: &'static str,
    deeds: [&'static str; 4],
    parts: [&'static str; 4],
    names: Vec<String>,
}

/// A kind before it has names: its label, its deeds, its parts.
type Sketch = (&'static str, [&'static str; 4], [&'static str; 4]);

/// What a note of the island can be about: the end-task's labels.
const ISLAND: [Sketch; 4] = [
    ("beast", ["grazed", "ran", "growled", "dug"], ["fur", "hooves", "paws", "horns"]),
    ("bird", ["flew", "sang", "perched", "nested"], ["wings", "feathers", "beak", "claws"]),
    ("fish", ["swam", "spawned", "surfaced", "dived"], ["fins", "scales", "gills", "roe"]),
    ("herb", ["bloomed", "sprouted", "withered", "climbed"], ["leaves", "roots", "petals", "pollen"]),
];

/// What a letter of the market can be about. No task asks for it.
const MARKET: [Sketch; 4] = [
    ("cloth", ["faded", "tore", "shrank", "frayed"], ["thread", "hems", "dye", "seams"]),
    ("drink", ["fermented", "soured", "foamed", "cleared"], ["barrels", "corks", "froth", "yeast"]),
    ("metal", ["rusted", "bent", "melted", "rang"], ["ore", "ingots", "rivets", "wire"]),
    ("spice", ["burned", "crumbled", "sweetened", "stung"], ["powder", "pods", "husks", "zest"]),
];

/// Invented names of each kind of thing.
const NAMES: usize = 40;

/// Texts of each file.
const TRAIN: usize = 80;
const DEV: usize = 120;
const TEST: usize = 480;
/// Unlabelled texts of the task, beside the labelled ones.
const TASK_MORE: usize = 1920;
const DOMAIN: usize = 3000;
const OTHER: usize = 3000;

/// Of 100 labelled notes, how many get a label drawn blindly.
const NOISE_PERCENT: u32 = 4;

/// How a note of the task reads: `n` is a name, `d` a deed and `p` a part of the kind that is the note's
/// label; `N` is the name of something of another kind, that the note mentions only. `@` is a time, `#` a
/// place.
const TASK_FRAMES: [&str; 8] = [
    "@ : a n # , it d",
    "a n # , no N",
    "a n d # , with p",
    "saw n with p , past a N",
    "no N but a n #",
    "n by its p , it d at @",
    "@ : n and n , one N",
    "the n d , no p",
];

/// How the island's guide books read: of one kind at a time, with more of its deeds and parts.
const DOMAIN_FRAMES: [&str; 8] = [
    "the n d and d , it has p and p",
    "n : p , p , d at @",
    "n and n d , with p and p",
    "the n d , by its p and p",
    "p and p : a n , it d",
    "no n d without p or p",
    "a n d # : p , p",
    "n , like n , d : p",
];

/// How letters of the market read.
const OTHER_FRAMES: [&str; 8] = [
    "the n d and d , all p and p",
    "n : p , p , d at @",
    "sold n and n , with p and p",
    "the n d , send p and p",
    "p and p of n d",
    "a n that d has no p or p",
    "price of n # : p , p",
    "n , for n , d : p",
];

const TIMES: [&str; 8] = ["dawn", "morning", "noon", "evening", "dusk", "night", "ebb", "flood"];
const PLACES: [&str; 8] = [
    "by the pier",
    "by the cliff",
    "by the marsh",
    "by the well",
    "by the bridge",
    "by the dunes",
    "by the cove",
    "by the chapel",
];

/// A text and what it is about.
struct Text {
    words: String,
    label: &'static str,
}

/// Every file of the world: its path below `examples/toy`, and its content.
pub fn world() -> BTreeMap<&'static str, String> {
    let mut taken = BTreeSet::new();
    let island = ISLAND.map(|sketch| name(sketch, &mut taken));
    let market = MARKET.map(|sketch| name(sketch, &mut taken));

    // Each text is written once in the whole world: no file repeats, or gives away, a text of another.
    let mut seen = BTreeSet::new();
    let mut texts = |purpose, count, kinds, frames| write_texts(purpose, count, kinds, frames, &mut seen);
    let train = texts("train", TRAIN, &island, &TASK_FRAMES);
    let dev = texts("dev", DEV, &island, &TASK_FRAMES);
    let test = texts("test", TEST, &island, &TASK_FRAMES);
    let more = texts("task", TASK_MORE, &island, &TASK_FRAMES);
    let domain = texts("domain", DOMAIN, &island, &DOMAIN_FRAMES);
    let other = texts("other", OTHER, &market, &OTHER_FRAMES);

    let tokenizer = tokenizer([&island, &market]);
    let vocabulary = tokenizer.get_vocab_size(true);
    BTreeMap::from([
        ("train.jsonl", labelled("train", &train)),
        ("dev.jsonl", labelled("dev", &dev)),
        ("test.jsonl", labelled("test", &test)),
        ("task.txt", lines(train.iter().chain(&more))),
        ("domain.txt", lines(&domain)),
        ("other.txt", lines(&other)),
        ("encoder/config.json", config(vocabulary)),
        ("encoder/tokenizer.json", tokenizer.to_string(true).expect("a tokenizer is JSON") + "\n"),
    ])
}

/// The kind of a sketch, with new names: none of them is in `taken`.
fn name((label, deeds, parts): Sketch, taken: &mut BTreeSet<String>) -> Kind {
    let mut rng = stream(SEED, &format!("names of {label}"), 0);
    let mut names = Vec::with_capacity(NAMES);
    while names.len() < NAMES {
        let name = invent(&mut rng);
        if taken.insert(name.clone()) {
            names.push(name);
        }
    }
    Kind { label, deeds, parts, names }
}

/// A name that can be spoken.
fn invent(rng: &mut ChaCha8Rng) -> String {
    const HEADS: [&str; 20] = [
        "b", "br", "d", "dr", "f", "g", "gl", "h", "k", "l", "m", "n", "p", "r", "sk", "st", "t", "tr", "v",
        "z",
    ];
    const VOWELS: [&str; 7] = ["a", "e", "i", "o", "u", "ae", "oo"];
    const INNER: [&str; 10] = ["b", "d", "ld", "lm", "m", "nd", "r", "sk", "t", "v"];
    const ENDS: [&str; 8] = ["a", "el", "en", "ik", "in", "ock", "ul", "us"];
    [&HEADS[..], &VOWELS, &INNER, &ENDS].map(|parts| pick(rng, parts)).concat()
}

/// `count` texts that are not in `seen` yet.
fn write_texts(
    purpose: &str,
    count: usize,
    kinds: &[Kind; 4],
    frames: &[&str; 8],
    seen: &mut BTreeSet<String>,
) -> Vec<Text> {
    let mut rng = stream(SEED, purpose, 0);
    let mut texts = Vec::with_capacity(count);
    while texts.len() < count {
        // Kinds take turns, so that each file has as many of each.
        let kind = texts.len() % kinds.len();
        let other = (kind + rng.random_range(1..kinds.len())) % kinds.len();
        let text = fill(&mut rng, frames, &kinds[kind], &kinds[other]);
        if seen.insert(text.clone()) {
            texts.push(Text { words: text, label: kinds[kind].label });
        }
    }
    texts.shuffle(&mut rng);
    texts
}

/// A frame with its letters and signs made words; see [`TASK_FRAMES`].
fn fill(rng: &mut ChaCha8Rng, frames: &[&str], own: &Kind, other: &Kind) -> String {
    let words: Vec<&str> = pick(rng, frames)
        .split(' ')
        .map(|part| match part {
            "n" => heard(rng, &own.names),
            "N" => heard(rng, &other.names),
            "d" => pick(rng, &own.deeds),
            "p" => pick(rng, &own.parts),
            "@" => pick(rng, &TIMES),
            "#" => pick(rng, &PLACES),
            word => word,
        })
        .collect();
    words.join(" ")
}

fn pick<'a>(rng: &mut ChaCha8Rng, from: &[&'a str]) -> &'a str {
    from.choose(rng).copied().unwrap_or_default()
}

/// One of the names: the first are common, the last hardly ever heard.
fn heard<'a>(rng: &mut ChaCha8Rng, names: &'a [String]) -> &'a str {
    let mut draw = || rng.random_range(0..names.len());
    &names[draw().min(draw())]
}

/// The texts of a split as JSON lines, a few of the labels wrong.
fn labelled(split: &str, texts: &[Text]) -> String {
    let mut rng = stream(SEED, &format!("label noise of {split}"), 0);
    texts
        .iter()
        .map(|text| {
            let blind = rng.random_range(0..100) < NOISE_PERCENT;
            let label = if blind { pick(&mut rng, &ISLAND.map(|(label, ..)| label)) } else { text.label };
            json!({"label": label, "text": text.words}).to_string() + "\n"
        })
        .collect()
}

fn lines<'a>(texts: impl IntoIterator<Item = &'a Text>) -> String {
    texts.into_iter().map(|text| text.words.clone() + "\n").collect()
}

/// Whole words, as a BERT reads them, and letters for whatever is unknown.
fn tokenizer(worlds: [&[Kind; 4]; 2]) -> Tokenizer {
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
    let frames = [TASK_FRAMES, DOMAIN_FRAMES, OTHER_FRAMES].concat();
    let kinds = || worlds.into_iter().flatten();
    let habits = kinds().flat_map(|kind| [kind.deeds, kind.parts]).flatten().collect();
    let plain: BTreeSet<&str> = [frames, TIMES.to_vec(), PLACES.to_vec(), habits]
        .concat()
        .into_iter()
        .flat_map(|phrase| phrase.split(' '))
        .filter(|word| !["n", "N", "d", "p", "@", "#"].contains(word))
        .collect();
    let invented: BTreeSet<&str> = kinds().flat_map(|kind| &kind.names).map(String::as_str).collect();
    let letters = ('a'..='z').map(String::from).filter(|letter| !plain.contains(letter.as_str()));
    let inner = ('a'..='z').map(|letter| format!("##{letter}"));
    let tokens = special
        .map(str::to_owned)
        .into_iter()
        .chain(letters)
        .chain(inner)
        .chain(plain.union(&invented).map(|word| (*word).to_owned()));
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
    fn no_text_is_in_two_places_and_every_word_is_known() {
        let world = world();
        let texts = |name: &str| -> Vec<String> {
            let text = |line: &str| match serde_json::from_str::<serde_json::Value>(line) {
                Ok(note) => note["text"].as_str().expect("text").to_owned(),
                Err(_) => line.to_owned(),
            };
            world[name].lines().map(text).collect()
        };
        let files = ["task.txt", "dev.jsonl", "test.jsonl", "domain.txt", "other.txt"];
        let all: Vec<String> = files.iter().flat_map(|name| texts(name)).collect();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
        // The task's text is that of its labelled train split, and more of the same.
        assert_eq!(
            texts("task.txt").iter().filter(|text| texts("train.jsonl").contains(text)).count(),
            TRAIN
        );

        let tokenizer: Tokenizer = world["encoder/tokenizer.json"].parse().expect("a tokenizer");
        for text in all {
            let tokens = tokenizer.encode(text.as_str(), true).expect("tokens");
            let words = text.split(' ').count();
            assert_eq!(tokens.len(), words + 2, "{text}: {:?}", tokens.get_tokens());
            assert!(tokens.len() <= 32 && !tokens.get_tokens().contains(&"[UNK]".to_owned()), "{text}");
        }
    }
}
