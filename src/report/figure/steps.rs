//! What changes while a model trains, such as the objectives' weights: a panel for each end-task.

use super::axis::Axis;
use super::curve::{self, Place};
use super::frame::{self, Key, LABEL, MARGIN, Plot, THIN, TICK, WIDTH};
use super::glyphs::{self, LINE};
use super::scene::{Anchor, Form, Scene};
use super::{Sample, drawable};

/// Small pictures side by side, with the same axes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Steps {
    /// Above the picture; may be empty.
    pub title: String,
    /// What the level axis counts: `optimiser steps`.
    pub x: String,
    /// What is drawn against it: `weight`.
    pub y: String,
    /// Where the values can be: the upright axis and the bands stay within. Values beyond are drawn none the less.
    pub within: Option<[f64; 2]>,
    /// A picture each, row by row.
    pub panels: Vec<Panel>,
}

/// One of the small pictures.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Panel {
    /// Above it.
    pub name: String,
    /// A line each. Trails of one name look the same in all panels.
    pub trails: Vec<Trail>,
}

/// A line: the mean over runs, with a band of ± one standard deviation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trail {
    /// In the legend.
    pub name: String,
    /// For each run (a seed): steps and values, in any order. Between its steps a run is taken as straight. Runs
    /// may end at different steps: the mean is over those that are there, and its line is thin where one is not.
    pub runs: Vec<Vec<(u64, f64)>>,
}

/// A trail's series, and its means by step.
type Means = (usize, Vec<(u64, Sample)>);

/// Places of a line, at most, beside the first and last steps of its runs.
const PLACES: usize = 100;
const HEIGHT: f64 = 210.0;
const SMALL_HEIGHT: f64 = 120.0;
const BETWEEN: f64 = 12.0;

pub(super) fn scene(steps: &Steps) -> Scene {
    let mut names: Vec<&str> = vec![];
    for trail in steps.panels.iter().flat_map(|panel| &panel.trails) {
        if !names.contains(&trail.name.as_str()) {
            names.push(&trail.name);
        }
    }
    let legend: Vec<(Key, &str)> = names.iter().enumerate().map(|(i, name)| (Key::Line(i), *name)).collect();
    let (mut scene, top) = frame::begin(&steps.title, [WIDTH, 0.0], &legend);

    let series = |trail: &Trail| names.iter().position(|name| *name == trail.name).unwrap_or(0);
    let panels: Vec<Vec<Means>> = steps
        .panels
        .iter()
        .map(|panel| panel.trails.iter().map(|trail| (series(trail), means(trail))).collect())
        .collect();
    let points = || panels.iter().flatten().flat_map(|(_, points)| points);
    let spans = points().flat_map(|(_, sample)| band(sample, steps.within).unwrap_or([sample.mean; 2]));
    let Some(y) = Axis::around(spans.clone()).map(|y| clipped(y, steps.within, spans)) else {
        return frame::without_data(scene, top);
    };
    let step = |of: Option<u64>| of.unwrap_or(0) as f64;
    let first = step(points().map(|(step, _)| *step).min());
    let last = step(points().map(|(step, _)| *step).max());
    let Some(x) = Axis::around([first, last].into_iter()).map(|x| x.tight(first, last)) else {
        return frame::without_data(scene, top);
    };

    let grid = Grid::new(steps, &y, top + 6.0);
    for (i, trails) in panels.iter().enumerate() {
        let plot = grid.plot(i);
        frame::draw_axis(&mut scene, plot, &y, i % grid.columns == 0);
        frame::draw_ground(&mut scene, plot);
        for (line, text) in grid.names[i].iter().enumerate() {
            let above = (grid.names[i].len() - line) as f64 - 1.0;
            let at = [plot.left, plot.top - 6.0 - above * LINE * LABEL];
            scene.text(frame::text(text.clone(), at, LABEL, Anchor::Start));
        }
        draw_ticks(&mut scene, &x, plot, i + grid.columns >= steps.panels.len());
        draw_trails(&mut scene, plot, [&x, &y], trails, steps.within);
    }
    let bottom = grid.plot(steps.panels.len() - 1).bottom;
    let (left, right) = (grid.left, WIDTH - MARGIN);
    frame::draw_name(&mut scene, &steps.y, grid.plot(0).top, bottom);
    let below = bottom + 6.0 + LINE * TICK;
    scene.size[1] = frame::draw_name_below(&mut scene, &steps.x, left, right, below) + MARGIN;
    scene
}

/// Where the panels are.
struct Grid {
    columns: usize,
    left: f64,
    top: f64,
    width: f64,
    height: f64,
    /// The panels' names, in lines.
    names: Vec<Vec<String>>,
    /// What the names need, the most in all.
    above: f64,
}

impl Grid {
    fn new(steps: &Steps, y: &Axis, top: f64) -> Self {
        let columns = steps.panels.len().clamp(1, 2);
        let height = if columns == 1 { HEIGHT } else { SMALL_HEIGHT };
        let rows = steps.panels.len().div_ceil(columns).max(1) as f64;
        let left = frame::gutter(y, &steps.y, rows * height);
        let width = (WIDTH - MARGIN - left - BETWEEN * (columns as f64 - 1.0)) / columns as f64;
        let names: Vec<Vec<String>> =
            steps.panels.iter().map(|panel| glyphs::wrap(&panel.name, LABEL, width)).collect();
        let lines = names.iter().map(Vec::len).max().unwrap_or(0) as f64;
        Self { columns, left, top, width, height, names, above: lines * LINE * LABEL + 6.0 }
    }

