//! From a checkpoint's files to the transformer.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use attnlab_model::{Mask, ModelConfig, Transformer};
use candle_core::{DType, Device, Shape, Tensor};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};

use crate::config::Config;
use crate::error::{PretrainedError, Result};
use crate::families::{Context, Family, registry};
use crate::model_files::ModelFiles;
use crate::recipe::{Names, Recipe, Source};
use crate::tensors::Checkpoint;

/// A pretrained model.
pub struct Pretrained {
    /// The transformer, with the checkpoint's weights.
    pub model: Transformer,
    /// The family it is of.
    pub family: &'static Family,
    /// The `model_type` of its configuration.
    pub model_type: String,
}

/// The model of a configuration and its weights, in f32 or f64 on the CPU.
///
/// # Errors
/// The family is not known, the configuration has a switch that is not honoured, or configuration and tensors do not
/// belong together: one is missing, has another shape, or is used by nothing.
pub fn load(files: ModelFiles, dtype: DType) -> Result<Pretrained> {
    let ModelFiles { config, checkpoint } = files;
    let (family, model_type) = family_of(&config)?;
    let blueprint = (family.translate)(&Context::new(&config, &checkpoint, family))?;
    if blueprint.config.mask == Mask::Causal {
        // Transformers drops the mask of any decoder that says so.
        config.refuse_unless("is_causal", &true.into())?;
    }
    blueprint.config.validate().map_err(|error| PretrainedError::MissingConfig {
        file: config.file().to_owned(),
        key: error.field.to_owned(),
        expected: format!("what a model can be built from: {}", error.problem),
    })?;
    let backend = Arc::new(Translated {
        family,
        names: blueprint.names,
        config,
        checkpoint,
        used: Mutex::default(),
        shared: Mutex::default(),
        error: Mutex::default(),
    });
    let vb = VarBuilder::from_backend(Box::new(Backend(Arc::clone(&backend))), dtype, Device::Cpu);
    let model = Transformer::new(&blueprint.config, vb).map_err(|error| backend.typed(error.into()))?;
    backend.check_all_used(&blueprint.config)?;
    Ok(Pretrained { model, family, model_type })
}

fn family_of(config: &Config) -> Result<(&'static Family, String)> {
    let model_type = config.maybe_text("model_type")?.ok_or_else(|| PretrainedError::MissingConfig {
        file: config.file().to_owned(),
        key: "model_type".to_owned(),
        expected: "the family of the model, such as \"gpt2\"".to_owned(),
    })?;
    match registry().iter().find(|family| family.model_types.contains(&model_type.as_str())) {
        Some(family) => Ok((family, model_type)),
        None => {
            let mut known: Vec<&str> =
                registry().iter().flat_map(|family| family.model_types).copied().collect();
            known.sort_unstable();
            Err(PretrainedError::UnknownFamily { model_type, known: known.join(", ") })
        }
    }
}

/// Gives the transformer its tensors from a checkpoint.
struct Translated {
    family: &'static Family,
    names: Names,
    config: Config,
    checkpoint: Checkpoint,
    /// The checkpoint's tensors that were read.
    used: Mutex<BTreeSet<String>>,
    /// Those of the transformer's tensors that others share.
    shared: Mutex<HashMap<String, Tensor>>,
    /// The first error: on its way through Candle it would lose its type.
    error: Mutex<Option<PretrainedError>>,
}

impl Translated {
    fn make(&self, ours: &str, shape: &Shape, dtype: DType) -> Result<Tensor> {
        let Some(recipe) = self.names.0.get(ours) else {
            return Err(self.missing(ours, ours));
        };
        let tensor = match &recipe.source {
            Source::Same(other) => return self.share(other, shape, dtype),
            Source::Constant(value) => Tensor::full(*value, shape, &Device::Cpu)?.to_dtype(dtype)?,
            Source::Tensor { name, rows } => {
                let context = Context::new(&self.config, &self.checkpoint, self.family);
                let Some(found) = context.find(name) else { return Err(self.missing(name, ours)) };
                let tensor = match rows {
                    Some(rows) => self.checkpoint.read_rows_as(&found, rows.clone(), dtype)?,
                    None => self.checkpoint.read_as(&found, dtype)?,
                };
                self.used.lock().unwrap_or_else(PoisonError::into_inner).insert(found);
                tensor
            }
        };
        // A change that does not fit is a shape that does not.
        let found = tensor.dims().to_vec();
        match recipe.finish(tensor) {
            Ok(tensor) if tensor.shape() == shape => Ok(tensor),
            Ok(tensor) => Err(self.misshapen(recipe, tensor.dims().to_vec(), shape)),
            Err(_) => Err(self.misshapen(recipe, found, shape)),
        }
    }

