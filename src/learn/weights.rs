//! Named tensors: reading and writing safetensors, the names that checkpoints use, and fresh weights.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use rand::Rng as _;
use safetensors::tensor::{Dtype, SafeTensors, TensorView, View};
use tartan::action::Precision;
use tartan::data::rng;
use tartan::diag::Code;
use tch::{Device, Kind, Tensor};

use super::config::{Config, Family, Init, Spec};

/// Tensors by their full name.
pub type Tensors = BTreeMap<String, Tensor>;

/// What can be wrong with a file of weights.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// Not safetensors.
    #[error("not a safetensors file: {0}")]
    Format(#[from] safetensors::SafeTensorError),
    /// The disk.
    #[error(transparent)]
    Io(std::io::Error),
    /// Weights that the configuration implies and the file lacks, or has otherwise.
    #[error("the weights do not fit the configuration:\n  {}", .0.join("\n  "))]
    Misfit(Vec<String>),
    /// Weights that are no numbers: nothing can be learned from them.
    #[error("these weights hold values that are not finite: {}", .0.join(", "))]
    NotFinite(Vec<String>),
}

impl WeightsError {
    /// What kind of fault it is.
    pub fn code(&self) -> Code {
        match self {
            Self::Format(_) | Self::Misfit(_) => Code::Misfit,
            Self::Io(_) => Code::System,
            Self::NotFinite(_) => Code::NotFinite,
        }
    }

    /// The way out, for a checkpoint that a user named.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Format(_) => "the file is cut or damaged; copy or download it again",
            Self::Io(_) => "see whether the disk is full or gone",
            Self::Misfit(_) => {
                "config.json and model.safetensors must belong together; `random: DIR` draws fresh weights instead"
            }
            Self::NotFinite(_) => "whatever trained them went wrong; take an earlier checkpoint",
        }
    }
}

/// A checkpoint's weights under their canonical names.
#[derive(Debug)]
pub struct Checkpoint {
    /// The encoder and the LM head, whole.
    pub tensors: Tensors,
    /// What of the LM head was made, because the file lacks it.
    pub made: Vec<String>,
    /// What of the file was left out.
    pub ignored: Vec<String>,
    /// Whether the file has an LM decoder of its own that differs from the word embeddings.
    pub untied: bool,
}

/// Reads a checkpoint in any of the namings that `transformers` writes or wrote: with or without the
/// family's prefix, layer norms as weight/bias or gamma/beta. What the LM head lacks is made from `seed`.
pub fn read_checkpoint(config: &Config, bytes: &[u8], seed: u64) -> Result<Checkpoint, WeightsError> {
    let file = SafeTensors::deserialize(bytes)?;
    let names = file.names();
    let mut used: Vec<String> = vec![];
    let mut wrong = vec![];
    let mut made = vec![];
    let mut take = |spec: &Spec, can_be_made: bool| -> Result<Tensor, safetensors::SafeTensorError> {
        if let Some(name) =
            aliases(config, &spec.name).into_iter().find(|name| names.contains(&name.as_str()))
        {
            let tensor = fitting(&file.tensor(&name)?, &spec.shape);
            used.push(name.clone());
            return Ok(tensor.unwrap_or_else(|how| {
                wrong.push(format!("`{name}` {how}"));
                Tensor::new()
            }));
        }
        if can_be_made {
            made.push(spec.name.clone());
            return Ok(fresh(spec, config.initializer_range, seed, &spec.name));
        }
        wrong.push(format!("`{}` is missing", spec.name));
        Ok(Tensor::new())
    };
    let mut tensors = Tensors::new();
    for spec in config.encoder_params() {
        let tensor = take(&spec, false)?;
        tensors.insert(spec.name, tensor);
    }
    for spec in config.lm_head_params() {
        let tensor = take(&spec, true)?;
        tensors.insert(spec.name, tensor);
    }
    if !wrong.is_empty() {
        return Err(WeightsError::Misfit(wrong));
    }
    let not_finite: Vec<String> = tensors
        .iter()
        .filter(|(_, tensor)| tensor.isfinite().all().int64_value(&[]) == 0)
        .map(|(name, _)| format!("`{name}`"))
        .collect();
    if !not_finite.is_empty() {
        return Err(WeightsError::NotFinite(not_finite));
    }
    let decoder = match config.family {
        Family::Bert => "cls.predictions.decoder.weight",
        Family::Roberta => "lm_head.decoder.weight",
    };
    let mut untied = false;
    if names.contains(&decoder) {
        let word = format!("{}.embeddings.word_embeddings.weight", config.family.name());
        let own = fitting(&file.tensor(decoder)?, &[config.vocab, config.hidden]);
        untied = !own.is_ok_and(|own| own == tensors[&word]);
    }
    let mut ignored: Vec<String> =
        names.iter().map(|name| (*name).to_owned()).filter(|name| !used.contains(name)).collect();
    ignored.sort();
    Ok(Checkpoint { tensors, made, ignored, untied })
}

