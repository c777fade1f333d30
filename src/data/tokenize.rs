//! Tokenising: texts to token ids, the same ids that Hugging Face's `tokenizers` gives.
//!
//! Knows one tokenizer and one list of texts; which texts, and what becomes of the ids, is
//! [`corpus`](super::corpus)'s.

use rayon::prelude::*;
use tokenizers::{
    ModelWrapper, PostProcessor as _, Tokenizer, TruncationDirection, TruncationParams, TruncationStrategy,
};

use super::words::ByWord;
use crate::action::Vocabulary;
use crate::diag::Code;

/// Texts that one task of the pool tokenises: enough to make a task worth starting, few enough that the
/// last one does not keep the others waiting.
const TEXTS_PER_TASK: usize = 32;

/// A tokenizer that cuts texts at a length.
pub struct TextEncoder {
    tokenizer: Tokenizer,
    max_length: usize,
    by_word: Option<ByWord>,
}

/// The tokens of texts, one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Token ids of all texts, special tokens included.
    pub ids: Vec<i32>,
    /// Tokens of each text; at least 1.
    pub lengths: Vec<usize>,
    /// Texts that were cut.
    pub truncated: u64,
}

/// Why a tokenizer does not serve.
#[derive(Debug, thiserror::Error)]
pub enum TokenizeError {
    /// Not a `tokenizer.json`, or of a kind that is not known.
    #[error("tokenizer.json is no tokenizer: {0}")]
    Tokenizer(tokenizers::Error),
    /// The encoder cannot take texts of that many tokens.
    #[error("max_length {max_length} is more than the {max_positions} positions of the encoder")]
    TooLong {
        /// What was asked for.
        max_length: u32,
        /// What the encoder has.
        max_positions: u32,
    },
    /// The special tokens alone fill a text.
    #[error(
        "max_length {max_length} leaves no room for text beside the tokenizer's {special} special tokens"
    )]
    TooShort {
        /// What was asked for.
        max_length: u32,
        /// Tokens that the tokenizer adds to every text.
        special: usize,
    },
    /// An id that the encoder has no embedding for.
    #[error("tokenizer.json gives ids up to {id}, but the encoder's vocabulary has {size}")]
    Vocabulary {
        /// The largest id.
        id: u32,
        /// Number of ids that the encoder knows.
        size: u32,
    },
    /// The tokenizer refused a text.
    #[error("cannot tokenise `{text}`: {error}")]
    Text {
        /// The start of the text.
        text: String,
        /// What the tokenizer says.
        error: tokenizers::Error,
    },
    /// A text without a single token: the tokenizer adds no special ones.
    #[error("a text has no token at all: `{text}`")]
    NoToken {
        /// The start of the text.
        text: String,
    },
}

impl TokenizeError {
    /// What kind of fault it is.
    pub fn code(&self) -> Code {
        match self {
            Self::Tokenizer(_) | Self::Text { .. } | Self::NoToken { .. } => Code::BadTokenizer,
            Self::TooLong { .. } => Code::TooManyPositions,
            Self::TooShort { .. } => Code::OutOfRange,
            Self::Vocabulary { .. } => Code::OtherTokenizer,
        }
    }

    /// The field of a tokenize stage that it is about.
    pub fn field(&self) -> &'static str {
        match self {
            Self::TooLong { .. } | Self::TooShort { .. } => "max_length",
            Self::Tokenizer(_) | Self::Text { .. } | Self::NoToken { .. } | Self::Vocabulary { .. } => {
                "tokenizer"
            }
        }
    }

    /// The way out, where one is known.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::TooLong { max_positions, .. } => {
                Some(format!("set `max_length` to {max_positions} or less"))
            }
            Self::TooShort { special, .. } => Some(format!("set `max_length` above {special}")),
            Self::Vocabulary { .. } => {
                Some("tokenizer.json and config.json are of different models; take both from one".to_owned())
            }
            Self::NoToken { .. } => Some(
                "give the tokenizer a post-processor that adds the family's special tokens, as \
                 `transformers` saves it"
                    .to_owned(),
            ),
            Self::Tokenizer(_) => Some("save it anew with `tokenizers` 0.23 or `transformers`".to_owned()),
            Self::Text { .. } => None,
        }
    }
}