    fn share(&self, ours: &str, shape: &Shape, dtype: DType) -> Result<Tensor> {
        let known = self.shared.lock().unwrap_or_else(PoisonError::into_inner).get(ours).cloned();
        let tensor = match known {
            Some(tensor) => tensor,
            None => {
                let tensor = self.make(ours, shape, dtype)?;
                self.shared
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .insert(ours.to_owned(), tensor.clone());
                tensor
            }
        };
        if tensor.shape() == shape {
            return Ok(tensor);
        }
        let file = self.checkpoint.path().to_owned();
        let (tensor, found) = (ours.to_owned(), tensor.dims().to_vec());
        Err(PretrainedError::Shape { file, tensor, found, expected: shape.dims().to_vec() })
    }

    fn misshapen(&self, recipe: &Recipe, found: Vec<usize>, shape: &Shape) -> PretrainedError {
        let tensor = match &recipe.source {
            Source::Tensor { name, .. } | Source::Same(name) => name.clone(),
            Source::Constant(value) => value.to_string(),
        };
        let file = self.checkpoint.path().to_owned();
        PretrainedError::Shape { file, tensor, found, expected: shape.dims().to_vec() }
    }

    fn missing(&self, name: &str, ours: &str) -> PretrainedError {
        let file = self.checkpoint.path().to_owned();
        PretrainedError::MissingTensor {
            file,
            name: name.to_owned(),
            needed_for: format!("the model's {ours}"),
        }
    }

    /// The error as it was before Candle took it along.
    fn typed(&self, error: PretrainedError) -> PretrainedError {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or(error)
    }

    /// Refuses a checkpoint with tensors that nothing uses and that are not known to be of no use.
    fn check_all_used(&self, config: &ModelConfig) -> Result<()> {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let context = Context::new(&self.config, &self.checkpoint, self.family);
        let mut known: BTreeSet<String> = BTreeSet::new();
        // A head that repeats the embedding it is tied to, or belongs to a body.
        let repeated = ["head.weight", "head.bias", "embed.weight"];
        if config.architecture.tie_embeddings {
            for name in repeated.iter().filter_map(|ours| self.names.0.get(*ours)) {
                if let Source::Tensor { name, .. } = &name.source {
                    known.extend(context.find(name));
                }
            }
        }
        let unused = self.checkpoint.names().filter(|name| {
            !used.contains(*name)
                && !known.contains(*name)
                && !self.family.ignored.iter().any(|pattern| matches(pattern, name))
        });
        let names: Vec<String> = unused.map(str::to_owned).collect();
        if names.is_empty() {
            return Ok(());
        }
        Err(PretrainedError::UnusedTensors { file: self.checkpoint.path().to_owned(), names })
    }
}

/// Whether `name` is what `pattern` says, each `*` in it standing for any text.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = name.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    true
}

/// What the builder owns of it.
struct Backend(Arc<Translated>);

impl SimpleBackend for Backend {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        _: Init,
        dtype: DType,
        _: &Device,
    ) -> candle_core::Result<Tensor> {
        self.0.make(name, &shape, dtype).map_err(|error| {
            let message = error.to_string();
            self.0.error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            candle_core::Error::msg(message)
        })
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> candle_core::Result<Tensor> {
        Err(candle_core::Error::msg(format!("{name}: tensors are asked for with their shape")))
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.0.names.0.contains_key(name)
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_stands_for_any_text() {
        assert!(matches("*.attn.bias", "h.0.attn.bias"));
        assert!(!matches("*.attn.bias", "h.0.attn.bias2"));
        assert!(!matches("*.attn.bias", "h.0.c_attn.bias"));
        assert!(matches("decoder.*", "decoder.block.0"));
        assert!(matches("*pooler.dense.*", "bert.pooler.dense.weight"));
        assert!(matches("a*b*c", "a--b--c") && !matches("a*b*c", "a--c"));
        assert!(matches("exact", "exact") && !matches("exact", "exactly"));
    }
}
