//! Lines with bands: scores against a number, such as the size of the auxiliary data.

use super::Sample;
use super::axis::{self, Axis};
use super::curve::{self, Place};
use super::frame::{self, Key, MARGIN, Plot, THIN, TICK, WIDTH};
use super::glyphs::{self, LINE};
use super::scene::{Anchor, Form, Scene};

/// Curves over a numeric axis, whose ticks are the data's own places.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lines {
    /// Above the picture; may be empty.
    pub title: String,
    /// What the level axis counts: `auxiliary text, times the task's`.
    pub x: String,
    /// What follows the number at a tick: `x` writes `10x`.
    pub x_unit: String,
    /// Whether the level axis is logarithmic: then places that are not positive are left out.
    pub log: bool,
    /// What is measured, with its unit.
    pub y: String,
    /// A line each.
    pub curves: Vec<Curve>,
    /// Dashed lines across: a name and a height.
    pub baselines: Vec<(String, f64)>,
}

/// A line.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curve {
    /// In the legend.
    pub name: String,
    /// Places and what was measured there, in any order; single scores are not drawn.
    pub points: Vec<(f64, Sample)>,
}

const HEIGHT: f64 = 210.0;
/// From the plot's sides to the first and last place.
const INSET: f64 = 16.0;

pub(super) fn scene(lines: &Lines) -> Scene {
    let curves: Vec<Vec<(f64, Sample)>> =
        lines.curves.iter().map(|curve| cleaned(curve, lines.log)).collect();
    let baselines: Vec<(usize, &str, f64)> = lines
        .baselines
        .iter()
        .enumerate()
        .filter(|(_, (_, height))| super::drawable(*height))
        .map(|(i, (name, height))| (i, name.as_str(), *height))
        .collect();
    let names = lines.curves.iter().enumerate().map(|(i, curve)| (Key::Line(i), curve.name.as_str()));
    let legend: Vec<(Key, &str)> =
        names.chain(baselines.iter().map(|(i, name, _)| (Key::Baseline(*i), *name))).collect();
    let (mut scene, top) = frame::begin(&lines.title, [WIDTH, 0.0], &legend);

    let points = curves.iter().flatten();
    let heights = points.clone().flat_map(|(_, sample)| sample.span());
    let Some(axis) = Axis::around(heights.chain(baselines.iter().map(|(_, _, height)| *height))) else {
        return frame::without_data(scene, top);
    };
    let mut xs: Vec<f64> = points.map(|(x, _)| *x).collect();
    xs.sort_by(f64::total_cmp);
    xs.dedup();

    let left = frame::gutter(&axis, &lines.y, HEIGHT);
    let plot = Plot { left, right: WIDTH - MARGIN, top: top + 10.0, bottom: top + 10.0 + HEIGHT };
    frame::draw_axis(&mut scene, plot, &axis, true);
    frame::draw_ground(&mut scene, plot);
    frame::draw_name(&mut scene, &lines.y, plot.top, plot.bottom);
    for (i, _, height) in &baselines {
        let y = plot.y(&axis, *height);
        let across = Form::Line(vec![[plot.left, y], [plot.right, y]]);
        scene.draw("baseline", across, frame::baseline_pen(*i));
    }
    let across = |x: f64| place(x, &xs, lines.log, plot);
    let curves: Vec<Vec<Place>> = curves
        .iter()
        .map(|points| points.iter().map(|(x, sample)| placed(across(*x), sample, plot, &axis)).collect())
        .collect();
    for (series, places) in curves.iter().enumerate() {
        curve::draw_band(&mut scene, series, places);
    }
    for (series, places) in curves.iter().enumerate() {
        curve::draw_line(&mut scene, series, places, |_| true);
    }
    draw_ticks(&mut scene, &xs, &lines.x_unit, plot.bottom, across);
    let below = plot.bottom + 6.0 + LINE * TICK;
    scene.size[1] = frame::draw_name_below(&mut scene, &lines.x, plot.left, plot.right, below) + MARGIN;
    scene
}

/// What can be drawn, from left to right.
fn cleaned(curve: &Curve, log: bool) -> Vec<(f64, Sample)> {
    let has_place = |x: f64| super::drawable(x) && (!log || x > 0.0);
    let points = curve.points.iter().filter(|(x, _)| has_place(*x));
    let mut points: Vec<(f64, Sample)> = points
        .filter_map(|(x, sample)| sample.cleaned().map(|sample| (*x, sample.without_scores())))
        .collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    points
}

/// Where a number is across the plot, in the middle where it is the only one.
fn place(x: f64, xs: &[f64], log: bool, plot: Plot) -> f64 {
    let scaled = |x: f64| if log { x.ln() } else { x };
    let (Some(first), Some(last)) = (xs.first(), xs.last()) else { return plot.left };
    let (first, span) = (scaled(*first), scaled(*last) - scaled(*first));
    let part = if span > 0.0 { (scaled(x) - first) / span } else { 0.5 };
    plot.left + INSET + part * (plot.right - plot.left - 2.0 * INSET)
}

fn placed(x: f64, sample: &Sample, plot: Plot, axis: &Axis) -> Place {
    let band = sample.sd.map(|sd| [sample.mean - sd, sample.mean + sd].map(|value| plot.y(axis, value)));
    Place { x, y: plot.y(axis, sample.mean), band, all: true }
}

/// A tick at each place; labels from the left, but the last one's for certain, as far as they do not touch.
fn draw_ticks(scene: &mut Scene, xs: &[f64], unit: &str, bottom: f64, across: impl Fn(f64) -> f64) {
    let label = |x: f64| axis::written(x) + unit;
    let sides = |x: f64| {
        let half = 0.5 * glyphs::width(&label(x), TICK) + 3.0;
        [across(x) - half, across(x) + half]
    };
    let last = xs.last().map_or(f64::INFINITY, |last| sides(*last)[0]);
    let mut free = f64::NEG_INFINITY;
    for (i, x) in xs.iter().enumerate() {
        let at = across(*x);
        scene.draw("tick", Form::Line(vec![[at, bottom], [at, bottom + 3.0]]), THIN);
        let [from, to] = sides(*x);
        if i + 1 == xs.len() || (from >= free && to <= last) {
            scene.text(frame::text(label(*x), [at, bottom + 4.0 + TICK], TICK, Anchor::Middle));
            free = to;
        }
    }
}