impl TextEncoder {
    /// The tokenizer in `tokenizer_json`, for texts of at most `max_length` tokens, special tokens
    /// included. What the file itself says of cutting, padding and dropout is put aside.
    pub fn new(
        tokenizer_json: &[u8],
        vocabulary: &Vocabulary,
        max_length: u32,
    ) -> Result<Self, TokenizeError> {
        if max_length > vocabulary.max_positions {
            return Err(TokenizeError::TooLong { max_length, max_positions: vocabulary.max_positions });
        }
        let mut tokenizer = Tokenizer::from_bytes(tokenizer_json).map_err(TokenizeError::Tokenizer)?;
        if let ModelWrapper::BPE(bpe) = tokenizer.get_model()
            && bpe.dropout.is_some()
        {
            let mut bpe = bpe.clone();
            bpe.dropout = None;
            tokenizer.with_model(bpe);
        }
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(TokenizeError::Tokenizer)?;

        let empty = tokenizer.encode_fast("", true).map_err(TokenizeError::Tokenizer)?;
        let ids = tokenizer.get_vocab(true).into_values().chain(empty.get_ids().iter().copied());
        // Ids are kept as i32.
        let size = vocabulary.size.min(i32::MAX.cast_unsigned());
        if let Some(id) = ids.max().filter(|&id| id >= size) {
            return Err(TokenizeError::Vocabulary { id, size });
        }
        let special = tokenizer.get_post_processor().map_or(0, |processor| processor.added_tokens(false));
        if max_length as usize <= special {
            return Err(TokenizeError::TooShort { max_length, special });
        }
        let truncation = TruncationParams {
            max_length: max_length as usize,
            strategy: TruncationStrategy::LongestFirst,
            stride: 0,
            direction: TruncationDirection::Right,
        };
        tokenizer.with_truncation(Some(truncation)).map_err(TokenizeError::Tokenizer)?;
        Ok(Self { by_word: ByWord::of(&tokenizer), tokenizer, max_length: max_length as usize })
    }

    /// The tokens of `texts`, in their order, on rayon's current pool.
    pub fn encode<T: AsRef<str> + Sync>(&self, texts: &[T]) -> Result<Tokens, TokenizeError> {
        let parts: Vec<Tokens> =
            texts.par_chunks(TEXTS_PER_TASK).map(|part| self.encode_part(part)).collect::<Result<_, _>>()?;
        let mut tokens = Tokens::default();
        for part in parts {
            tokens.append(part);
        }
        Ok(tokens)
    }

    fn encode_part<T: AsRef<str>>(&self, texts: &[T]) -> Result<Tokens, TokenizeError> {
        let mut memo = self.by_word.as_ref().map(ByWord::borrow_memo).unwrap_or_default();
        let mut tokens = Tokens::default();
        for text in texts {
            let text = text.as_ref();
            let start = tokens.ids.len();
            let cut = match self.by_word.as_ref().filter(|by_word| by_word.suits(text)) {
                Some(by_word) => {
                    by_word.encode(&self.tokenizer, &mut memo, text, self.max_length, &mut tokens.ids)
                }
                None => self.encode_whole(text, &mut tokens.ids),
            };
            let cut = cut.map_err(|error| TokenizeError::Text { text: start_of(text), error })?;
            if tokens.ids.len() == start {
                return Err(TokenizeError::NoToken { text: start_of(text) });
            }
            tokens.lengths.push(tokens.ids.len() - start);
            tokens.truncated += u64::from(cut);
        }
        if let Some(by_word) = &self.by_word {
            by_word.return_memo(memo);
        }
        Ok(tokens)
    }

    /// Puts a text's ids at the end of `ids`. Gives back whether the text was cut.
    fn encode_whole(&self, text: &str, ids: &mut Vec<i32>) -> tokenizers::Result<bool> {
        let encoding = self.tokenizer.encode_fast(text, true)?;
        ids.extend(encoding.get_ids().iter().map(|id| id.cast_signed()));
        Ok(!encoding.get_overflowing().is_empty())
    }
}

