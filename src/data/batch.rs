//! Batches: which texts come next, and their tokens one after the other.

use rand::seq::SliceRandom as _;

use super::rng;
use super::split::Split;

/// Texts one after the other, without a pad between them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Token ids of all texts: as many as `lengths` sum to.
    pub ids: Vec<i64>,
    /// Tokens of each text.
    pub lengths: Vec<usize>,
    /// Each text's label id: one a text, or empty where the split has none.
    pub labels: Vec<i64>,
}

impl Batch {
    /// The texts at `indices`, the shortest first and equally long ones in the order of `indices`: what is as
    /// long lies side by side, and can be computed together.
    pub fn collate(split: &Split, indices: &[usize]) -> Self {
        let mut indices = indices.to_vec();
        indices.sort_by_key(|&index| split.text(index).len());
        let labels = if split.labels.is_empty() {
            vec![]
        } else {
            indices.iter().map(|&i| i64::from(split.labels[i])).collect()
        };
        Self {
            ids: indices.iter().flat_map(|&i| split.text(i)).map(|&id| i64::from(id)).collect(),
            lengths: indices.iter().map(|&i| split.text(i).len()).collect(),
            labels,
        }
    }

    /// The same texts with `pad` after each up to the longest, as if the pads were of the texts.
    #[must_use]
    pub fn padded(&self, pad: u32) -> Self {
        let width = self.lengths.iter().copied().max().unwrap_or(0);
        let mut ids = Vec::with_capacity(self.len() * width);
        let mut rest = self.ids.as_slice();
        for (row, &length) in self.lengths.iter().enumerate() {
            let (text, after) = rest.split_at(length);
            ids.extend_from_slice(text);
            ids.resize((row + 1) * width, i64::from(pad));
            rest = after;
        }
        Self { ids, lengths: vec![width; self.len()], labels: self.labels.clone() }
    }

    /// The same texts in parts of at most so much `cost`, of which each text has some by its length; a text that
    /// costs more is a part of its own.
    pub fn parts(&self, most: usize, cost: impl Fn(usize) -> usize) -> Vec<Self> {
        let mut parts: Vec<Self> = vec![];
        let mut rest = self.ids.as_slice();
        let mut spent = 0;
        for (text, &length) in self.lengths.iter().enumerate() {
            spent += cost(length);
            if parts.is_empty() || spent > most {
                parts.push(Self::default());
                spent = cost(length);
            }
            let (ids, after) = rest.split_at(length);
            rest = after;
            if let Some(part) = parts.last_mut() {
                part.ids.extend_from_slice(ids);
                part.lengths.push(length);
                part.labels.extend(self.labels.get(text));
            }
        }
        parts
    }

    /// How many texts.
    pub fn len(&self) -> usize {
        self.lengths.len()
    }

    /// Whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }
}

/// An endless order of a corpus's texts: every text once an epoch, each epoch in an order of its own.
/// Its state is the number of texts taken so far.
#[derive(Clone, Debug)]
pub struct Order {
    seed: u64,
    purpose: String,
    taken: u64,
    epoch: Vec<usize>,
}

impl Order {
    /// The order of `len` texts under `seed` for `purpose`, from the start.
    ///
    /// # Panics
    /// Where `len` is 0; a tokenised split never is empty.
    pub fn new(len: usize, seed: u64, purpose: &str) -> Self {
        Self::of((0..len).collect(), seed, purpose)
    }

    /// The order of the texts at `indices` under `seed` for `purpose`, from the start.
    ///
    /// # Panics
    /// Where there are none.
    pub fn of(indices: Vec<usize>, seed: u64, purpose: &str) -> Self {
        assert!(!indices.is_empty(), "an order of no texts");
        let mut order = Self { seed, purpose: purpose.to_owned(), taken: 0, epoch: indices };
        order.shuffle();
        order
    }

    /// How many texts were taken so far.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// Goes on as if `taken` texts had been taken.
    pub fn resume(&mut self, taken: u64) {
        self.taken = taken;
        self.shuffle();
    }

