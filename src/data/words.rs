//! Words: tokenising each distinct word of a corpus once.
//!
//! The tokenizers of BERT and `RoBERTa` cut a text into words before they look any up, and a word's tokens
//! depend on nothing around it. So the ids of a text are those of its words, one after the other, and most
//! of a corpus's words have been seen before. [`Rule::of`] says where that holds: for the two families'
//! own pipelines and nothing else. The ids are those that the tokenizer itself gives for the whole text.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokenizers::{ModelWrapper, NormalizerWrapper, PreTokenizerWrapper, Tokenizer};

/// Longer words are not remembered: they are rarely seen again.
const LONGEST_WORD: usize = 48;
/// Words that one memo remembers; some 10 MB.
const MOST_WORDS: usize = 1 << 17;

/// Where a text may be cut into words that are tokenised apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// At every space, which belongs to no word (BERT: the pre-tokenizer drops white space, and the
    /// normaliser maps one character at a time; none combines with a space before it).
    DropSpace,
    /// Before a single space between two characters that are no white space; it belongs to the word
    /// after it (GPT-2's pattern, which `RoBERTa` has: only there can no match reach over the cut).
    KeepSpace,
}

impl Rule {
    /// The rule for this tokenizer, if one is known to hold.
    pub(super) fn of(tokenizer: &Tokenizer) -> Option<Self> {
        let normalizer = tokenizer.get_normalizer();
        // Such a token is looked for in the normalised text, where a word alone may differ.
        let late = tokenizer.get_added_tokens_decoder().values().any(|token| token.normalized);
        match (normalizer, tokenizer.get_pre_tokenizer(), tokenizer.get_model()) {
            (
                Some(NormalizerWrapper::BertNormalizer(_)),
                Some(PreTokenizerWrapper::BertPreTokenizer(_)),
                ModelWrapper::WordPiece(_),
            ) if !late => Some(Self::DropSpace),
            (None, Some(PreTokenizerWrapper::ByteLevel(level)), ModelWrapper::BPE(_)) if level.use_regex => {
                Some(Self::KeepSpace)
            }
            _ => None,
        }
    }

    /// The words of `text`, in order.
    pub(super) fn words(self, text: &str) -> Words<'_> {
        Words { rule: self, rest: text }
    }
}

/// An iterator of a text's words.
pub(super) struct Words<'t> {
    rule: Rule,
    rest: &'t str,
}

impl<'t> Iterator for Words<'t> {
    type Item = &'t str;

    fn next(&mut self) -> Option<&'t str> {
        let cut = match self.rule {
            Rule::DropSpace => {
                self.rest = self.rest.trim_start_matches(' ');
                self.rest.find(' ')
            }
            Rule::KeepSpace => self.rest.match_indices(' ').map(|(at, _)| at).find(|&at| {
                let solid = |c: Option<char>| c.is_some_and(|c| !c.is_whitespace());
                solid(self.rest[..at].chars().next_back()) && solid(self.rest[at + 1..].chars().next())
            }),
        };
        let (word, rest) = self.rest.split_at(cut.unwrap_or(self.rest.len()));
        self.rest = rest;
        (!word.is_empty()).then_some(word)
    }
}

/// A tokenizer that works word by word.
pub(super) struct ByWord {
    rule: Rule,
    /// Special tokens before and after every text.
    before: Vec<u32>,
    after: Vec<u32>,
    /// Texts that hold one of these are left to the tokenizer.
    added: Vec<String>,
    /// Memos that no thread uses now.
    memos: Mutex<Vec<Memo>>,
}

impl ByWord {
    /// Where words are tokenised apart by `tokenizer`, and special tokens stand at the ends alone.
    pub(super) fn of(tokenizer: &Tokenizer) -> Option<Self> {
        let rule = Rule::of(tokenizer)?;
        let ids = |text, special| tokenizer.encode_fast(text, special).ok().map(|e| e.get_ids().to_vec());
        let (bare, framed, empty) = (ids("a", false)?, ids("a", true)?, ids("", true)?);
        let at = framed.windows(bare.len().max(1)).position(|window| window == bare)?;
        let (before, after) = (framed[..at].to_vec(), framed[at + bare.len()..].to_vec());
        let added = tokenizer.get_added_tokens_decoder().into_values().map(|token| token.content).collect();
        let frame_alone = [&before[..], &after[..]].concat() == empty;
        frame_alone.then(|| Self { rule, before, after, added, memos: Mutex::default() })
    }

    /// A memo for one thread's use.
    pub(super) fn borrow_memo(&self) -> Memo {
        self.memos.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    /// Gives a memo back, for the next to use.
    pub(super) fn return_memo(&self, memo: Memo) {
        self.memos.lock().unwrap_or_else(PoisonError::into_inner).push(memo);
    }

    /// Whether `text` may be tokenised word by word.
    pub(super) fn suits(&self, text: &str) -> bool {
        !text.is_empty() && !self.added.iter().any(|added| text.contains(added.as_str()))
    }

    /// Puts the ids of a text that [`suits`](Self::suits) at the end of `ids`: at most `max_length`,
    /// special tokens included. Gives back whether the text was cut.
    pub(super) fn encode(
        &self,
        tokenizer: &Tokenizer,
        memo: &mut Memo,
        text: &str,
        max_length: usize,
        ids: &mut Vec<i32>,
    ) -> tokenizers::Result<bool> {
        let end = ids.len() + max_length.saturating_sub(self.after.len());
        let add = |ids: &mut Vec<i32>, more: &[u32]| ids.extend(more.iter().map(|id| id.cast_signed()));
        add(ids, &self.before);
        for word in self.rule.words(text) {
            add(ids, memo.ids(tokenizer, word)?);
            if ids.len() > end {
                break;
            }
        }
        let cut = ids.len() > end;
        ids.truncate(end);
        add(ids, &self.after);
        Ok(cut)
    }
}

/// The ids of words seen so far.
#[derive(Default)]
pub(super) struct Memo {
    places: HashMap<Box<str>, (usize, usize)>,
    ids: Vec<u32>,
    /// Where the ids that are remembered end; after them are those of the last word that was not.
    kept: usize,
}

impl Memo {
    /// The ids of `word`, without special tokens.
    fn ids(&mut self, tokenizer: &Tokenizer, word: &str) -> tokenizers::Result<&[u32]> {
        if let Some(&(start, end)) = self.places.get(word) {
            return Ok(&self.ids[start..end]);
        }
        let start = self.kept;
        self.ids.truncate(start);
        self.ids.extend(tokenizer.encode_fast(word, false)?.get_ids());
        if word.len() <= LONGEST_WORD && self.places.len() < MOST_WORDS {
            self.kept = self.ids.len();
            self.places.insert(word.into(), (start, self.kept));
        }
        Ok(&self.ids[start..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(rule: Rule, text: &str) -> Vec<&str> {
        rule.words(text).collect()
    }

    #[test]
    fn cuts_only_where_it_may() {
        assert_eq!(words(Rule::DropSpace, "  a b\tc  d "), ["a", "b\tc", "d"]);
        assert_eq!(words(Rule::DropSpace, "  "), [""; 0]);
        assert_eq!(words(Rule::KeepSpace, "a b  c d\n e\u{a0} f "), ["a", " b  c", " d\n e\u{a0} f "]);
        assert_eq!(words(Rule::KeepSpace, "  a"), ["  a"]);
    }
}
