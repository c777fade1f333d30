//! The figures' typeface: how wide a text is, its outlines, and where it is broken into lines.
//!
//! The outlines are those of Arimo (see `font/README.md`). Knows nothing of figures.

use std::collections::BTreeMap;
use std::sync::LazyLock;

/// What an SVG reader may use: all have the same widths.
pub(super) const FAMILY: &str = "Arimo, 'Liberation Sans', Helvetica, Arial, sans-serif";
/// How high capitals and digits are, in parts of the font's size.
pub(super) const CAP_HEIGHT: f64 = 0.69;
/// From one line of a text to the next, in parts of the font's size.
pub(super) const LINE: f64 = 1.2;

/// A step of an outline; coordinates in parts of the font's size, y upwards from the base line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Stroke {
    Move([f32; 2]),
    Line([f32; 2]),
    /// A quadratic curve: its control point and its end.
    Curve([f32; 2], [f32; 2]),
    Close,
}

#[derive(Debug)]
pub(super) struct Glyph {
    /// To the next character, in parts of the font's size.
    pub(super) advance: f64,
    pub(super) outline: Vec<Stroke>,
}

static GLYPHS: LazyLock<BTreeMap<char, Glyph>> =
    LazyLock::new(|| include_str!("font/glyphs.txt").lines().filter_map(parse).collect());

/// A box, for what the typeface lacks. Its widths are those of most other fonts: CJK and emoji fill a square.
static LACKING: LazyLock<[Glyph; 2]> = LazyLock::new(|| [0.6, 1.0].map(lacking));

/// The glyph of a character, or a box.
pub(super) fn glyph(c: char) -> &'static Glyph {
    GLYPHS.get(&c).unwrap_or_else(|| &LACKING[usize::from(c >= '\u{1100}')])
}

/// How wide a text is, in the unit of `size`.
pub(super) fn width(text: &str, size: f64) -> f64 {
    size * text.chars().map(|c| glyph(c).advance).sum::<f64>()
}

/// Breaks a text into lines no wider than `room`: at spaces, behind `-`, `_`, `/` and the like, and inside a
/// word where nothing else helps.
pub(super) fn wrap(text: &str, size: f64, room: f64) -> Vec<String> {
    let (mut lines, mut line) = (vec![], String::new());
    for part in parts(text) {
        let fits = |line: &str| width(line.trim_end(), size) <= room;
        if !line.is_empty() && !fits(&format!("{line}{part}")) {
            lines.push(line.trim_end().to_owned());
            line.clear();
        }
        for c in part.chars() {
            line.push(c);
            if line.chars().count() > 1 && !fits(&line) {
                line.pop();
                lines.push(std::mem::replace(&mut line, c.to_string()));
            }
        }
    }
    if !line.trim_end().is_empty() {
        lines.push(line.trim_end().to_owned());
    }
    lines
}

/// How wide the widest part is that `wrap` keeps whole where there is room.
pub(super) fn widest_part(text: &str, size: f64) -> f64 {
    parts(text).map(|part| width(part.trim_end(), size)).fold(0.0, f64::max)
}

fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive([' ', '-', '_', '/', ',', '+', '·'])
}

/// The beginning and the end of a text that is wider than `room`: both tell sweep points apart.
pub(super) fn shortened(text: &str, size: f64, room: f64) -> String {
    let chars: Vec<char> = text.chars().collect();
    let cut = |keep: usize| -> String {
        let end = keep / 2;
        [&chars[..keep - end], &['…'], &chars[chars.len() - end..]].concat().into_iter().collect()
    };
    if width(text, size) <= room {
        return text.to_owned();
    }
    let kept = (0..chars.len()).rev().map(cut).find(|text| width(text, size) <= room);
    kept.unwrap_or_else(|| "…".to_owned())
}

fn lacking(advance: f64) -> Glyph {
    #[expect(clippy::cast_possible_truncation, reason = "a half or one")]
    let right = advance as f32 - 0.08;
    let square = |[left, low, right, high]: [f32; 4]| {
        let [a, b, c, d] = [[left, low], [left, high], [right, high], [right, low]];
        [Stroke::Move(a), Stroke::Line(b), Stroke::Line(c), Stroke::Line(d), Stroke::Close]
    };
    // The inner square runs the other way round, which makes it a hole.
    let outer = square([0.08, 0.0, right, 0.72]);
    let inner = square([right - 0.05, 0.05, 0.13, 0.67]);
    Glyph { advance, outline: outer.into_iter().chain(inner).collect() }
}

