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
use rand::seq::IndexedRandom as _;
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use tartan::data::rng::stream;
use tokenizers::Tokenizer;

/// Seeds the whole world.
const SEED: u64 = 2109;

/// A kind of thing: its name, and the plain words that go with it (what it does, what it has).
struct Kind {
    name: &'static str,
    deeds: [&'static str; 4],
    parts: [&'static str; 4],
}

/// What a note of the island can be about: the end-task's labels.
const ISLAND: [Kind; 4] = [
    Kind {
        name: "beast",
        deeds: ["grazed", "ran", "growled", "dug"],
        parts: ["fur", "hooves", "paws", "horns"],
    },
    Kind {
        name: "bird",
        deeds: ["flew", "sang", "perched", "nested"],
        parts: ["wings", "feathers", "beak", "claws"],
    },
    Kind {
        name: "fish",
        deeds: ["swam", "spawned", "surfaced", "dived"],
        parts: ["fins", "scales", "gills", "roe"],
    },
    Kind {
        name: "herb",
        deeds: ["bloomed", "sprouted", "withered", "climbed"],
        parts: ["leaves", "roots", "petals", "pollen"],
    },
];
/// What a letter of the market can be about. No task asks for it.
const MARKET: [Kind; 4] = [
    Kind {
        name: "cloth",
        deeds: ["faded", "tore", "shrank", "frayed"],
        parts: ["thread", "hems", "dye", "seams"],
    },
    Kind {
        name: "drink",
        deeds: ["fermented", "soured", "foamed", "cleared"],
        parts: ["barrels", "corks", "froth", "yeast"],
    },
    Kind {
        name: "metal",
        deeds: ["rusted", "bent", "melted", "rang"],
        parts: ["ore", "ingots", "rivets", "wire"],
    },
    Kind {
        name: "spice",
        deeds: ["burned", "crumbled", "sweetened", "stung"],
        parts: ["powder", "pods", "husks", "zest"],
    },
];

/// Invented names of each kind of thing.
const NAMES: usize = 40;

/// Texts of each file.
const TRAIN: usize = 120;
const DEV: usize = 120;
const TEST: usize = 480;
/// Unlabelled texts of the task, beside the labelled ones.
const TASK_MORE: usize = 1080;
const DOMAIN: usize = 3000;
const OTHER: usize = 3000;

/// Of 100 labelled notes, how many carry a label drawn blindly.
const NOISE_PERCENT: u32 = 4;

/// How a note of the task reads. The label is the kind of the small letters, `n` noun, `t` trait, `d`
/// deed; capitals are of another creature, that the note mentions only. `@` is a time, `#` a place.
const TASK_FRAMES: [&str; 8] = [
    "@ : a n #",
    "a n # , no N",
    "@ : a n d",
    "saw n , past a N",
    "no N but a n # @",
    "a n with p , near a N",
    "@ : n and n , one N",
    "the n d #",
];

/// How other notes of the island read: about one kind, mostly, and in other turns of phrase.
const DOMAIN_FRAMES: [&str; 8] = [
    "the n d and d , it has p and p",
    "n : p , p , d @",
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
    "n : p , p , d @",
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

/// A text and, where it is a note, the index of its kind.
struct Text {
    words: String,
    kind: usize,
}

/// Four kinds and the names of each.
type Lexicon = [(Vec<String>, Kind); 4];

/// Every file of the world: its path below `examples/toy`, and its content.
pub fn world() -> BTreeMap<&'static str, String> {
    let mut taken = BTreeSet::new();
    let island = ISLAND.map(|kind| (names(kind.name, &mut taken), kind));
    let market = MARKET.map(|kind| (names(kind.name, &mut taken), kind));

    // Each text is written once in the whole world: no file repeats, or gives away, a text of another.
    let mut seen = BTreeSet::new();
    let mut texts =
        |purpose, count, words, frames: &[&str]| write_texts(purpose, count, words, frames, &mut seen);
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

/// New names for one kind, none of them in `taken`.
fn names(kind: &str, taken: &mut BTreeSet<String>) -> Vec<String> {
    let mut rng = stream(SEED, &format!("names of {kind}"), 0);
    let mut names = Vec::with_capacity(NAMES);
    while names.len() < NAMES {
        let name = invent(&mut rng);
        if taken.insert(name.clone()) {
            names.push(name);
        }
    }
    names
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
    kinds: &Lexicon,
    frames: &[&str],
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
            texts.push(Text { words: text, kind });
        }
    }
    texts
}

/// A frame with its letters and signs made words; see [`TASK_FRAMES`].
fn fill(
    rng: &mut ChaCha8Rng,
    frames: &[&str],
    own: &(Vec<String>, Kind),
    other: &(Vec<String>, Kind),
) -> String {
    let words: Vec<&str> = pick(rng, frames)
        .split(' ')
        .map(|part| match part {
            "n" => rare(rng, &own.0),
            "N" => rare(rng, &other.0),
            "d" => pick(rng, &own.1.deeds),
            "p" => pick(rng, &own.1.parts),
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

/// One of `words`, the first a few times as often as the last.
fn rare<'a>(rng: &mut ChaCha8Rng, words: &'a [String]) -> &'a str {
    let share = rng.random::<f64>().powf(1.5) * words.len() as f64;
    words.get(share as usize).map_or("", String::as_str)
}

/// The texts of a split as JSON lines, a few of the labels wrong.
fn labelled(split: &str, texts: &[Text]) -> String {
    let mut rng = stream(SEED, &format!("label noise of {split}"), 0);
    let mut order: Vec<String> = texts
        .iter()
        .map(|text| {
            let blind = rng.random_range(0..100) < NOISE_PERCENT;
            let kind = if blind { rng.random_range(0..ISLAND.len()) } else { text.kind };
            json!({"label": ISLAND[kind].name, "text": text.words}).to_string() + "\n"
        })
        .collect();
    rand::seq::SliceRandom::shuffle(order.as_mut_slice(), &mut rng);
    order.concat()
}

fn lines<'a>(texts: impl IntoIterator<Item = &'a Text>) -> String {
    texts.into_iter().map(|text| text.words.clone() + "\n").collect()
}

/// Whole words, as a BERT reads them, and letters for whatever is unknown.
fn tokenizer(lexicons: [&Lexicon; 2]) -> Tokenizer {
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
    let frames = [TASK_FRAMES, DOMAIN_FRAMES, OTHER_FRAMES].concat();
    let kinds = ISLAND.iter().chain(&MARKET).flat_map(|kind| [kind.deeds, kind.parts]).flatten();
    let plain: BTreeSet<String> = [frames, TIMES.to_vec(), PLACES.to_vec(), kinds.collect()]
        .concat()
        .iter()
        .flat_map(|frame| frame.split(' '))
        .filter(|word| !["n", "N", "d", "p", "@", "#"].contains(word))
        .map(str::to_owned)
        .collect();
    let invented =
        lexicons.into_iter().flatten().flat_map(|(names, _)| names.iter().cloned()).collect::<BTreeSet<_>>();
    let letters = ('a'..='z').map(String::from).filter(|letter| !plain.contains(letter));
    let inner = ('a'..='z').map(|letter| format!("##{letter}"));
    let tokens = special
        .map(str::to_owned)
        .into_iter()
        .chain(letters)
        .chain(inner)
        .chain(plain.iter().cloned())
        .chain(invented.difference(&plain).cloned());
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
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "max_position_embeddings": 64,
        "type_vocab_size": 2,
        "initializer_range": 0.02,
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
