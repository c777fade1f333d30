//! Texts as an encoder reads them: their tokens one after the other, and what attends to what.

use tartan::action::{Precision, Vocabulary};
use tartan::data::batch::Batch;
use tartan::data::split::Split;
use tch::{Device, Kind, Tensor};

use super::attention::has_flash;
use super::config::{Config, Family};

/// How texts become an encoder's tokens.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// The encoder's family, which counts positions its own way.
    pub family: Family,
    /// The pad token.
    pub pad: u32,
    /// Whether texts are padded to the longest, and pads attended to like any token.
    pub attend_pads: bool,
    /// Where the tokens go.
    pub device: Device,
    /// Tokens that are computed at once: a batch of more is computed in parts, to the same mean.
    pub tokens_at_once: usize,
    /// Whether attention takes texts as they lie, by a GPU's flash attention.
    pub flash: bool,
}

/// The fewest tokens at once that are tried where memory runs out.
pub const LEAST_TOKENS_AT_ONCE: usize = 512;

impl Layout {
    /// The layout for an encoder that computes in `precision` on a device.
    pub fn new(
        config: &Config,
        vocabulary: &Vocabulary,
        device: Device,
        precision: Precision,
        attend_pads: bool,
    ) -> Self {
        // What keeps the device busy, and no more. On a CPU more would not be faster, and a token takes about
        // 0.2 MB in six layers of 384.
        let tokens_at_once = if device == Device::Cpu { 4096 } else { 32_768 };
        let flash = precision == Precision::Bf16 && has_flash(device, config.hidden / config.heads);
        Self { family: config.family, pad: vocabulary.pad, attend_pads, device, tokens_at_once, flash }
    }

    /// The texts at `indices`, with pads where they are attended to.
    pub fn collate(&self, split: &Split, indices: &[usize]) -> Batch {
        let batch = Batch::collate(split, indices);
        if self.attend_pads { batch.padded(self.pad) } else { batch }
    }

    /// The batch in parts that are computed at once. On a CPU, where training keeps every attention, a token of
    /// a text of 256 takes twice the room.
    pub fn parts(&self, batch: &Batch) -> Vec<Batch> {
        let on_cpu = self.device == Device::Cpu;
        batch
            .parts(self.tokens_at_once, |length| if on_cpu { length + length * length / 256 } else { length })
    }
}

/// The tokens of some texts, T in all.
#[derive(Debug)]
pub struct Tokens {
    /// Token ids, `T`.
    pub ids: Tensor,
    /// Rows of the position embeddings, `T`.
    pub positions: Tensor,
    /// Where each text's first token is, `B`.
    pub first: Tensor,
    /// Which tokens are no pads, `T×1`; absent where none is.
    pub not_pad: Option<Tensor>,
    /// Which texts are attended to together.
    pub attention: Attention,
}

/// How attention, which is within a text, finds the texts among all tokens.
#[derive(Debug)]
pub enum Attention {
    /// Runs of texts of one length: how many, and how long. Nothing is padded.
    Runs(Vec<(i64, i64)>),
    /// All texts side by side, padded to the longest.
    Padded(Padding),
    /// Each as it lies, by a kernel that takes several lengths.
    Flash(Texts),
}

/// Where texts begin and end among all tokens.
#[derive(Debug)]
pub struct Texts {
    /// Where each text begins and the last one ends, in tokens, `B+1`, 32-bit.
    pub starts: Tensor,
    /// Tokens of the longest.
    pub longest: i64,
}

impl Texts {
    /// Texts of these lengths, one after the other.
    pub fn new(lengths: &[usize], device: Device) -> Self {
        let ends = lengths.iter().scan(0, |end, length| {
            *end += as_i64(*length);
            Some(*end)
        });
        let starts: Vec<i64> = std::iter::once(0).chain(ends).collect();
        Self {
            starts: Tensor::from_slice(&starts).to_kind(Kind::Int).to_device(device),
            longest: as_i64(lengths.iter().copied().max().unwrap_or(0)),
        }
    }
}