/// The names under which a checkpoint may hold the parameter, the canonical one first.
fn aliases(config: &Config, name: &str) -> Vec<String> {
    let mut names = vec![name.to_owned()];
    if let Some(bare) = name.strip_prefix(&format!("{}.", config.family.name())) {
        names.push(bare.to_owned());
    }
    // Newer versions of `transformers` may keep the tied bias under the decoder.
    match name {
        "cls.predictions.bias" => names.push("cls.predictions.decoder.bias".to_owned()),
        "lm_head.bias" => names.push("lm_head.decoder.bias".to_owned()),
        _ => {}
    }
    if name.contains("LayerNorm") {
        let old: Vec<String> = names
            .iter()
            .map(|name| {
                name.replace("LayerNorm.weight", "LayerNorm.gamma")
                    .replace("LayerNorm.bias", "LayerNorm.beta")
            })
            .collect();
        names.extend(old);
    }
    names
}

/// Reads exactly the parameters of `specs`, as this program wrote them; other tensors are left out.
pub fn read(specs: &[Spec], bytes: &[u8]) -> Result<Tensors, WeightsError> {
    let file = SafeTensors::deserialize(bytes)?;
    let mut tensors = Tensors::new();
    let mut wrong = vec![];
    for spec in specs {
        match file.tensor(&spec.name) {
            Ok(view) => match fitting(&view, &spec.shape) {
                Ok(tensor) => {
                    tensors.insert(spec.name.clone(), tensor);
                }
                Err(how) => wrong.push(format!("`{}` {how}", spec.name)),
            },
            Err(_) => wrong.push(format!("`{}` is missing", spec.name)),
        }
    }
    if wrong.is_empty() { Ok(tensors) } else { Err(WeightsError::Misfit(wrong)) }
}

/// The names of the tensors in a file and one entry of its metadata.
pub fn read_names(bytes: &[u8], key: &str) -> Result<(Vec<String>, Option<String>), WeightsError> {
    let (_, header) = SafeTensors::read_metadata(bytes)?;
    let names = header.offset_keys();
    Ok((names, header.metadata().as_ref().and_then(|metadata| metadata.get(key).cloned())))
}

/// A tensor of the wanted shape in its own precision, or how it differs.
fn fitting(view: &TensorView<'_>, shape: &[i64]) -> Result<Tensor, String> {
    let kind = match view.dtype() {
        Dtype::F16 => Kind::Half,
        Dtype::BF16 => Kind::BFloat16,
        Dtype::F32 => Kind::Float,
        Dtype::F64 => Kind::Double,
        other => return Err(format!("holds {other:?}; F16, BF16, F32 or F64 were expected")),
    };
    let found: Vec<i64> = view.shape().iter().map(|&n| i64::try_from(n).unwrap_or(i64::MAX)).collect();
    if found != shape {
        return Err(format!("has shape {found:?}; the configuration implies {shape:?}"));
    }
    let tensor = Tensor::from_data_size(view.data(), &found, kind);
    Ok(if kind == Kind::Double { tensor } else { tensor.to_kind(Kind::Float) })
}

/// Writes tensors in float32: the same tensors give the same bytes.
pub fn write(tensors: &Tensors, metadata: Option<(&str, String)>) -> Result<Vec<u8>, WeightsError> {
    let metadata = metadata.map(|(key, value)| HashMap::from([(key.to_owned(), value)]));
    Ok(safetensors::serialize(tensors.iter().map(|(name, tensor)| (name, Floats::of(tensor))), metadata)?)
}

