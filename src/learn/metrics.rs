//! Scores of a classification: accuracy, F1, and what they are made of. Plain numbers, no tensors.
//!
//! A gold label that the model does not know (its train split had no such text) is always an error.

use serde::Serialize;
use tartan::action::Metric;

/// Counts of one label.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LabelScore {
    /// The label.
    pub label: String,
    /// Right predictions of it over all predictions of it; 0 where there is none.
    pub precision: f64,
    /// Right predictions of it over all texts that have it; 0 where there is none.
    pub recall: f64,
    /// The harmonic mean of precision and recall; 0 where both are.
    pub f1: f64,
    /// Texts that have it.
    pub support: usize,
}

/// How often each label was taken for which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confusion {
    /// `counts[gold][predicted]`. Gold labels that no train text has come last and have rows, but no
    /// columns.
    counts: Vec<Vec<usize>>,
    classes: usize,
}

impl Confusion {
    /// Counts pairs of gold label (below `labels`) and predicted label (below `classes`).
    pub fn new(pairs: impl IntoIterator<Item = (usize, usize)>, labels: usize, classes: usize) -> Self {
        let mut counts = vec![vec![0; classes]; labels.max(classes)];
        for (gold, predicted) in pairs {
            counts[gold][predicted] += 1;
        }
        Self { counts, classes }
    }

    /// Counts a split's gold labels against predictions in the same order. A gold label may be unknown to
    /// the model: at least `classes`.
    pub fn of(gold: &[i32], predicted: impl IntoIterator<Item = usize>, classes: usize) -> Self {
        let gold: Vec<usize> = gold.iter().map(|&label| usize::try_from(label).unwrap_or(0)).collect();
        let labels = gold.iter().max().map_or(0, |label| label + 1);
        Self::new(gold.into_iter().zip(predicted), labels, classes)
    }

    /// `counts[gold][predicted]`.
    pub fn counts(&self) -> &[Vec<usize>] {
        &self.counts
    }

    /// The score by `metric`; 0 where there is no text.
    pub fn score(&self, metric: Metric) -> f64 {
        match metric {
            Metric::Accuracy => ratio(self.right(), self.texts()),
            Metric::MacroF1 => {
                let sum: f64 = (0..self.classes).map(|class| self.f1(class)).sum();
                sum / self.classes.max(1) as f64
            }
            Metric::MicroF1 => {
                // One label a text: every error is a false positive of one label and a false negative of
                // another.
                let errors = self.texts() - self.right();
                ratio(2 * self.right(), 2 * self.right() + errors + errors)
            }
        }
    }

    /// Each label's scores, in the labels' order.
    pub fn per_label(&self, names: &[String]) -> Vec<LabelScore> {
        let score = |(label, name): (usize, &String)| LabelScore {
            label: name.clone(),
            precision: ratio(self.hits(label), self.predicted(label)),
            recall: ratio(self.hits(label), self.support(label)),
            f1: self.f1(label),
            support: self.support(label),
        };
        names.iter().enumerate().map(score).collect()
    }

    fn f1(&self, label: usize) -> f64 {
        ratio(2 * self.hits(label), self.predicted(label) + self.support(label))
    }

    fn hits(&self, label: usize) -> usize {
        self.counts[label].get(label).copied().unwrap_or(0)
    }

    fn predicted(&self, label: usize) -> usize {
        self.counts.iter().filter_map(|row| row.get(label)).sum()
    }

    fn support(&self, label: usize) -> usize {
        self.counts[label].iter().sum()
    }

    fn right(&self) -> usize {
        (0..self.classes).map(|class| self.hits(class)).sum()
    }

    fn texts(&self) -> usize {
        self.counts.iter().flatten().sum()
    }
}

fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-15, "{a} is not {b}");
    }

    #[test]
    fn scores_as_scikit_learn_does() {
        // F1 of each label: 0.4, 0.8, 0.
        let gold = [0, 0, 0, 1, 1, 2];
        let predicted = [0, 1, 2, 1, 1, 0];
        let confusion = Confusion::new(gold.into_iter().zip(predicted), 3, 3);
        assert_eq!(confusion.counts(), [[1, 1, 1], [0, 2, 0], [1, 0, 0]]);
        close(confusion.score(Metric::Accuracy), 0.5);
        close(confusion.score(Metric::MicroF1), 0.5);
        close(confusion.score(Metric::MacroF1), (0.4 + 0.8 + 0.0) / 3.0);
        let names: Vec<String> = ["a", "b", "c"].map(str::to_owned).to_vec();
        let b = &confusion.per_label(&names)[1];
        close(b.precision, 2.0 / 3.0);
        close(b.recall, 1.0);
        assert_eq!(b.support, 2);
    }

    #[test]
    fn a_label_of_train_alone_counts_and_one_of_dev_alone_is_an_error() {
        // Label 1 is in no dev text and never predicted: its F1 is 0. Label 2 is unknown to the model.
        let confusion = Confusion::new([(0, 0), (2, 0)], 3, 2);
        close(confusion.score(Metric::Accuracy), 0.5);
        close(confusion.score(Metric::MicroF1), 0.5);
        close(confusion.score(Metric::MacroF1), 1.0 / 3.0);
        let names: Vec<String> = ["a", "b", "c"].map(str::to_owned).to_vec();
        assert_eq!(confusion.per_label(&names)[2].support, 1);
        close(confusion.per_label(&names)[2].f1, 0.0);
    }

    #[test]
    fn nothing_scores_zero() {
        let confusion = Confusion::new([], 2, 2);
        for metric in Metric::ALL {
            close(confusion.score(metric), 0.0);
        }
    }
}
