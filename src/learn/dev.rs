//! The dev texts that weights are learned from, and those that checkpoints are chosen on.

use rand::seq::SliceRandom as _;
use tartan::action::{DevHead, Meta};
use tartan::data::batch::Order;
use tartan::data::rng;
use tartan::data::split::Split;

use super::job::Job;
use super::meta::DevUse;
use super::step::Examples;
use super::tokens::Layout;

/// Labelled texts without end, for each use.
#[derive(Debug)]
pub struct DevTexts<'j> {
    /// For fitting the dev head.
    pub fit: Pool<'j>,
    /// For the dev gradient.
    pub gradient: Pool<'j>,
}

/// Texts to take a batch from at a time.
#[derive(Debug)]
pub struct Pool<'j> {
    split: &'j Split,
    /// Which texts come when.
    pub order: Order,
    batch: usize,
    purpose: &'static str,
}

impl DevTexts<'_> {
    /// The texts for one use in the step after `done` steps.
    pub fn next(&mut self, job: &Job, which: DevUse, done: u64, layout: Layout) -> Examples {
        let pool = match which {
            DevUse::Fit => &mut self.fit,
            DevUse::Gradient => &mut self.gradient,
        };
        let texts = pool.order.next(pool.batch);
        Examples::classify(&layout.collate(pool.split, &texts), layout, job.dropout_seed(pool.purpose, done))
    }
}

/// How the dev split is used while weights are learned: the texts to learn them from, and the numbers of those
/// on which checkpoints are chosen. A batch is never larger than what it is taken from.
pub fn share_out<'j>(job: &'j Job, meta: &Meta, dev: &'j Split) -> (DevTexts<'j>, Vec<usize>) {
    let seed = job.settings.seed;
    let all: Vec<usize> = (0..dev.len()).collect();
    let (fit, gradient, selection) = if meta.disjoint_dev && dev.len() >= parts(meta) {
        let mut rest = all;
        rest.shuffle(&mut rng::stream(seed, "dev_parts", 0));
        let part = dev.len() / parts(meta);
        let mut cut = |wanted: bool| {
            let mut part = rest.split_off(rest.len() - if wanted { part } else { 0 });
            part.sort_unstable();
            part
        };
        let (fit, gradient) = (cut(fits_on_dev(meta)), cut(true));
        rest.sort_unstable();
        (fit, gradient, rest)
    } else {
        (all.clone(), all.clone(), all)
    };
    let pool = |split, texts: Vec<usize>, batch: u64, purpose: &'static str| {
        let batch = usize::try_from(batch).unwrap_or(usize::MAX).min(texts.len());
        Pool { split, order: Order::of(texts, seed, &format!("order/{purpose}")), batch, purpose }
    };
    let fit = match &meta.dev_head {
        DevHead::Own(own) if own.on_train => {
            let train = &job.tasks[0].train;
            pool(train, (0..train.len()).collect(), own.batch, "dev_fit")
        }
        DevHead::Own(own) => pool(dev, fit, own.batch, "dev_fit"),
        // Never asked for: the head in training needs no fitting.
        DevHead::Training => pool(dev, (0..dev.len()).collect(), 1, "dev_fit"),
    };
    let gradient = pool(dev, gradient, meta.dev_batch, "dev_gradient");
    (DevTexts { fit, gradient }, selection)
}

/// Into how many parts dev is cut where its uses are to be disjoint.
pub fn parts(meta: &Meta) -> usize {
    2 + usize::from(fits_on_dev(meta))
}

fn fits_on_dev(meta: &Meta) -> bool {
    matches!(&meta.dev_head, DevHead::Own(fit) if !fit.on_train)
}
