//! Groups of bars with error bars: recipes on end-tasks.

use super::Sample;
use super::axis::{self, Axis};
use super::frame::{self, Key, LABEL, MARGIN, Plot, SMALL, THIN, TICK, WHITE, WIDTH};
use super::glyphs::{self, LINE};
use super::scene::{Anchor, Form, Pen, Scene, Text};

/// Bars in groups.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bars {
    /// Above the picture; may be empty.
    pub title: String,
    /// What is measured, with its unit: `macro-F1 on test, %`.
    pub y: String,
    /// The groups' names, from left to right.
    pub groups: Vec<String>,
    /// A bar in each group.
    pub series: Vec<Series>,
    /// Whether the means are written above the bars.
    pub values: bool,
}

/// The bars of one colour.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// In the legend.
    pub name: String,
    /// A cell for each group, in their order; a missing one leaves a gap.
    pub cells: Vec<Option<Sample>>,
}

const HEIGHT: f64 = 200.0;
/// From a bar to the next, at least: where there are many bars the picture grows. Values need a line each.
const NARROWEST: f64 = 7.0;
const NARROWEST_WITH_VALUE: f64 = LINE * SMALL;
/// Between groups, in widths of a bar.
const BETWEEN: f64 = 0.9;
const WIDEST_BAR: f64 = 36.0;
/// The smallest size of a group's name before it is written aslant.
const SMALLEST_LEVEL: f64 = 10.0;
/// The longest name that is written aslant.
const LONGEST_SLANTED: f64 = 130.0;
const SLANT: f64 = 38.0;

pub(super) fn scene(bars: &Bars) -> Scene {
    let cells = cleaned(bars);
    let legend: Vec<(Key, &str)> =
        bars.series.iter().enumerate().map(|(i, series)| (Key::Bar(i), series.name.as_str())).collect();
    let axis = bounds(cells.iter().flatten().flatten());
    let Some(axis) = axis else {
        let (scene, top) = frame::begin(&bars.title, [WIDTH, 0.0], &legend);
        return frame::without_data(scene, top);
    };
    let name = if axis.low > 0.0 {
        let foot = axis.label(axis.low);
        format!("{} (axis from {foot})", bars.y).trim_start().to_owned()
    } else {
        bars.y.clone()
    };

    let left = frame::gutter(&axis, &name, HEIGHT);
    let bars_across = bars.groups.len() as f64 * (bars.series.len() as f64 + BETWEEN);
    let narrowest = if bars.values { NARROWEST_WITH_VALUE } else { NARROWEST };
    let right = (WIDTH - MARGIN).max(left + narrowest * bars_across);
    let (mut scene, top) = frame::begin(&bars.title, [right + MARGIN, 0.0], &legend);
    let slots = Slots::new(left, right, bars.groups.len(), bars.series.len());
    let labels = ValueLabels::new(bars.values, &cells, slots.pitch);
    let top = top + 10.0 + labels.above(&axis, &cells);
    let plot = Plot { left, right, top, bottom: top + HEIGHT };

    frame::draw_axis(&mut scene, plot, &axis, true);
    for (series, cells) in cells.iter().enumerate() {
        for (group, cell) in cells.iter().enumerate() {
            if let Some(cell) = cell {
                draw_bar(&mut scene, plot, &axis, slots.bar(group, series), series, cell, &labels);
            }
        }
    }
    draw_foot(&mut scene, plot, &axis);
    frame::draw_name(&mut scene, &name, plot.top, plot.bottom);
    scene.size[1] = draw_groups(&mut scene, &bars.groups, plot, &slots) + MARGIN;
    scene
}

/// What can be drawn: for each series, a cell for each group.
fn cleaned(bars: &Bars) -> Vec<Vec<Option<Sample>>> {
    let cell = |series: &Series, group: usize| series.cells.get(group)?.as_ref()?.cleaned();
    let row = |series| (0..bars.groups.len()).map(|group| cell(series, group)).collect();
    bars.series.iter().map(row).collect()
}

