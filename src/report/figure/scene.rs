//! What a picture is made of, and its SVG text. Knows nothing of charts.
//!
//! A scene is drawn by two hands, here as SVG and in `raster` as pixels, so that both are one picture.

use std::fmt::Write as _;

use super::glyphs::FAMILY;

/// A place: right and down from the top left corner, in CSS pixels (1/96 inch).
pub(super) type Point = [f64; 2];

/// Red, green, blue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Colour(pub(super) u8, pub(super) u8, pub(super) u8);

/// How a shape is filled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Fill {
    pub(super) colour: Colour,
    /// 1 is opaque.
    pub(super) opacity: f64,
}

/// How an outline or a line is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pen {
    pub(super) colour: Colour,
    pub(super) width: f64,
    /// Lengths of dashes and gaps in turn; empty for a whole line.
    pub(super) dash: &'static [f64],
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Form {
    Rect { corner: Point, size: Point },
    Circle { centre: Point, radius: f64 },
    Line(Vec<Point>),
    Polygon(Vec<Point>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// A line of text.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Text {
    pub(super) words: String,
    /// Where the base line has its anchor.
    pub(super) at: Point,
    pub(super) size: f64,
    pub(super) anchor: Anchor,
    /// Turned about `at`, in degrees, clockwise.
    pub(super) turned: f64,
    pub(super) colour: Colour,
    /// What a reader who points at it is told, where it was shortened.
    pub(super) whole: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Item {
    Shape {
        /// What it is, for style sheets and tests: `bar`, `error`, `mark`.
        class: &'static str,
        form: Form,
        fill: Option<Fill>,
        pen: Option<Pen>,
    },
    Text(Text),
}

/// A picture on white ground. Later items lie on earlier ones.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scene {
    pub(super) title: String,
    pub(super) size: Point,
    pub(super) items: Vec<Item>,
}

impl Scene {
    pub(super) fn fill(&mut self, class: &'static str, form: Form, colour: Colour, opacity: f64) {
        self.items.push(Item::Shape { class, form, fill: Some(Fill { colour, opacity }), pen: None });
    }

    pub(super) fn draw(&mut self, class: &'static str, form: Form, pen: Pen) {
        self.items.push(Item::Shape { class, form, fill: None, pen: Some(pen) });
    }

    pub(super) fn text(&mut self, text: Text) {
        self.items.push(Item::Text(text));
    }

    /// As SVG 1.1, text as text.
    pub(super) fn svg(&self) -> String {
        let [width, height] = self.size.map(Number);
        let title = escaped(&self.title);
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" font-family=\"{FAMILY}\">\n<title>{title}</title>\n\
             <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n"
        );
        for item in &self.items {
            match item {
                Item::Shape { class, form, fill, pen } => {
                    let style = fill_attributes(*fill) + &pen.map_or_else(String::new, pen_attributes);
                    out += &shape(class, form, &style);
                }
                Item::Text(text) => out += &text_element(text),
            }
            out.push('\n');
        }
        out + "</svg>\n"
    }
}

fn shape(class: &str, form: &Form, style: &str) -> String {
    let number = Number;
    match form {
        Form::Rect { corner: [x, y], size: [width, height] } => format!(
            "<rect class=\"{class}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"{style}/>",
            number(*x),
            number(*y),
            number(*width),
            number(*height)
        ),
        Form::Circle { centre: [x, y], radius } => format!(
            "<circle class=\"{class}\" cx=\"{}\" cy=\"{}\" r=\"{}\"{style}/>",
            number(*x),
            number(*y),
            number(*radius)
        ),
        Form::Line(points) => format!("<polyline class=\"{class}\" points=\"{}\"{style}/>", list(points)),
        Form::Polygon(points) => format!("<polygon class=\"{class}\" points=\"{}\"{style}/>", list(points)),
    }
}

fn text_element(text: &Text) -> String {
    let Text { words, at, size, anchor, turned, colour, whole } = text;
    let [x, y] = at.map(Number);
    let anchor = match anchor {
        Anchor::Start => "",
        Anchor::Middle => " text-anchor=\"middle\"",
        Anchor::End => " text-anchor=\"end\"",
    };
    let turn = if *turned == 0.0 {
        String::new()
    } else {
        format!(" transform=\"rotate({} {x} {y})\"", Number(*turned))
    };
    let whole = whole.as_ref().map_or_else(String::new, |whole| format!("<title>{}</title>", escaped(whole)));
    let (size, fill, words) = (Number(*size), hex(*colour), escaped(words));
    format!(
        "<text x=\"{x}\" y=\"{y}\" font-size=\"{size}\"{anchor}{turn} fill=\"{fill}\">{whole}{words}</text>"
    )
}

fn fill_attributes(fill: Option<Fill>) -> String {
    match fill {
        None => " fill=\"none\"".to_owned(),
        Some(Fill { colour, opacity }) if opacity < 1.0 => {
            format!(" fill=\"{}\" fill-opacity=\"{}\"", hex(colour), Number(opacity))
        }
        Some(Fill { colour, .. }) => format!(" fill=\"{}\"", hex(colour)),
    }
}

fn pen_attributes(Pen { colour, width, dash }: Pen) -> String {
    let mut out =
        format!(" stroke=\"{}\" stroke-width=\"{}\" stroke-linejoin=\"round\"", hex(colour), Number(width));
    if !dash.is_empty() {
        let lengths: Vec<String> = dash.iter().map(|length| Number(*length).to_string()).collect();
        let _ = write!(out, " stroke-dasharray=\"{}\"", lengths.join(" "));
    }
    out
}

fn list(points: &[Point]) -> String {
    let pairs: Vec<String> = points.iter().map(|[x, y]| format!("{},{}", Number(*x), Number(*y))).collect();
    pairs.join(" ")
}

fn hex(Colour(red, green, blue): Colour) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

/// Text for XML: markup escaped, and no character that XML 1.0 forbids.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// Hundredths are enough for a picture; the same text on every machine.
#[derive(Clone, Copy)]
struct Number(f64);

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let text = format!("{:.2}", self.0);
        let text = text.trim_end_matches('0').trim_end_matches('.');
        f.write_str(if text == "-0" { "0" } else { text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let texts: Vec<String> = [0.0, -0.001, 1.5, 10.0, 100.126].map(|n| Number(n).to_string()).into();
        assert_eq!(texts, ["0", "0", "1.5", "10", "100.13"]);
    }

    #[test]
    fn names_cannot_break_the_markup() {
        assert_eq!(escaped("<&\">é日本\n\0\u{1b}"), "&lt;&amp;&quot;&gt;é日本\u{fffd}\u{fffd}\u{fffd}");
    }
}