/// How tokens are laid out side by side, and back.
#[derive(Debug)]
pub struct Padding {
    /// Texts, and tokens of the longest.
    pub shape: (i64, i64),
    /// Which token is at each place, `B·L`; any at a pad's.
    pub token_at: Tensor,
    /// At which place each token is, `T`.
    pub place_of: Tensor,
    /// Which places hold tokens, `B×1×1×L`.
    pub attended: Tensor,
}

impl Tokens {
    /// The batch's tokens, with `ids` in place of its own (they may be masked).
    pub fn new(batch: &Batch, ids: &[i64], layout: Layout) -> Self {
        let to_device = |values: &[i64]| Tensor::from_slice(values).to_device(layout.device);
        let mut first = Vec::with_capacity(batch.len());
        let mut at = 0;
        for &length in &batch.lengths {
            first.push(as_i64(at));
            at += length;
        }
        let pad = i64::from(layout.pad);
        let on_device = to_device(ids);
        let not_pad = ids.contains(&pad).then(|| on_device.not_equal(pad).unsqueeze(1));
        Self {
            ids: on_device,
            positions: to_device(&positions(batch, ids, layout)),
            first: to_device(&first),
            not_pad,
            attention: Attention::of(&batch.lengths, layout),
        }
    }
}

/// The rows of the position embeddings. `RoBERTa` counts from the row after the pad's, over tokens that are no
/// pads; a pad has its own row.
fn positions(batch: &Batch, ids: &[i64], layout: Layout) -> Vec<i64> {
    let pad = i64::from(layout.pad);
    let mut positions = Vec::with_capacity(ids.len());
    let mut rest = ids;
    for &length in &batch.lengths {
        let (text, after) = rest.split_at(length);
        rest = after;
        match layout.family {
            Family::Bert => positions.extend((0..length).map(as_i64)),
            Family::Roberta => {
                let mut counted = pad;
                positions.extend(text.iter().map(|&id| {
                    counted += i64::from(id != pad);
                    if id == pad { pad } else { counted }
                }));
            }
        }
    }
    positions
}

impl Attention {
    /// On the CPU texts of one length are computed together and no pad ever is; a GPU would rather have one
    /// large piece of work, with pads in it where its kernel wants them, than many small ones.
    fn of(lengths: &[usize], layout: Layout) -> Self {
        let runs = runs(lengths);
        if layout.flash {
            Self::Flash(Texts::new(lengths, layout.device))
        } else if layout.device == Device::Cpu || runs.len() <= 1 {
            Self::Runs(runs)
        } else {
            Self::padded(lengths, layout.device)
        }
    }

    /// All texts side by side.
    pub fn padded(lengths: &[usize], device: Device) -> Self {
        let width = lengths.iter().copied().max().unwrap_or(0);
        let (mut token_at, mut place_of, mut attended) = (vec![], vec![], vec![]);
        for (row, &length) in lengths.iter().enumerate() {
            let first = as_i64(place_of.len());
            token_at.extend((0..width).map(|at| first + as_i64(at.min(length.saturating_sub(1)))));
            attended.extend((0..width).map(|at| at < length));
            place_of.extend((0..length).map(|at| as_i64(row * width + at)));
        }
        let shape = (as_i64(lengths.len()), as_i64(width));
        Self::Padded(Padding {
            shape,
            token_at: Tensor::from_slice(&token_at).to_device(device),
            place_of: Tensor::from_slice(&place_of).to_device(device),
            attended: Tensor::from_slice(&attended)
                .to_kind(Kind::Bool)
                .view([shape.0, 1, 1, shape.1])
                .to_device(device),
        })
    }
}

/// Neighbours of one length: how many, and how long.
fn runs(lengths: &[usize]) -> Vec<(i64, i64)> {
    lengths.chunk_by(|a, b| a == b).map(|run| (as_i64(run.len()), as_i64(run[0]))).collect()
}

fn as_i64(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_begin_where_the_one_before_ends() {
        let texts = Texts::new(&[2, 2, 5], Device::Cpu);
        assert_eq!(Vec::<i32>::try_from(&texts.starts).unwrap(), [0, 2, 4, 9]);
        assert_eq!(texts.longest, 5);
    }
}
