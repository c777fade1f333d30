//! A tokenised split: what `SPLIT.safetensors` holds.

use std::borrow::Cow;
use std::collections::HashMap;

use safetensors::tensor::{Dtype, SafeTensors, View};

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

    /// The bytes of `SPLIT.safetensors`: the same split gives the same bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>, SplitError> {
        let tensors = [
            ("ids", Array::of(Dtype::I32, self.ids.iter().flat_map(|v| v.to_le_bytes()).collect())),
            ("labels", Array::of(Dtype::I32, self.labels.iter().flat_map(|v| v.to_le_bytes()).collect())),
            ("offsets", Array::of(Dtype::I64, self.offsets.iter().flat_map(|v| v.to_le_bytes()).collect())),
            ("rows", Array::of(Dtype::I64, self.rows.iter().flat_map(|v| v.to_le_bytes()).collect())),
        ];
        Ok(safetensors::serialize(tensors, None::<HashMap<String, String>>)?)
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote, and checks that it hangs together.
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

struct Array {
    dtype: Dtype,
    shape: [usize; 1],
    bytes: Vec<u8>,
}

impl Array {
    fn of(dtype: Dtype, bytes: Vec<u8>) -> Self {
        Self { dtype, shape: [bytes.len() * 8 / dtype.bitsize()], bytes }
    }
}

impl View for Array {
    fn dtype(&self) -> Dtype {
        self.dtype
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }
    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
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
