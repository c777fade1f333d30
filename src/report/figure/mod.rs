//! Figures as a paper prints them: plain data in, SVG text and PNG bytes out.
//!
//! Knows nothing of plans, stores or pipelines. Numbers are drawn in the unit that their axis names: who wants
//! percent gives percent. What cannot be drawn is left out, as if it were not there: a number that is not finite
//! or beyond ±1e100, and on a logarithmic axis a place that is not positive. The same data give the same bytes.

mod axis;
mod bars;
mod curve;
mod frame;
mod glyphs;
mod lines;
mod raster;
mod scene;
mod steps;
#[cfg(test)]
mod tests;

use thiserror::Error;

pub use bars::{Bars, Series};
pub use lines::{Curve, Lines};
pub use steps::{Panel, Steps, Trail};

/// A picture of results.
#[derive(Clone, Debug, PartialEq)]
pub enum Figure {
    /// Scores of recipes on end-tasks.
    Bars(Bars),
    /// Scores against a number.
    Lines(Lines),
    /// What changes while a model trains, against steps.
    Steps(Steps),
}

/// Why there is no picture.
#[derive(Debug, Error)]
pub enum FigureError {
    /// There are so many panels or names that the picture grows beyond all screens.
    #[error("a picture of {width} × {height} pixels is too large; split the figure, or take its SVG")]
    TooLarge {
        /// In pixels.
        width: f64,
        /// In pixels.
        height: f64,
    },
    /// The pixels could not be packed.
    #[error("cannot write a PNG: {0}")]
    Encode(#[from] png::EncodingError),
}

/// What was measured at one place of a figure.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// The mean of the scores.
    pub mean: f64,
    /// Their sample standard deviation (n − 1); none for fewer than two.
    pub sd: Option<f64>,
    /// How many scores there are.
    pub n: usize,
    /// The scores themselves: bars show them as dots, where they are given.
    pub scores: Vec<f64>,
}

impl Sample {
    /// Mean and deviation of scores, in the order given; none where there is no finite score. Scores that are
    /// not finite are left out, and not counted.
    pub fn of(scores: &[f64]) -> Option<Self> {
        let scores: Vec<f64> = scores.iter().copied().filter(|score| drawable(*score)).collect();
        let n = scores.len();
        let mean = (n > 0).then(|| scores.iter().sum::<f64>() / n as f64)?;
        let squares: f64 = scores.iter().map(|score| (score - mean).powi(2)).sum();
        let sd = (n > 1).then(|| (squares / (n - 1) as f64).sqrt());
        Some(Self { mean, sd, n, scores })
    }

    /// The same without its single scores: no dots.
    #[must_use]
    pub fn without_scores(self) -> Self {
        Self { scores: vec![], ..self }
    }

    /// What of it can be drawn.
    fn cleaned(&self) -> Option<Self> {
        let sd = self.sd.filter(|sd| self.n > 1 && *sd >= 0.0 && drawable(*sd));
        let scores = self.scores.iter().copied().filter(|score| drawable(*score)).collect();
        drawable(self.mean).then_some(Self { sd, scores, ..*self })
    }

    /// From the lowest to the highest that is drawn for it.
    fn span(&self) -> [f64; 2] {
        let sd = self.sd.unwrap_or(0.0);
        let low = self.scores.iter().copied().fold(self.mean - sd, f64::min);
        [low, self.scores.iter().copied().fold(self.mean + sd, f64::max)]
    }
}

/// Differences of two such numbers, and squares of those, are still finite.
fn drawable(value: f64) -> bool {
    value.abs() <= 1e100
}

impl Figure {
    /// The picture as SVG 1.1, at home in a page and in a paper's column; its text stays text.
    pub fn svg(&self) -> String {
        self.scene().svg()
    }

    /// The same picture in pixels, 192 to an inch.
    pub fn png(&self) -> Result<Vec<u8>, FigureError> {
        raster::png(&self.scene())
    }

    fn scene(&self) -> scene::Scene {
        match self {
            Self::Bars(bars) => bars::scene(bars),
            Self::Lines(lines) => lines::scene(lines),
            Self::Steps(steps) => steps::scene(steps),
        }
    }
}
