//! A tokenised split: what `SPLIT.safetensors` holds.

use std::io::{self, Write};

use safetensors::tensor::{Dtype, Metadata, SafeTensors, TensorInfo};

/// The tokens of a split's texts, one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// Token ids of all texts, special tokens included.
    pub ids: Vec<i32>,
    /// Where each text starts in `ids`, and where the last ends: one more than there are texts.
    pub offsets: Vec<i64>,
    /// Each text's label id (see [`Labels`](crate::action::Labels)); empty where there are none.
    pub labels: Vec<i32>,
    /// Each text's place among the source's texts, from 0. Blank lines do not count.
    pub rows: Vec<i64>,
}

/// Why bytes are no tokenised split.
#[derive(Debug, thiserror::Error)]
pub enum SplitError {
    /// Not safetensors.
    #[error("not a safetensors file: {0}")]
    Format(#[from] safetensors::SafeTensorError),
    /// It cannot be written.
    #[error(transparent)]
    Write(#[from] io::Error),
    /// Safetensors of something else, or cut.
    #[error("not a tokenised split: {0}")]
    Content(String),
}

impl Split {
    /// How many texts.
    pub fn len(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The tokens of text `index`.
    pub fn text(&self, index: usize) -> &[i32] {
        let at = |i: usize| usize::try_from(self.offsets[i]).unwrap_or(0);
        &self.ids[at(index)..at(index + 1)]
    }

    /// The texts at `indices`, in their order.
    #[must_use]
    pub fn select(&self, indices: &[usize]) -> Self {
        let mut part = Self { offsets: vec![0], ..Self::default() };
        for &index in indices {
            part.ids.extend_from_slice(self.text(index));
            part.offsets.push(i64::try_from(part.ids.len()).unwrap_or(i64::MAX));
            part.labels.extend(self.labels.get(index));
            part.rows.push(self.rows[index]);
        }
        part
    }

    /// Writes `SPLIT.safetensors`: the same split gives the same bytes.
    pub fn write(&self, to: &mut dyn Write) -> io::Result<()> {
        // The order of the `safetensors` crate: large elements first, then by name.
        let lists = [
            ("offsets", Dtype::I64, self.offsets.len()),
            ("rows", Dtype::I64, self.rows.len()),
            ("ids", Dtype::I32, self.ids.len()),
            ("labels", Dtype::I32, self.labels.len()),
        ];
        let mut end = 0;
        let infos = lists.map(|(name, dtype, length)| {
            let start = end;
            end += length * dtype.bitsize() / 8;
            (name.to_owned(), TensorInfo { dtype, shape: vec![length], data_offsets: (start, end) })
        });
        let mut header = serde_json::to_vec(&Metadata::new(None, infos.into()).map_err(io::Error::other)?)?;
        header.resize(header.len().next_multiple_of(8), b' ');
        to.write_all(&(header.len() as u64).to_le_bytes())?;
        to.write_all(&header)?;
        put(to, &self.offsets, i64::to_le_bytes)?;
        put(to, &self.rows, i64::to_le_bytes)?;
        put(to, &self.ids, i32::to_le_bytes)?;
        put(to, &self.labels, i32::to_le_bytes)?;
        to.flush()
    }

    /// The bytes that [`write`](Self::write) writes.
    pub fn to_bytes(&self) -> Result<Vec<u8>, SplitError> {
        let mut bytes = vec![];
        self.write(&mut bytes)?;
        Ok(bytes)
    }

    /// Reads what [`write`](Self::write) wrote, and checks that it hangs together.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SplitError> {
        let file = SafeTensors::deserialize(bytes)?;
        let i32s = |name: &str| -> Result<Vec<i32>, SplitError> {
            Ok(raw(&file, name, Dtype::I32)?.as_chunks().0.iter().map(|c| i32::from_le_bytes(*c)).collect())
        };
        let i64s = |name: &str| -> Result<Vec<i64>, SplitError> {
            Ok(raw(&file, name, Dtype::I64)?.as_chunks().0.iter().map(|c| i64::from_le_bytes(*c)).collect())
        };
        let split = Self {
            ids: i32s("ids")?,
            offsets: i64s("offsets")?,
            labels: i32s("labels")?,
            rows: i64s("rows")?,
        };
        let sound = split.offsets.first() == Some(&0)
            && split.offsets.is_sorted()
            && split.offsets.last().is_some_and(|end| usize::try_from(*end) == Ok(split.ids.len()))
            && (split.labels.is_empty() || split.labels.len() == split.len())
            && split.rows.len() == split.len();
        if sound { Ok(split) } else { Err(SplitError::Content("its parts do not fit together".to_owned())) }
    }
}

fn raw<'a>(file: &SafeTensors<'a>, name: &str, dtype: Dtype) -> Result<&'a [u8], SplitError> {
    let view = file.tensor(name)?;
    if view.dtype() != dtype || view.shape().len() != 1 {
        return Err(SplitError::Content(format!("`{name}` is not a list of {dtype:?}")));
    }
    Ok(view.data())
}

/// Writes numbers, some thousand at a time.
fn put<T: Copy, const N: usize>(to: &mut dyn Write, values: &[T], bytes: fn(T) -> [u8; N]) -> io::Result<()> {
    values
        .chunks(1 << 14)
        .try_for_each(|some| to.write_all(&some.iter().flat_map(|value| bytes(*value)).collect::<Vec<u8>>()))
}

#[cfg(test)]
mod tests {
    use safetensors::tensor::TensorView;

    use super::*;

    fn sample() -> Split {
        Split { ids: vec![1, 7, 2, 1, 2], offsets: vec![0, 3, 5], labels: vec![0, 1], rows: vec![0, 4] }
    }

    #[test]
    fn comes_back_from_its_bytes() {
        let split = sample();
        let bytes = split.to_bytes().expect("bytes");
        assert_eq!(Split::from_bytes(&bytes).expect("split"), split);
        assert_eq!(split.to_bytes().expect("bytes"), bytes);
        assert_eq!(split.text(1), [1, 2]);
    }

    #[test]
    fn is_what_the_safetensors_crate_writes() {
        let Split { ids, offsets, labels, rows } = sample();
        let bytes4 = |values: &[i32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
        let bytes8 = |values: &[i64]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
        let (ids, labels, offsets, rows) = (bytes4(&ids), bytes4(&labels), bytes8(&offsets), bytes8(&rows));
        let view = |dtype: Dtype, bytes| {
            let length = <[u8]>::len(bytes) * 8 / dtype.bitsize();
            TensorView::new(dtype, vec![length], bytes).expect("a tensor")
        };
        let tensors = [
            ("ids", view(Dtype::I32, &ids)),
            ("labels", view(Dtype::I32, &labels)),
            ("offsets", view(Dtype::I64, &offsets)),
            ("rows", view(Dtype::I64, &rows)),
        ];
        assert_eq!(
            sample().to_bytes().expect("bytes"),
            safetensors::serialize(tensors, None).expect("bytes")
        );
    }

    #[test]
    fn refuses_what_is_cut_or_does_not_fit() {
        let bytes = sample().to_bytes().expect("bytes");
        assert!(Split::from_bytes(&bytes[..bytes.len() - 1]).is_err());
        for broken in [
            Split { offsets: vec![0, 3, 6], ..sample() },
            Split { offsets: vec![0, 5, 3], ..sample() },
            Split { labels: vec![1], ..sample() },
            Split { rows: vec![], ..sample() },
        ] {
            assert!(Split::from_bytes(&broken.to_bytes().expect("bytes")).is_err());
        }
    }
}