/// Bounds around all means, deviations and scores. They hold zero, unless the scores are so close together that
/// from zero they could not be told apart: then the axis says where it starts.
fn bounds<'a>(cells: impl Iterator<Item = &'a Sample>) -> Option<Axis> {
    let spans: Vec<f64> = cells.flat_map(Sample::span).collect();
    let low = spans.iter().copied().fold(f64::INFINITY, f64::min);
    let high = spans.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    // The lowest bar keeps some height.
    let foot = low - 0.12 * (high - low);
    let broken = foot > 0.0 && high - low < 0.5 * high;
    let zero = (!broken && !spans.is_empty()).then_some(0.0);
    Axis::around(spans.into_iter().chain(zero).chain(broken.then_some(foot)))
}

/// Where the bars stand.
struct Slots {
    left: f64,
    /// The width of a group with what lies between it and the next.
    slot: f64,
    /// From a bar to the next.
    pitch: f64,
    series: usize,
}

impl Slots {
    fn new(left: f64, right: f64, groups: usize, series: usize) -> Self {
        let slot = (right - left) / groups.max(1) as f64;
        let pitch = (slot / (series as f64 + BETWEEN)).min(WIDEST_BAR);
        Self { left, slot, pitch, series }
    }

    fn centre(&self, group: usize) -> f64 {
        self.left + (group as f64 + 0.5) * self.slot
    }

    /// The left and right side of a bar.
    fn bar(&self, group: usize, series: usize) -> [f64; 2] {
        let from = self.centre(group) + (series as f64 - 0.5 * self.series as f64) * self.pitch;
        let gap = if self.pitch > 9.0 { 1.0 } else { 0.4 };
        [from + 0.5 * gap, from + self.pitch - 0.5 * gap]
    }
}

/// How means are written above their bars: upright where the bars are too narrow.
struct ValueLabels {
    shown: bool,
    turned: bool,
    /// How high they are, with the gap below them.
    height: f64,
}

impl ValueLabels {
    fn new(shown: bool, cells: &[Vec<Option<Sample>>], pitch: f64) -> Self {
        let texts = cells.iter().flatten().flatten().map(|cell| value_text(cell.mean));
        let widest = texts.map(|text| glyphs::width(&text, SMALL)).fold(0.0, f64::max);
        let turned = widest > pitch - 1.0;
        let height = if turned { widest + 5.0 } else { LINE * SMALL };
        Self { shown, turned, height: if shown { height } else { 0.0 } }
    }

    /// What they need above the plot.
    fn above(&self, axis: &Axis, cells: &[Vec<Option<Sample>>]) -> f64 {
        let needed = |cell: &Sample| self.height - HEIGHT + axis.place(cell.span()[1], 0.0, HEIGHT);
        cells.iter().flatten().flatten().map(needed).fold(0.0, f64::max)
    }

    fn draw(&self, scene: &mut Scene, mean: f64, x: f64, top: f64) {
        let text = value_text(mean);
        if self.turned {
            let at = [x + 0.35 * SMALL, top - 4.0];
            let label = frame::text(text, at, SMALL, Anchor::Start);
            scene.text(Text { turned: -90.0, ..label });
        } else {
            scene.text(frame::text(text, [x, top - 3.0], SMALL, Anchor::Middle));
        }
    }
}

fn value_text(mean: f64) -> String {
    if mean.abs() < 1e4 { axis::minus(&format!("{mean:.1}")) } else { axis::written(mean) }
}