    fn plot(&self, panel: usize) -> Plot {
        let (row, column) = ((panel / self.columns) as f64, (panel % self.columns) as f64);
        let left = self.left + column * (self.width + BETWEEN);
        let top = self.top + self.above + row * (self.above + self.height + 6.0);
        Plot { left, right: left + self.width, top, bottom: top + self.height }
    }
}

/// A trail's mean and deviation at its own steps, evenly thinned.
fn means(trail: &Trail) -> Vec<(u64, Sample)> {
    let runs: Vec<Vec<(u64, f64)>> = trail.runs.iter().map(|run| sorted(run)).collect();
    let mut steps: Vec<u64> = runs.iter().flatten().map(|(step, _)| *step).collect();
    steps.sort_unstable();
    steps.dedup();
    let last = steps.len().saturating_sub(1);
    let mut kept: Vec<u64> = if last < PLACES {
        steps
    } else {
        let ends = runs.iter().flat_map(|run| run.first().into_iter().chain(run.last()));
        let ends: Vec<u64> = ends.map(|(step, _)| *step).collect();
        (0..=PLACES).map(|i| steps[i * last / PLACES]).chain(ends).collect()
    };
    kept.sort_unstable();
    kept.dedup();
    kept.into_iter()
        .filter_map(|step| {
            let values: Vec<f64> = runs.iter().filter_map(|run| at(run, step)).collect();
            Some((step, Sample::of(&values)?.without_scores()))
        })
        .collect()
}

/// What can be drawn of a run, in the order of its steps; of two values at one step the later.
fn sorted(run: &[(u64, f64)]) -> Vec<(u64, f64)> {
    let mut points: Vec<(u64, f64)> = run.iter().copied().filter(|(_, value)| drawable(*value)).collect();
    points.reverse();
    points.sort_by_key(|(step, _)| *step);
    points.dedup_by_key(|(step, _)| *step);
    points
}

/// A run's value at a step, on the straight line between those around it; none outside the run.
fn at(run: &[(u64, f64)], step: u64) -> Option<f64> {
    let after = run.partition_point(|(known, _)| *known < step);
    let (right, high) = *run.get(after)?;
    if right == step {
        return Some(high);
    }
    let (left, low) = *run.get(after.checked_sub(1)?)?;
    Some(low + (high - low) * (step - left) as f64 / (right - left) as f64)
}

/// The band of ± one deviation, as far as values can be; the mean is always in it.
fn band(sample: &Sample, within: Option<[f64; 2]>) -> Option<[f64; 2]> {
    let [low, high] = within.unwrap_or([f64::NEG_INFINITY, f64::INFINITY]);
    let mean = sample.mean;
    sample.sd.map(|sd| [(mean - sd).max(low.min(mean)), (mean + sd).min(high.max(mean))])
}

/// An axis without the room beyond what values can be, unless one is there.
fn clipped(axis: Axis, within: Option<[f64; 2]>, values: impl Iterator<Item = f64>) -> Axis {
    let Some([low, high]) = within else { return axis };
    let [low, high] =
        values.fold([low, high], |[low, high], value| [f64::min(low, value), f64::max(high, value)]);
    let (low, high) = (axis.low.max(low), axis.high.min(high));
    axis.tight(low, high)
}

fn draw_trails(
    scene: &mut Scene,
    plot: Plot,
    [x, y]: [&Axis; 2],
    trails: &[Means],
    within: Option<[f64; 2]>,
) {
    let most = |points: &[(u64, Sample)]| points.iter().map(|(_, sample)| sample.n).max();
    let placed = |(step, sample): &(u64, Sample), most: Option<usize>| Place {
        x: x.place(*step as f64, plot.left, plot.right),
        y: plot.y(y, sample.mean),
        band: band(sample, within).map(|band| band.map(|value| plot.y(y, value))),
        all: Some(sample.n) == most,
    };
    let trails: Vec<(usize, Vec<Place>)> = trails
        .iter()
        .map(|(series, points)| {
            let most = most(points);
            (*series, points.iter().map(|point| placed(point, most)).collect())
        })
        .collect();
    for (series, places) in &trails {
        curve::draw_band(scene, *series, places);
    }
    for (series, places) in &trails {
        // A few markers, at different places for each line, so that lines that cross are told apart.
        let every = places.len().div_ceil(5).max(1);
        let offset = series * every / trails.len().max(1) % every;
        curve::draw_line(scene, *series, places, |i| i % every == offset);
    }
}

/// Ticks at round steps, with labels below the lowest panels as far as they do not touch.
fn draw_ticks(scene: &mut Scene, x: &Axis, plot: Plot, labelled: bool) {
    let mut free = f64::NEG_INFINITY;
    for tick in &x.ticks {
        let at = x.place(*tick, plot.left, plot.right);
        scene.draw("tick", Form::Line(vec![[at, plot.bottom], [at, plot.bottom + 3.0]]), THIN);
        let label = x.label(*tick);
        // The first and last stay inside the panel, away from those of its neighbour.
        let width = glyphs::width(&label, TICK);
        let centre = at.clamp(plot.left + 0.5 * width - 4.0, plot.right - 0.5 * width + 4.0);
        if labelled && centre - 0.5 * width >= free {
            scene.text(frame::text(label, [centre, plot.bottom + 4.0 + TICK], TICK, Anchor::Middle));
            free = centre + 0.5 * width + 5.0;
        }
    }
}
