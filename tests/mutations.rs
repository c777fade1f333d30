//! No text may crash the way from a text to a plan: every seed of the corpus, cut, doubled, crossed and scrambled by a seeded
//! generator. The real fuzzer is in `fuzz/`; this is its short, repeatable sister. `TARTAN_MUTATIONS=100000` makes it longer.

use std::fs;
use std::path::{Path, PathBuf};

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tartan::diag::{Diagnostic, Severity};

#[path = "../fuzz/plan_of_text.rs"]
mod plan_of_text;

/// Mutations in all, where nothing is said.
const COUNT: usize = 3000;

/// What pipelines are made of, and what breaks parsers.
const TOKENS: [&str; 40] = [
    "${",
    "}",
    "${a}",
    "$${",
    "stages:",
    "sweep:",
    "vars:",
    "report:",
    "{range: [0, 3]}",
    "range",
    "train",
    "evaluate",
    "tokenize",
    "objective",
    "mlm",
    "classify",
    "learn-weights",
    "10x ",
    "*a",
    "&a ",
    "<<: ",
    "!x ",
    "---\n",
    "\t",
    "\r",
    "\r\n",
    "\u{feff}",
    "\u{2028}",
    "\u{85}",
    "é",
    "日本",
    "\u{1b}",
    "- ",
    "? ",
    ": ",
    "|\n",
    ">-\n",
    "-1",
    "1e999",
    "[[[[[[[[",
];

fn seeds() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders =
        ["tests/wrong", "pipelines", "pipelines/recipes", "pipelines/studies", "fuzz/corpus/pipeline"];
    let mut files: Vec<PathBuf> = folders
        .iter()
        .flat_map(|folder| fs::read_dir(root.join(folder)).expect("folder"))
        .map(|entry| entry.expect("entry").path())
        // What the fuzzer found is named by its hash.
        .filter(|path| path.is_file() && path.extension().is_none_or(|extension| extension == "yaml"))
        .collect();
    files.sort();
    let texts = files.iter().map(|file| fs::read(file).expect("a seed"));
    texts.filter_map(|bytes| String::from_utf8(bytes).ok()).collect()
}

/// A place between two characters.
fn cut(text: &str, rng: &mut ChaCha8Rng) -> usize {
    let mut at = rng.random_range(0..=text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn mutate(mut text: String, other: &str, rng: &mut ChaCha8Rng) -> String {
    for _ in 0..rng.random_range(1..=4) {
        let (a, b) = (cut(&text, rng), cut(&text, rng));
        let (from, to) = (a.min(b), a.max(b));
        match rng.random_range(0..10) {
            0 => text.truncate(from),
            1 => text.replace_range(from..to, ""),
            2 => text.insert_str(from, TOKENS[rng.random_range(0..TOKENS.len())]),
            3 if to - from < 4096 => {
                let copy = text[from..to].to_owned();
                text.insert_str(to, &copy);
            }
            4 => {
                let (c, d) = (cut(other, rng), cut(other, rng));
                text.replace_range(from..to, &other[c.min(d)..c.max(d)]);
            }
            5 => {
                let lines: Vec<&str> = text.lines().collect();
                if let (Some(line), true) =
                    (lines.get(rng.random_range(0..lines.len().max(1))), lines.len() < 500)
                {
                    text.push_str(&format!("{line}\n"));
                }
            }
            6 => {
                let end = text[from..].char_indices().nth(1).map_or(text.len(), |(at, _)| from + at);
                text.replace_range(from..end, TOKENS[rng.random_range(0..TOKENS.len())]);
            }
            7 => {
                let number = rng.random_range(0..30).to_string();
                text = text.replacen(char::is_numeric, &number, rng.random_range(0..4));
            }
            8 => {
                let mut lines: Vec<&str> = text.lines().collect();
                if !lines.is_empty() {
                    let (a, b) = (rng.random_range(0..lines.len()), rng.random_range(0..lines.len()));
                    lines.swap(a, b);
                }
                text = lines.join("\n");
            }
            _ => {
                let end = text[from..].char_indices().nth(1).map_or(text.len(), |(at, _)| from + at);
                text.replace_range(from..end, "");
            }
        }
    }
    text
}

#[test]
fn no_mutation_of_a_pipeline_crashes_or_hangs() {
    let seeds = seeds();
    assert!(seeds.len() > 60);
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let is_sound = |found: &[Diagnostic]| found.iter().all(|fault| fault.severity != Severity::Error);
    let (sound_seeds, wrong_seeds): (Vec<String>, Vec<String>) =
        seeds.into_iter().partition(|seed| is_sound(&plan_of_text::plan_of_text(seed)));
    let mut sound = 0;
    let said = std::env::var("TARTAN_MUTATIONS").ok();
    let count = said.and_then(|count| count.parse().ok()).unwrap_or(COUNT);
    for _ in 0..count {
        // Most texts are refused before they are planned; what is sound gets further.
        let seeds = if rng.random_bool(0.5) { &sound_seeds } else { &wrong_seeds };
        let seed = seeds[rng.random_range(0..seeds.len())].clone();
        let other = &wrong_seeds[rng.random_range(0..wrong_seeds.len())];
        let text = mutate(seed, other, &mut rng);
        let found = std::panic::catch_unwind(|| plan_of_text::plan_of_text(&text));
        sound += usize::from(is_sound(&found.unwrap_or_else(|_| panic!("this crashes:\n{text}"))));
    }
    assert!(sound > count / 50, "{sound} of {count} are sound");
}