fn draw_bar(
    scene: &mut Scene,
    plot: Plot,
    axis: &Axis,
    [left, right]: [f64; 2],
    series: usize,
    cell: &Sample,
    labels: &ValueLabels,
) {
    let centre = 0.5 * (left + right);
    let width = right - left;
    let (ground, mean) = (plot.y(axis, axis.low.max(0.0)), plot.y(axis, cell.mean));
    let (above, below) = (ground.min(mean), ground.max(mean));
    let form = Form::Rect { corner: [left, above], size: [width, below - above] };
    scene.fill("bar", form, frame::colour(series), 1.0);
    let radius = (0.26 * width).min(3.0);
    if radius > 1.2 && below - above > 6.0 * radius {
        let at = if mean <= ground { ground - 2.2 * radius } else { ground + 2.2 * radius };
        frame::marker(scene, series, [centre, at], radius, WHITE);
    }

    let mut top = above;
    if let Some(sd) = cell.sd {
        let [low, high] = [cell.mean - sd, cell.mean + sd].map(|value| plot.y(axis, value));
        let cap = (0.22 * width).min(4.0);
        scene.draw("error", Form::Line(vec![[centre, low], [centre, high]]), THIN);
        for y in [low, high] {
            scene.draw("cap", Form::Line(vec![[centre - cap, y], [centre + cap, y]]), THIN);
        }
        top = top.min(high);
    }
    for (i, score) in cell.scores.iter().enumerate() {
        let across = (i as f64 + 0.5) / cell.scores.len() as f64 - 0.5;
        let at = [centre + 0.7 * width * across, plot.y(axis, *score)];
        let form = Form::Circle { centre: at, radius: (0.1 * width).clamp(0.8, 1.6) };
        scene.fill("dot", form.clone(), WHITE, 1.0);
        scene.draw("dot-edge", form, Pen { width: 0.6, ..THIN });
        top = top.min(at[1] - 1.6);
    }
    if labels.shown {
        labels.draw(scene, cell.mean, centre, top);
    }
}

/// The line that bars stand on, and the mark of an axis that does not start at zero.
fn draw_foot(scene: &mut Scene, plot: Plot, axis: &Axis) {
    let ground = plot.y(axis, axis.low.max(0.0));
    frame::draw_ground(scene, Plot { bottom: ground, ..plot });
    if axis.low > 0.0 {
        let (x, y) = (plot.left, plot.bottom - 7.0);
        let gap = [[x - 4.0, y + 1.0], [x + 4.0, y - 3.0], [x + 4.0, y], [x - 4.0, y + 4.0]];
        scene.fill("break", Form::Polygon(gap.to_vec()), WHITE, 1.0);
        for [from, to] in [[gap[0], gap[1]], [gap[3], gap[2]]] {
            scene.draw("break", Form::Line(vec![from, to]), THIN);
        }
    }
}

/// Names of groups below the plot: broken into lines, somewhat smaller where that helps, or else aslant.
/// Returns where they end.
fn draw_groups(scene: &mut Scene, groups: &[String], plot: Plot, slots: &Slots) -> f64 {
    let top = plot.bottom + 5.0;
    let sizes = [LABEL, TICK, SMALLEST_LEVEL];
    let level = sizes.into_iter().find_map(|size| Some((size, level_names(groups, size, slots.slot - 6.0)?)));
    let Some((size, names)) = level else { return draw_slanted(scene, groups, top, slots) };
    for (group, lines) in names.iter().enumerate() {
        for (i, line) in lines.iter().enumerate() {
            let at = [slots.centre(group), top + (0.85 + LINE * i as f64) * size];
            scene.text(frame::text(line.clone(), at, size, Anchor::Middle));
        }
    }
    top + names.iter().map(Vec::len).max().unwrap_or(0) as f64 * LINE * size
}

/// The names in lines, if none takes more than three and no word is torn.
fn level_names(groups: &[String], size: f64, room: f64) -> Option<Vec<Vec<String>>> {
    let lines = |name: &String| {
        let torn = glyphs::widest_part(name, size) > room;
        Some(glyphs::wrap(name, size, room)).filter(|lines| !torn && lines.len() <= 3)
    };
    groups.iter().map(lines).collect()
}

fn draw_slanted(scene: &mut Scene, groups: &[String], top: f64, slots: &Slots) -> f64 {
    let (sine, cosine) = SLANT.to_radians().sin_cos();
    let mut bottom = top;
    for (group, name) in groups.iter().enumerate() {
        let x = slots.centre(group) + 0.3 * TICK;
        let room = LONGEST_SLANTED.min((x - MARGIN) / cosine);
        let text = glyphs::shortened(name, TICK, room);
        bottom = f64::max(bottom, top + 0.8 * TICK + sine * glyphs::width(&text, TICK));
        let whole = (text != *name).then(|| name.clone());
        let label = frame::text(text, [x, top + 0.6 * TICK], TICK, Anchor::End);
        scene.text(Text { turned: -SLANT, whole, ..label });
    }
    bottom
}