/// Writes tensors in float32 into a file, one after the other: no more than one is in memory twice.
pub fn write_file(tensors: &Tensors, path: &Path) -> Result<(), WeightsError> {
    let views: Vec<(&String, Floats)> =
        tensors.iter().map(|(name, tensor)| (name, Floats::of(tensor))).collect();
    safetensors::serialize_to_file(views, None, path).map_err(|error| match error {
        safetensors::SafeTensorError::IoError(error) => WeightsError::Io(error),
        other => other.into(),
    })
}

/// Every tensor of a file, as they are.
pub fn read_all(bytes: &[u8]) -> Result<Tensors, WeightsError> {
    let file = SafeTensors::deserialize(bytes)?;
    let mut tensors = Tensors::new();
    for (name, view) in file.tensors() {
        let shape: Vec<i64> = view.shape().iter().map(|&n| i64::try_from(n).unwrap_or(i64::MAX)).collect();
        let tensor =
            fitting(&view, &shape).map_err(|how| WeightsError::Misfit(vec![format!("`{name}` {how}")]))?;
        tensors.insert(name, tensor);
    }
    Ok(tensors)
}

/// A tensor as little-endian float32, brought over and copied only when its bytes are asked for.
struct Floats {
    shape: Vec<usize>,
    tensor: Tensor,
}

impl Floats {
    fn of(tensor: &Tensor) -> Self {
        let shape = tensor.size().iter().map(|&n| usize::try_from(n).unwrap_or(0)).collect();
        Self { shape, tensor: tensor.detach() }
    }
}

impl View for Floats {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        let tensor = self.tensor.to_device(Device::Cpu).to_kind(Kind::Float).contiguous();
        let mut bytes = vec![0; self.data_len()];
        tensor.copy_data_u8(&mut bytes, tensor.numel());
        Cow::Owned(bytes)
    }
    fn data_len(&self) -> usize {
        self.shape.iter().product::<usize>() * 4
    }
}

/// The same tensors on a device.
pub fn on_device(tensors: &Tensors, device: Device) -> Tensors {
    tensors.iter().map(|(name, tensor)| (name.clone(), tensor.to_device(device))).collect()
}

/// The same tensors in a precision; those that have it are shared.
pub fn in_precision(tensors: &Tensors, precision: Precision) -> Tensors {
    let kind = match precision {
        Precision::Float32 | Precision::Tf32 => Kind::Float,
        Precision::Bf16 => Kind::BFloat16,
    };
    tensors.iter().map(|(name, tensor)| (name.clone(), tensor.to_kind(kind))).collect()
}

/// Sets a row of a matrix to 0.
pub fn zero_row(tensors: &mut Tensors, name: &str, row: u32) {
    if let Some(tensor) = tensors.get(name) {
        let _ = tensor.get(i64::from(row)).zero_();
    }
}

/// Every parameter of `specs`, made from `seed`; each tensor's stream is its own, by its name.
pub fn make(specs: &[Spec], std: f64, seed: u64, purpose: &str) -> Tensors {
    specs
        .iter()
        .map(|spec| (spec.name.clone(), fresh(spec, std, seed, &format!("{purpose}{}", spec.name))))
        .collect()
}

fn fresh(spec: &Spec, std: f64, seed: u64, purpose: &str) -> Tensor {
    let size = usize::try_from(spec.numel()).unwrap_or(0);
    let values = match spec.init {
        Init::Zeros => vec![0.0; size],
        Init::Ones => vec![1.0; size],
        Init::Normal => normal(size, std, seed, purpose),
    };
    Tensor::from_slice(&values).view(spec.shape.as_slice())
}

