//! What all figures share: sizes, colours, markers, the title, the legend, the frame with its upright axis.

use super::axis::Axis;
use super::glyphs::{self, CAP_HEIGHT, LINE};
use super::scene::{Anchor, Colour, Form, Pen, Point, Scene, Text};

/// A figure's width. Printed in a column of 3.3 inches its labels are of 6 to 7 points; across a page, of 13.
pub(super) const WIDTH: f64 = 440.0;
/// Around the picture.
pub(super) const MARGIN: f64 = 8.0;
/// Sizes of text.
pub(super) const TITLE: f64 = 13.0;
pub(super) const LABEL: f64 = 12.0;
pub(super) const TICK: f64 = 11.0;
pub(super) const SMALL: f64 = 9.5;

pub(super) const INK: Colour = Colour(0x22, 0x22, 0x22);
pub(super) const WHITE: Colour = Colour(0xff, 0xff, 0xff);
const GREY: Colour = Colour(0x76, 0x76, 0x76);
const GRID: Colour = Colour(0xe4, 0xe4, 0xe4);
/// Axes and error bars.
pub(super) const THIN: Pen = Pen { colour: INK, width: 0.9, dash: &[] };
const HAIR: Pen = Pen { colour: GRID, width: 0.8, dash: &[] };

/// Okabe and Ito's colours for all kinds of sight, ordered so that neighbours differ in lightness too.
/// <https://jfly.uni-koeln.de/color/>
const COLOURS: [Colour; 8] = [
    Colour(0x00, 0x72, 0xb2),
    Colour(0xe6, 0x9f, 0x00),
    Colour(0x00, 0x9e, 0x73),
    Colour(0x56, 0xb4, 0xe9),
    Colour(0xd5, 0x5e, 0x00),
    Colour(0xcc, 0x79, 0xa7),
    Colour(0x44, 0x44, 0x44),
    Colour(0xd8, 0xca, 0x2c),
];
const DASHES: [&[f64]; 4] = [&[], &[5.0, 2.5], &[1.6, 1.8], &[7.0, 2.0, 1.6, 2.0]];
const BASELINE_DASHES: [&[f64]; 3] = [&[4.0, 3.0], &[1.5, 2.0], &[8.0, 3.0, 1.5, 3.0]];

/// The colour of the series of this number.
pub(super) fn colour(series: usize) -> Colour {
    COLOURS[series % COLOURS.len()]
}

/// Its line: dashed once the colours are used up.
pub(super) fn pen(series: usize) -> Pen {
    Pen { colour: colour(series), width: 1.6, dash: DASHES[series / COLOURS.len() % DASHES.len()] }
}

/// The line of the baseline of this number.
pub(super) fn baseline_pen(baseline: usize) -> Pen {
    Pen { colour: GREY, width: 1.1, dash: BASELINE_DASHES[baseline % BASELINE_DASHES.len()] }
}

/// Draws the marker of a series: each of eight has its own shape, so that print without colour tells them apart.
pub(super) fn marker(scene: &mut Scene, series: usize, centre: Point, radius: f64, colour: Colour) {
    let [x, y] = centre;
    let around = |corners: &[[f64; 2]]| {
        Form::Polygon(corners.iter().map(|[right, down]| [x + radius * right, y + radius * down]).collect())
    };
    let form = match series % 8 {
        0 => Form::Circle { centre, radius },
        1 => around(&[[-0.88, -0.88], [0.88, -0.88], [0.88, 0.88], [-0.88, 0.88]]),
        2 => around(&[[0.0, -1.2], [1.1, 0.8], [-1.1, 0.8]]),
        3 => around(&[[0.0, -1.3], [1.3, 0.0], [0.0, 1.3], [-1.3, 0.0]]),
        4 => around(&[[0.0, 1.2], [1.1, -0.8], [-1.1, -0.8]]),
        5 => {
            let (a, b) = (0.38, 1.15);
            around(&[
                [-a, -b],
                [a, -b],
                [a, -a],
                [b, -a],
                [b, a],
                [a, a],
                [a, b],
                [-a, b],
                [-a, a],
                [-b, a],
                [-b, -a],
                [-a, -a],
            ])
        }
        6 => around(&[[-1.2, -0.5], [1.2, -0.5], [1.2, 0.5], [-1.2, 0.5]]),
        _ => around(&[[-0.5, -1.2], [0.5, -1.2], [0.5, 1.2], [-0.5, 1.2]]),
    };
    scene.fill("mark", form, colour, 1.0);
}

