//! Batches: which texts come next, and their tokens side by side.

use rand::seq::SliceRandom as _;

use super::rng;
use super::split::Split;

/// Texts side by side, padded to the longest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Token ids, row by row: `len` × `width`.
    pub ids: Vec<i64>,
    /// Tokens of each text, without pads: `len`.
    pub lengths: Vec<usize>,
    /// Tokens of the longest text.
    pub width: usize,
    /// Each text's label id: `len`, or empty where the split has none.
    pub labels: Vec<i64>,
}

impl Batch {
    /// The texts at `indices`, padded with `pad`.
    pub fn collate(split: &Split, indices: &[usize], pad: u32) -> Self {
        let lengths: Vec<usize> = indices.iter().map(|&i| split.text(i).len()).collect();
        let width = lengths.iter().copied().max().unwrap_or(0);
        let mut ids = vec![i64::from(pad); indices.len() * width];
        for (row, &index) in indices.iter().enumerate() {
            for (to, &from) in ids[row * width..].iter_mut().zip(split.text(index)) {
                *to = i64::from(from);
            }
        }
        let labels = if split.labels.is_empty() {
            vec![]
        } else {
            indices.iter().map(|&i| i64::from(split.labels[i])).collect()
        };
        Self { ids, lengths, width, labels }
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
    fn collates_and_pads() {
        let split =
            Split { ids: vec![5, 6, 7, 8], offsets: vec![0, 1, 4], labels: vec![3, 1], rows: vec![0, 1] };
        let batch = Batch::collate(&split, &[1, 0, 1], 9);
        assert_eq!(batch.ids, [6, 7, 8, 5, 9, 9, 6, 7, 8]);
        assert_eq!((batch.lengths.as_slice(), batch.width), ([3, 1, 3].as_slice(), 3));
        assert_eq!(batch.labels, [1, 3, 1]);
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