/// Draws from a normal distribution by Box and Muller's transform, rounded to float32.
#[expect(clippy::cast_possible_truncation, reason = "rounding to float32 is meant")]
fn normal(size: usize, std: f64, seed: u64, purpose: &str) -> Vec<f32> {
    let mut stream = rng::stream(seed, purpose, 0);
    let mut values = Vec::with_capacity(size + 1);
    while values.len() < size {
        // 1 - u is above 0, so that its logarithm is finite.
        let radius = (-2.0 * (1.0 - stream.random::<f64>()).ln()).sqrt() * std;
        let (sin, cos) = (std::f64::consts::TAU * stream.random::<f64>()).sin_cos();
        values.push((radius * cos) as f32);
        values.push((radius * sin) as f32);
    }
    values.truncate(size);
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        let json =
            br#"{"model_type": "bert", "hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 2,
            "intermediate_size": 6, "vocab_size": 9, "max_position_embeddings": 5}"#;
        Config::from_json(json).unwrap()
    }

    fn checkpoint() -> Tensors {
        make(&config().encoder_params(), 0.02, 1, "")
    }

    fn renamed(tensors: &Tensors, rename: impl Fn(&str) -> String) -> Tensors {
        tensors.iter().map(|(name, tensor)| (rename(name), tensor.shallow_clone())).collect()
    }

    #[test]
    fn every_naming_reads_the_same() {
        let plain = checkpoint();
        let old = |name: &str| name.replace("Norm.weight", "Norm.gamma").replace("Norm.bias", "Norm.beta");
        let bare = |name: &str| name.trim_start_matches("bert.").to_owned();
        for tensors in [renamed(&plain, bare), renamed(&plain, old), renamed(&plain, |name| old(&bare(name)))]
        {
            let mut tensors = tensors;
            tensors
                .insert("pooler.dense.weight".to_owned(), Tensor::ones([4, 4], (Kind::Float, Device::Cpu)));
            let read = read_checkpoint(&config(), &write(&tensors, None).unwrap(), 0).unwrap();
            assert_eq!(read.ignored, ["pooler.dense.weight"]);
            assert_eq!(read.made.len(), 5, "{:?}", read.made);
            for (name, tensor) in &plain {
                assert_eq!(read.tensors[name], *tensor, "{name}");
            }
        }
    }

    #[test]
    fn weights_that_are_no_numbers_are_named() {
        let mut tensors = checkpoint();
        let name = "bert.encoder.layer.0.output.dense.bias";
        let _ = tensors[name].narrow(0, 1, 1).fill_(f64::NAN);
        let error = read_checkpoint(&config(), &write(&tensors, None).unwrap(), 0).unwrap_err();
        assert_eq!(error.to_string(), format!("these weights hold values that are not finite: `{name}`"));
        tensors.insert(name.to_owned(), Tensor::zeros([4], (Kind::Float, Device::Cpu)));
        let bytes = write(&tensors, None).unwrap();
        assert!(read_checkpoint(&config(), &bytes, 0).is_ok());
        let cut = read_checkpoint(&config(), &bytes[..bytes.len() / 2], 0).unwrap_err();
        assert!(cut.help().starts_with("the file is cut"), "{cut}");
    }

    #[test]
    fn what_is_missing_or_of_another_shape_is_named_all_at_once() {
        let mut tensors = checkpoint();
        tensors.remove("bert.embeddings.LayerNorm.bias");
        tensors.insert(
            "bert.embeddings.word_embeddings.weight".to_owned(),
            Tensor::ones([8, 4], (Kind::Float, Device::Cpu)),
        );
        let error = read_checkpoint(&config(), &write(&tensors, None).unwrap(), 0).unwrap_err().to_string();
        assert!(error.contains("`bert.embeddings.LayerNorm.bias` is missing"), "{error}");
        assert!(error.contains("has shape [8, 4]; the configuration implies [9, 4]"), "{error}");
    }

    #[test]
    fn half_precision_is_read() {
        let spec = Spec::weight("w".to_owned(), vec![2]);
        let bytes: Vec<u8> = [0.5f32, -3.0].iter().flat_map(|v| v.to_le_bytes()[2..].to_vec()).collect();
        let half = TensorView::new(Dtype::BF16, vec![2], &bytes).unwrap();
        let file = safetensors::serialize([("w", half)], None::<HashMap<String, String>>).unwrap();
        let tensors = read(&[spec], &file).unwrap();
        assert_eq!(tensors["w"], Tensor::from_slice(&[0.5f32, -3.0]));
    }

    #[test]
    fn fresh_weights_are_normal_and_the_same_for_the_same_seed_and_name() {
        let spec = Spec::weight("w".to_owned(), vec![100, 100]);
        let of = |seed, purpose| make(std::slice::from_ref(&spec), 0.02, seed, purpose).remove("w").unwrap();
        let tensor = of(1, "a/");
        assert_eq!(tensor, of(1, "a/"));
        assert_ne!(tensor, of(2, "a/"));
        assert_ne!(tensor, of(1, "b/"));
        let (mean, std) = (tensor.mean(Kind::Double).double_value(&[]), tensor.std(true).double_value(&[]));
        assert!(mean.abs() < 1e-3 && (std - 0.02).abs() < 1e-3, "mean {mean}, std {std}");
    }
}