/// A line of `glyphs.txt`: `41 667 m567 0l-79 201…z`.
fn parse(line: &str) -> Option<(char, Glyph)> {
    let mut fields = line.splitn(3, ' ');
    let c = char::from_u32(u32::from_str_radix(fields.next()?, 16).ok()?)?;
    let advance = fields.next()?.parse::<f64>().ok()? / 1000.0;
    let path = fields.next().unwrap_or_default();
    let letters = path.match_indices(|c: char| c.is_ascii_alphabetic()).map(|(i, _)| i);
    let bounds: Vec<usize> = letters.chain([path.len()]).collect();
    let mut outline = vec![];
    let (mut at, mut start) = ([0.0; 2], [0.0; 2]);
    for bound in bounds.windows(2) {
        let (letter, numbers) = path[bound[0]..bound[1]].split_at(1);
        let points = points(numbers, at)?;
        outline.push(match (letter, &points[..]) {
            ("m", [to]) => Stroke::Move(*to),
            ("l", [to]) => Stroke::Line(*to),
            ("q", [control, to]) => Stroke::Curve(*control, *to),
            ("z", []) => Stroke::Close,
            _ => return None,
        });
        if letter == "m" {
            start = points[0];
        }
        at = points.last().copied().unwrap_or(start);
    }
    Some((c, Glyph { advance, outline }))
}

/// Pairs of whole numbers, `10-4 165 48`, each relative to `from`.
fn points(numbers: &str, from: [f32; 2]) -> Option<Vec<[f32; 2]>> {
    let spaced = numbers.replace('-', " -");
    let values: Vec<f32> =
        spaced.split_whitespace().map(|n| n.parse().ok().map(|n: f32| n / 1000.0)).collect::<Option<_>>()?;
    Some(values.chunks_exact(2).map(|pair| [from[0] + pair[0], from[1] + pair[1]]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_read_whole() {
        assert_eq!(GLYPHS.len(), include_str!("font/glyphs.txt").lines().count());
        for c in ' '..='~' {
            assert!(GLYPHS.contains_key(&c) && (glyph(c).outline.is_empty() == (c == ' ')), "{c}");
        }
        assert!("éßŁαβΔ±×−–…→≤≈½²".chars().all(|c| GLYPHS.contains_key(&c)));
        for glyph in GLYPHS.values() {
            assert!(matches!(glyph.outline.last(), None | Some(Stroke::Close)));
        }
    }

    #[test]
    fn widths_are_those_of_helvetica() {
        // From Adobe's metrics: T 611, a 556, r 333, t 278, n 556.
        assert!((width("Tartan", 1000.0) - 2890.0).abs() < 1e-6, "{}", width("Tartan", 1000.0));
        assert!((width("日", 10.0) - 10.0).abs() < 1e-9);
    }

    #[test]
    fn lines_break_where_readers_expect() {
        let room = width("META-TARTAN", 10.0);
        assert_eq!(wrap("META-TARTAN with cosines", 10.0, room), ["META-TARTAN", "with cosines"]);
        assert_eq!(wrap("META-TARTAN", 10.0, room - 1.0), ["META-", "TARTAN"]);
        assert_eq!(wrap("iiiiiiiiii", 10.0, width("iiii", 10.0)), ["iiii", "iiii", "ii"]);
        assert_eq!(wrap("ab", 10.0, 0.0), ["a", "b"]);
        assert_eq!(wrap("", 10.0, 50.0), [""; 0]);
    }

    #[test]
    fn long_names_keep_both_ends() {
        assert_eq!(shortened("abcdefghij", 10.0, width("abc…ij", 10.0) + 0.1), "abc…ij");
        assert_eq!(shortened("abc", 10.0, 100.0), "abc");
        assert_eq!(shortened("abc", 10.0, 0.0), "…");
    }
}