    /// The next `count` texts. A batch that the epoch's end cuts goes on with the next epoch.
    pub fn next(&mut self, count: usize) -> Vec<usize> {
        let len = self.epoch.len() as u64;
        let mut indices = Vec::with_capacity(count);
        for _ in 0..count {
            let at = usize::try_from(self.taken % len).unwrap_or(0);
            indices.push(self.epoch[at]);
            self.taken += 1;
            if self.taken.is_multiple_of(len) {
                self.shuffle();
            }
        }
        indices
    }

    fn shuffle(&mut self) {
        let epoch = self.taken / self.epoch.len() as u64;
        self.epoch.sort_unstable();
        self.epoch.shuffle(&mut rng::stream(self.seed, &self.purpose, epoch));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collates_by_length_and_pads() {
        let split = Split {
            ids: vec![5, 6, 7, 8, 9],
            offsets: vec![0, 1, 4, 5],
            labels: vec![3, 1, 2],
            rows: vec![0, 1, 2],
        };
        let batch = Batch::collate(&split, &[1, 2, 0]);
        assert_eq!(batch.ids, [9, 5, 6, 7, 8]);
        assert_eq!(batch.lengths, [1, 1, 3]);
        assert_eq!(batch.labels, [2, 3, 1]);
        let padded = batch.padded(0);
        assert_eq!(padded.ids, [9, 0, 0, 5, 0, 0, 6, 7, 8]);
        assert_eq!((padded.lengths, padded.labels), (vec![3, 3, 3], batch.labels));
    }

    #[test]
    fn parts_are_the_batch_cut_between_texts() {
        let batch = Batch { ids: (0..9).collect(), lengths: vec![1, 2, 2, 4], labels: vec![5, 6, 7, 8] };
        let lengths = |most| -> Vec<_> {
            batch.parts(most, |length| length).into_iter().map(|part| part.lengths).collect()
        };
        assert_eq!(lengths(100), [[1, 2, 2, 4]]);
        assert_eq!(lengths(3), [vec![1, 2], vec![2], vec![4]]);
        assert_eq!(lengths(0).len(), 4);
        let parts = batch.parts(5, |length| length);
        assert_eq!(parts.iter().flat_map(|part| part.ids.clone()).collect::<Vec<_>>(), batch.ids);
        assert_eq!(parts.iter().flat_map(|part| part.labels.clone()).collect::<Vec<_>>(), batch.labels);
        assert_eq!(batch.parts(9, |length| length * length).len(), 2);
        assert!(Batch::default().parts(5, |length| length).is_empty());
    }

    #[test]
    fn every_text_comes_once_an_epoch_in_a_new_order() {
        let mut order = Order::new(10, 7, "end-task");
        let taken: Vec<usize> = (0..8).flat_map(|_| order.next(5)).collect();
        let epochs: Vec<Vec<usize>> = taken.chunks(10).map(<[usize]>::to_vec).collect();
        for epoch in &epochs {
            let mut sorted = epoch.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..10).collect::<Vec<_>>());
        }
        assert_ne!(epochs[0], epochs[1]);
        assert_eq!(Order::new(10, 7, "end-task").next(10), epochs[0]);
        assert_ne!(Order::new(10, 8, "end-task").next(10), epochs[0]);
    }

    #[test]
    fn goes_on_where_it_was() {
        let mut order = Order::of(vec![3, 1, 4, 5, 9], 7, "dev");
        for batch in [3, 4, 3] {
            let mut resumed = Order::of(vec![3, 1, 4, 5, 9], 7, "dev");
            resumed.resume(order.taken());
            assert_eq!(order.next(batch), resumed.next(batch), "at {}", order.taken());
        }
    }

    #[test]
    fn a_batch_may_be_larger_than_the_corpus() {
        assert_eq!(Order::new(1, 0, "x").next(3), [0, 0, 0]);
    }
}
