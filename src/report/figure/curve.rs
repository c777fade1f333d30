//! A line with its band of ± one standard deviation.

use super::frame::{colour, marker, pen};
use super::scene::{Form, Pen, Point, Scene};

/// A place of a curve, in the picture's units.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Place {
    pub(super) x: f64,
    pub(super) y: f64,
    /// Where the band begins and ends; none where there is no deviation.
    pub(super) band: Option<[f64; 2]>,
    /// Whether all runs are in the mean; where some are not, the line to here is thin.
    pub(super) all: bool,
}

/// Draws the bands of a series: where a single place has one, that is an error bar.
pub(super) fn draw_band(scene: &mut Scene, series: usize, places: &[Place]) {
    for part in places.split(|place| place.band.is_none()) {
        let side = |i: usize| part.iter().filter_map(move |place| place.band.map(|band| [place.x, band[i]]));
        match part {
            [] => {}
            [_] => {
                let error = Form::Line(side(0).chain(side(1)).collect());
                scene.draw("error", error, Pen { dash: &[], ..pen(series) });
            }
            _ => {
                let round: Vec<Point> = side(0).chain(side(1).rev()).collect();
                scene.fill("band", Form::Polygon(round), colour(series), 0.18);
            }
        }
    }
}

/// Draws the line of a series, and markers on the places that `marked` picks by number.
pub(super) fn draw_line(scene: &mut Scene, series: usize, places: &[Place], marked: impl Fn(usize) -> bool) {
    let point = |place: &Place| [place.x, place.y];
    let mut before: Option<Point> = None;
    for part in places.chunk_by(|a, b| a.all == b.all) {
        let points: Vec<Point> = before.into_iter().chain(part.iter().map(point)).collect();
        before = points.last().copied();
        let pen = pen(series);
        let width = if part[0].all { pen.width } else { 0.55 * pen.width };
        if points.len() > 1 {
            scene.draw("line", Form::Line(points), Pen { width, ..pen });
        }
    }
    for (_, place) in places.iter().enumerate().filter(|(i, _)| marked(*i)) {
        marker(scene, series, point(place), 3.2, colour(series));
    }
}