/// A line of text in the colour of ink.
pub(super) fn text(words: impl Into<String>, at: Point, size: f64, anchor: Anchor) -> Text {
    Text { words: words.into(), at, size, anchor, turned: 0.0, colour: INK, whole: None }
}

/// What stands before a name in the legend.
#[derive(Clone, Copy, Debug)]
pub(super) enum Key {
    Bar(usize),
    Line(usize),
    Baseline(usize),
}

/// Begins a picture: its title and its legend, which is left out where it would tell nothing: of one series
/// without a name. Returns where the legend ends.
pub(super) fn begin(title: &str, size: Point, legend: &[(Key, &str)]) -> (Scene, f64) {
    let legend = if let [(_, "")] = legend { &[] } else { legend };
    let mut scene = Scene { title: title.to_owned(), size, items: vec![] };
    let mut top = MARGIN;
    for line in glyphs::wrap(title, TITLE, size[0] - 2.0 * MARGIN) {
        scene.text(text(line, [MARGIN, top + 0.8 * TITLE], TITLE, Anchor::Start));
        top += LINE * TITLE;
    }
    if legend.is_empty() {
        return (scene, top);
    }
    top += if top > MARGIN { 4.0 } else { 0.0 };
    let bottom = draw_legend(&mut scene, top, legend);
    (scene, bottom)
}

fn draw_legend(scene: &mut Scene, top: f64, legend: &[(Key, &str)]) -> f64 {
    const KEY: f64 = 20.0;
    const GAP: f64 = 5.0;
    const APART: f64 = 14.0;
    let room = scene.size[0] - 2.0 * MARGIN;
    let height = 1.3 * LABEL;
    let names: Vec<Vec<String>> =
        legend.iter().map(|(_, name)| glyphs::wrap(name, LABEL, room - KEY - GAP)).collect();
    let widest =
        |lines: &Vec<String>| lines.iter().map(|line| glyphs::width(line, LABEL)).fold(0.0, f64::max);
    let widths: Vec<f64> = names.iter().map(|lines| KEY + GAP + widest(lines) + APART).collect();
    let mut y = top;
    let mut entries = legend.iter().zip(&names).zip(&widths);
    for row in rows(&widths, room + APART) {
        let (mut x, mut lines_of_row) = (MARGIN, 1);
        for (((key, _), lines), width) in entries.by_ref().take(row) {
            draw_key(scene, *key, [x, y + 0.5 * height], KEY);
            for (i, line) in lines.iter().enumerate() {
                let base = y + i as f64 * height + 0.5 * (height + CAP_HEIGHT * LABEL);
                scene.text(text(line.clone(), [x + KEY + GAP, base], LABEL, Anchor::Start));
            }
            lines_of_row = lines_of_row.max(lines.len());
            x += width;
        }
        y += lines_of_row as f64 * height;
    }
    y
}

/// How many entries go into each row: as few rows as there can be, and those as even as they can be.
fn rows(widths: &[f64], room: f64) -> Vec<usize> {
    let filled = |room: f64| {
        let (mut rows, mut used) = (vec![], f64::INFINITY);
        for width in widths {
            if used + width > room {
                rows.push(0);
                used = 0.0;
            }
            used += width;
            if let Some(last) = rows.last_mut() {
                *last += 1;
            }
        }
        rows
    };
    let fewest = filled(room);
    let narrower = (1..100).map(|percent| filled(room * f64::from(percent) / 100.0));
    narrower.into_iter().find(|rows| rows.len() <= fewest.len()).unwrap_or(fewest)
}