impl Tokens {
    /// Puts `more` after these.
    pub fn append(&mut self, mut more: Self) {
        self.ids.append(&mut more.ids);
        self.lengths.append(&mut more.lengths);
        self.truncated += more.truncated;
    }
}

fn start_of(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A tokenizer of whole words with settings that must not leak: it pads to 16 and cuts at 3.
    pub(in crate::data) fn tokenizer_json() -> Vec<u8> {
        serde_json::json!({
            "version": "1.0",
            "truncation": {"direction": "Left", "max_length": 3, "strategy": "LongestFirst", "stride": 0},
            "padding": {
                "strategy": {"Fixed": 16}, "direction": "Right", "pad_to_multiple_of": null,
                "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]",
            },
            "added_tokens": [special(0, "[PAD]"), special(2, "[CLS]"), special(3, "[SEP]"), special(4, "[MASK]")],
            "normalizer": null,
            "pre_tokenizer": {"type": "Whitespace"},
            "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
            "decoder": null,
            "model": {
                "type": "WordLevel",
                "vocab": {
                    "[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4,
                    "a": 5, "b": 6, "c": 7, "d": 8, "e": 9,
                },
                "unk_token": "[UNK]",
            },
        })
        .to_string()
        .into_bytes()
    }

    pub(in crate::data) fn vocabulary() -> Vocabulary {
        Vocabulary { size: 10, pad: 0, mask: Some(4), special: vec![0, 1, 2, 3, 4], max_positions: 32 }
    }

    fn special(id: u32, content: &str) -> serde_json::Value {
        serde_json::json!({
            "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true,
        })
    }

    fn with(change: impl Fn(&mut serde_json::Value)) -> Vec<u8> {
        let mut json = serde_json::from_slice(&tokenizer_json()).expect("json");
        change(&mut json);
        json.to_string().into_bytes()
    }

    #[track_caller]
    fn fails(tokenizer: &[u8], max_length: u32, message: &str) {
        let Err(error) = TextEncoder::new(tokenizer, &vocabulary(), max_length) else {
            panic!("no error: {message}")
        };
        assert!(error.to_string().starts_with(message), "{error}");
        assert!(error.help().is_some(), "{error}");
    }

    #[test]
    fn keeps_special_tokens_and_cuts_on_the_right() {
        let encoder = TextEncoder::new(&tokenizer_json(), &vocabulary(), 5).expect("tokenizer");
        let tokens = encoder.encode(&["a b c", "a b c d e", "", "x [MASK]"]).expect("tokens");
        assert_eq!(tokens.ids, [2, 5, 6, 7, 3, 2, 5, 6, 7, 3, 2, 3, 2, 1, 4, 3]);
        assert_eq!(tokens.lengths, [5, 5, 2, 4]);
        assert_eq!(tokens.truncated, 1);
    }

    #[test]
    fn order_does_not_depend_on_threads() {
        let encoder = TextEncoder::new(&tokenizer_json(), &vocabulary(), 32).expect("tokenizer");
        let texts: Vec<String> = (0..1000).map(|i| ["a", " b", " c"].concat().repeat(i % 11)).collect();
        let encode = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("pool");
            pool.install(|| encoder.encode(&texts)).expect("tokens")
        };
        let one = encode(1);
        assert_eq!(one.lengths.len(), 1000);
        assert_eq!(one.lengths.iter().sum::<usize>(), one.ids.len());
        assert_eq!(encode(4), one);
    }

    #[test]
    fn merges_are_never_dropped_by_chance() {
        let tokenizer = with(|json| {
            json["model"] = serde_json::json!({
                "type": "BPE", "dropout": 0.5, "unk_token": "[UNK]", "continuing_subword_prefix": null,
                "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
                "vocab": {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4, "a": 5, "b": 6, "ab": 7},
                "merges": [["a", "b"]],
            });
        });
        let encoder = TextEncoder::new(&tokenizer, &vocabulary(), 5).expect("tokenizer");
        let tokens = encoder.encode(&["ab"; 64]).expect("tokens");
        assert_eq!(tokens.ids, [2, 7, 3].repeat(64));
    }

    #[test]
    fn refuses_what_does_not_fit_the_encoder() {
        fails(&tokenizer_json(), 33, "max_length 33 is more than the 32 positions");
        fails(&tokenizer_json(), 2, "max_length 2 leaves no room");
        fails(&tokenizer_json(), 0, "max_length 0 leaves no room");
        fails(b"{}", 5, "tokenizer.json is no tokenizer: ");
        fails(b"", 5, "tokenizer.json is no tokenizer: ");
        let more = with(|json| json["model"]["vocab"]["f"] = 10.into());
        fails(&more, 5, "tokenizer.json gives ids up to 10, but the encoder's vocabulary has 10");
        let apart = with(|json| json["post_processor"]["sep"][1] = 99.into());
        fails(&apart, 5, "tokenizer.json gives ids up to 99, but the encoder's vocabulary has 10");
    }

    #[test]
    fn a_text_without_any_token_is_an_error() {
        let bare = with(|json| json["post_processor"] = serde_json::Value::Null);
        let encoder = TextEncoder::new(&bare, &vocabulary(), 5).expect("tokenizer");
        assert_eq!(encoder.encode(&["a b"]).expect("tokens").ids, [5, 6]);
        let error = encoder.encode(&["a", " "]).expect_err("no token");
        assert_eq!(error.to_string(), "a text has no token at all: ` `");
    }

    /// BERT's and `RoBERTa`'s pipelines, each over a few pieces.
    fn families() -> [Vec<u8>; 2] {
        let bert = with(|json| {
            json["normalizer"] = serde_json::json!({
                "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
                "strip_accents": null, "lowercase": true,
            });
            json["pre_tokenizer"] = serde_json::json!({"type": "BertPreTokenizer"});
            json["model"] = serde_json::json!({
                "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 100,
                "vocab": {
                    "[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4,
                    "a": 5, "##a": 6, "b": 7, "##b": 8, ".": 9,
                },
            });
        });
        let roberta = with(|json| {
            json["pre_tokenizer"] =
                serde_json::json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true});
            json["model"] = serde_json::json!({
                "type": "BPE", "dropout": null, "unk_token": "[UNK]", "continuing_subword_prefix": null,
                "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
                "vocab": {
                    "[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4,
                    "a": 5, "b": 6, "Ġ": 7, "Ġa": 8, "ab": 9,
                },
                "merges": [["Ġ", "a"], ["a", "b"]],
            });
        });
        [bert, roberta]
    }

    #[test]
    fn only_the_two_families_work_word_by_word() {
        let by_word =
            |json: &[u8]| TextEncoder::new(json, &vocabulary(), 5).expect("tokenizer").by_word.is_some();
        assert_eq!(families().map(|json| by_word(&json)), [true, true]);
        assert!(!by_word(&tokenizer_json()));
    }

    proptest::proptest! {
        #[test]
        fn word_by_word_gives_the_ids_of_the_whole(
            parts in prop::collection::vec(prop::sample::select(vec![
                "a", "b", "ab", "ba", ".", " ", "  ", "\t", "\u{a0}", "\u{301}", "é", "中", "\0", "[MASK]", "'s",
            ]), 0..24),
            max_length in 3_u32..16,
        ) {
            let text = parts.concat();
            for family in families() {
                let encoder = TextEncoder::new(&family, &vocabulary(), max_length).expect("tokenizer");
                let mut whole = vec![];
                let cut = encoder.encode_whole(&text, &mut whole).expect("tokens");
                // Twice, so that the words are met again.
                let tokens = encoder.encode(&[&text, &text]).expect("tokens");
                prop_assert_eq!(&tokens.ids, &whole.repeat(2));
                prop_assert_eq!(tokens.truncated, 2 * u64::from(cut));
            }
        }
    }
}
