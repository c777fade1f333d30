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
    let points: Vec<Point> = places.iter().map(|place| [place.x, place.y]).collect();
    if points.len() > 1 {
        scene.draw("line", Form::Line(points.clone()), pen(series));
    }
    for point in points.into_iter().enumerate().filter(|(i, _)| marked(*i)).map(|(_, point)| point) {
        marker(scene, series, point, 3.2, colour(series));
    }
}