fn draw_key(scene: &mut Scene, key: Key, left: Point, width: f64) {
    let [x, y] = left;
    let across = Form::Line(vec![[x, y], [x + width, y]]);
    let centre = [x + 0.5 * width, y];
    match key {
        Key::Bar(series) => {
            let form = Form::Rect { corner: [x + 4.0, y - 5.0], size: [width - 4.0, 10.0] };
            scene.fill("key", form, colour(series), 1.0);
            marker(scene, series, [x + 2.0 + 0.5 * width, y], 2.6, WHITE);
        }
        Key::Line(series) => {
            scene.draw("key", across, pen(series));
            marker(scene, series, centre, 3.2, colour(series));
        }
        Key::Baseline(baseline) => scene.draw("key", across, baseline_pen(baseline)),
    }
}

/// Where data are drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Plot {
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) top: f64,
    pub(super) bottom: f64,
}

impl Plot {
    pub(super) fn y(&self, axis: &Axis, value: f64) -> f64 {
        axis.place(value, self.bottom, self.top)
    }
}

/// How much the upright axis takes left of the plot: its name's lines, and its ticks' labels.
pub(super) fn gutter(axis: &Axis, name: &str, height: f64) -> f64 {
    let labels = axis.ticks.iter().map(|tick| glyphs::width(&axis.label(*tick), TICK)).fold(0.0, f64::max);
    let lines = glyphs::wrap(name, LABEL, height).len() as f64;
    let name = if lines > 0.0 { lines * LINE * LABEL + 4.0 } else { 0.0 };
    MARGIN + name + labels + 7.0
}

/// Grid lines, the upright axis, and its ticks, with labels where it is the leftmost of its row.
pub(super) fn draw_axis(scene: &mut Scene, plot: Plot, axis: &Axis, labelled: bool) {
    let Plot { left, right, top, bottom } = plot;
    for tick in &axis.ticks {
        let y = plot.y(axis, *tick);
        if y < bottom - 0.5 {
            scene.draw("grid", Form::Line(vec![[left, y], [right, y]]), HAIR);
        }
        scene.draw("tick", Form::Line(vec![[left - 3.0, y], [left, y]]), THIN);
        if labelled {
            let base = y + 0.5 * CAP_HEIGHT * TICK;
            scene.text(text(axis.label(*tick), [left - 6.0, base], TICK, Anchor::End));
        }
    }
    scene.draw("axis", Form::Line(vec![[left, top], [left, bottom]]), THIN);
}

/// The line below the plot.
pub(super) fn draw_ground(scene: &mut Scene, plot: Plot) {
    scene.draw("axis", Form::Line(vec![[plot.left, plot.bottom], [plot.right, plot.bottom]]), THIN);
}

/// The upright axis's name, turned, left of all labels, about the middle of `top` and `bottom`.
pub(super) fn draw_name(scene: &mut Scene, name: &str, top: f64, bottom: f64) {
    for (i, line) in glyphs::wrap(name, LABEL, bottom - top).into_iter().enumerate() {
        let at = [MARGIN + (0.8 + LINE * i as f64) * LABEL, 0.5 * (top + bottom)];
        scene.text(Text { turned: -90.0, ..text(line, at, LABEL, Anchor::Middle) });
    }
}

/// The level axis's name below the labels. Returns where it ends.
pub(super) fn draw_name_below(scene: &mut Scene, name: &str, left: f64, right: f64, top: f64) -> f64 {
    let mut bottom = top;
    for line in glyphs::wrap(name, LABEL, right - left) {
        scene.text(text(line, [0.5 * (left + right), bottom + LABEL], LABEL, Anchor::Middle));
        bottom += LINE * LABEL;
    }
    bottom
}

/// Says that there is nothing to draw, and ends the picture.
pub(super) fn without_data(mut scene: Scene, top: f64) -> Scene {
    let height = 60.0;
    let at = [0.5 * scene.size[0], top + 0.5 * height];
    scene.text(Text { colour: GREY, ..text("no data", at, LABEL, Anchor::Middle) });
    scene.size[1] = top + height;
    scene
}
