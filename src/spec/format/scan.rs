//! What a line of YAML is, as far as a formatter must know: where texts, brackets and comments begin and end.

/// What a line is.
pub(super) enum Line {
    /// Within a quoted text: spaces may count.
    Verbatim,
    /// Nothing.
    Blank,
    /// Goes on with what a line before began.
    Inside,
    /// A comment alone.
    Comment,
    /// A field, an item or a value.
    Block,
    /// Of a text of the form `|` or `>`, under a block at this column.
    Text {
        /// The block's column.
        indent: usize,
    },
}

/// What is open at the end of a line.
#[derive(Default)]
pub(super) struct Scanner {
    /// The quote of a text.
    quote: Option<char>,
    /// How many brackets.
    depth: usize,
    /// A `|` or `>` was read; the column of its block, once that is known.
    text: bool,
    under: Option<usize>,
}

impl Scanner {
    /// What the next line is.
    pub(super) fn line(&mut self, line: &str) -> Line {
        let content = line.trim_start_matches(' ');
        if let Some(indent) = self.under {
            if content.is_empty() || line.len() - content.len() > indent {
                return Line::Text { indent };
            }
            self.under = None;
        }
        if self.quote.is_some() {
            // What follows the text in its last line is laid out no more than the text.
            let mut unused = String::new();
            self.content(line, true, &mut unused);
            return Line::Verbatim;
        }
        match content.trim_end().chars().next() {
            None => Line::Blank,
            Some('#') if self.depth == 0 => Line::Comment,
            _ if self.depth > 0 => Line::Inside,
            Some(_) => Line::Block,
        }
    }

    /// A text that a line's `|` or `>` begins stands under the block at `column`.
    pub(super) fn begin_text(&mut self, column: usize) {
        self.under = std::mem::take(&mut self.text).then_some(column);
    }

    /// Lays out what stands behind a line's indentation. `is_aligned` keeps the spaces before a field's value.
    pub(super) fn content(&mut self, content: &str, is_aligned: bool, out: &mut String) {
        let chars: Vec<char> = content.trim_end().chars().collect();
        let at = |i: usize| chars.get(i).copied();
        let mut is_start = true;
        let mut has_key = self.depth > 0;
        let mut i = 0;
        while let Some(c) = at(i) {
            if let Some(quote) = self.quote {
                out.push(c);
                match (quote, c, at(i + 1)) {
                    ('"', '\\', Some(next)) | ('\'', '\'', Some(next @ '\'')) => {
                        out.push(next);
                        i += 1;
                    }
                    _ if c == quote => self.quote = None,
                    _ => {}
                }
                is_start = false;
                i += 1;
                continue;
            }
            let begins_comment = c == '#' && (i == 0 || at(i - 1).is_some_and(char::is_whitespace));
            if begins_comment {
                out.extend(&chars[i..]);
                return;
            }
            match c {
                '"' | '\'' if is_start => {
                    self.quote = Some(c);
                    out.push(c);
                    is_start = false;
                }
                '{' | '[' if is_start || self.depth > 0 => {
                    self.depth += 1;
                    out.push(c);
                    i += spaces(&chars, i + 1);
                    is_start = true;
                }
                '}' | ']' if self.depth > 0 => {
                    self.depth -= 1;
                    close_gap(out);
                    out.push(c);
                    is_start = false;
                }
                ',' if self.depth > 0 => {
                    close_gap(out);
                    out.push(c);
                    let gap = spaces(&chars, i + 1);
                    i += gap;
                    if at(i + 1).is_some() {
                        out.push_str(&gap_before(&chars, i + 1, gap, 1));
                    }
                    is_start = true;
                }
                ':' if at(i + 1).is_none_or(|next| next == ' ') && !(has_key && self.depth == 0) => {
                    out.push(c);
                    let gap = spaces(&chars, i + 1);
                    i += gap;
                    let keeps = is_aligned && self.depth == 0;
                    if at(i + 1).is_some() {
                        out.push_str(&gap_before(&chars, i + 1, gap, if keeps { gap } else { 1 }));
                    }
                    has_key = true;
                    is_start = true;
                }
                '|' | '>' if is_start && self.depth == 0 => {
                    self.text = true;
                    out.extend(&chars[i..]);
                    return;
                }
                ' ' => out.push(c),
                _ => {
                    out.push(c);
                    is_start = false;
                }
            }
            i += 1;
        }
    }
}

/// Takes back the spaces before a comma or bracket: none of the indentation, and not the one that makes a key.
fn close_gap(out: &mut String) {
    let text = out.trim_end_matches(' ').len();
    let kept = if text == 0 {
        out.len()
    } else {
        text + usize::from(out[..text].ends_with(':') && text < out.len())
    };
    out.truncate(kept);
}

/// The spaces to write before what stands at `at`: as many as there are before a comment.
fn gap_before(chars: &[char], at: usize, old: usize, new: usize) -> String {
    let is_comment = chars.get(at) == Some(&'#') && old > 0;
    " ".repeat(if is_comment { old } else { new })
}

fn spaces(chars: &[char], from: usize) -> usize {
    chars[from.min(chars.len())..].iter().take_while(|c| **c == ' ').count()
}

/// Whether a line's content is a field: `key: …` or `key:`.
pub(super) fn is_field(content: &str) -> bool {
    colon(content).is_some()
}

/// Where a field begins and where its value does, in columns.
pub(super) fn value_column(line: &str) -> Option<(usize, usize)> {
    let content = line.trim_start_matches([' ', '-']);
    let value = &content[colon(content)? + 1..];
    let begins = value.trim_start_matches(' ');
    (!begins.is_empty() && !begins.starts_with('#'))
        .then(|| (line.len() - content.len(), line.chars().count() - begins.chars().count()))
}

/// Where the colon behind a key is, in bytes.
fn colon(content: &str) -> Option<usize> {
    let mut quote = None;
    let mut before = ' ';
    for (at, c) in content.char_indices() {
        match (quote, c) {
            (Some('"'), _) if before == '\\' => {
                before = ' ';
                continue;
            }
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') if at == 0 => quote = Some(c),
            (None, '{' | '[') if at == 0 => return None,
            (None, '#') if before == ' ' => return None,
            (None, ':') if content[at + 1..].chars().next().is_none_or(|next| next == ' ') => {
                return Some(at);
            }
            _ => {}
        }
        before = c;
    }
    None
}
