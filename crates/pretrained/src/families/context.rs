//! What a family may look at: the configuration and the names in the checkpoint.

use attnlab_model::{Architecture, Details, Mask, ModelConfig};
use attnlab_positions::PositionConfig;

use super::Family;
use crate::config::Config;
use crate::error::{PretrainedError, Result};
use crate::tensors::{Checkpoint, TensorInfo};

/// The configuration and the checkpoint that a family translates.
pub struct Context<'a> {
    /// The configuration.
    pub config: &'a Config,
    checkpoint: &'a Checkpoint,
    family: &'a Family,
}

impl<'a> Context<'a> {
    pub(crate) fn new(config: &'a Config, checkpoint: &'a Checkpoint, family: &'a Family) -> Self {
        Self { config, checkpoint, family }
    }

    /// The checkpoint's name for the tensor that the family calls `name`: with or without the body's prefix, and with
    /// the old names of a norm's parameters.
    pub fn find(&self, name: &str) -> Option<String> {
        let prefix = self.family.prefix;
        let mut candidates = vec![name.to_owned()];
        match name.strip_prefix(prefix) {
            Some(bare) if !prefix.is_empty() => candidates.push(bare.to_owned()),
            // A head's file may hold its body under a prefix that the family does not give it.
            _ => candidates.push(format!("{prefix}{name}")),
        }
        for (new, old) in [(".weight", ".gamma"), (".bias", ".beta")] {
            let old: Vec<String> = candidates
                .iter()
                .filter_map(|name| Some(format!("{}{old}", name.strip_suffix(new)?)))
                .collect();
            candidates.extend(old);
        }
        candidates.into_iter().find(|name| self.checkpoint.info(name).is_some())
    }

    /// Whether the checkpoint has the tensor that the family calls `name`.
    pub fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// Its shape and type.
    pub fn info(&self, name: &str) -> Option<&TensorInfo> {
        self.checkpoint.info(&self.find(name)?)
    }

    /// The same checkpoint with another configuration.
    pub fn with<'b>(&'b self, config: &'b Config) -> Context<'b> {
        Context { config, ..*self }
    }

    /// Refuses a checkpoint without this tensor.
    pub fn need(&self, name: &str, needed_for: &str) -> Result<()> {
        if self.has(name) {
            return Ok(());
        }
        Err(PretrainedError::MissingTensor {
            file: self.checkpoint.path().to_owned(),
            name: name.to_owned(),
            needed_for: needed_for.to_owned(),
        })
    }

    /// Refuses a checkpoint without this tensor or with another shape of it. A tensor that is taken apart needs this:
    /// nothing else would notice a part too many.
    pub fn need_shape(&self, name: &str, needed_for: &str, expected: &[usize]) -> Result<()> {
        self.need(name, needed_for)?;
        match self.info(name) {
            Some(info) if info.shape != expected => Err(PretrainedError::Shape {
                file: self.checkpoint.path().to_owned(),
                tensor: name.to_owned(),
                found: info.shape.clone(),
                expected: expected.to_owned(),
            }),
            _ => Ok(()),
        }
    }

    /// The number of rows of a table, 0 if it is not there.
    pub fn rows(&self, name: &str) -> usize {
        self.info(name).and_then(|info| info.shape.first().copied()).unwrap_or(0)
    }

    /// The number of blocks, each of which needs tensors of its own.
    pub fn layers(&self, keys: &str) -> Result<usize> {
        let layers = self.config.count(keys)?;
        let tensors = self.checkpoint.names().count();
        if layers > tensors {
            let found = format!("{tensors} tensors");
            let expected = format!("some for each of {layers} blocks, as `{keys}` says");
            return Err(PretrainedError::corrupt(self.checkpoint.path(), "the tensors", found, expected));
        }
        Ok(layers)
    }

    /// The width of one of `heads` heads that share `width`.
    pub fn head_width(&self, width: usize, heads: usize) -> Result<usize> {
        if heads != 0 && width.is_multiple_of(heads) {
            return Ok(width / heads);
        }
        let (file, key) = (self.config.file().to_owned(), "the number of heads".to_owned());
        Err(PretrainedError::MissingConfig {
            file,
            key,
            expected: format!("a divisor of the width {width}, found {heads}"),
        })
    }

    /// Whether the configuration names a class without head (`GPT2Model`, unlike `GPT2LMHeadModel`).
    pub fn is_body(&self) -> bool {
        let classes = self.config.maybe_texts("architectures").ok().flatten().unwrap_or_default();
        classes.iter().any(|class| class.ends_with("Model") && !class.contains("Head"))
    }

    /// How many outputs a language model's head has, and whether it shares the embedding.
    ///
    /// `head` and `embedding` are the family's names of both weights, `default` what the family assumes where the
    /// configuration says nothing of tying. A body has no outputs. Where both weights are in the file and differ, the
    /// head's own is used, as transformers does.
    ///
    /// # Errors
    /// There is no head where there should be one.
    pub fn head(&self, vocab: usize, head: &str, embedding: &str, default: bool) -> Result<(usize, bool)> {
        let tied = self.config.flag_or("tie_word_embeddings", default)?;
        match (self.find(head), self.find(embedding)) {
            (Some(head), Some(embedding)) => Ok((vocab, tied && self.equal(&head, &embedding)?)),
            (Some(_), None) => Ok((vocab, tied)),
            (None, _) if tied && !self.is_body() => Ok((vocab, true)),
            (None, _) if self.is_body() => Ok((0, false)),
            (None, _) => Err(PretrainedError::MissingTensor {
                file: self.checkpoint.path().to_owned(),
                name: head.to_owned(),
                needed_for: "the head: the configuration does not tie it to the embedding".to_owned(),
            }),
        }
    }

    /// Whether two matrices hold the same numbers; compared in parts, so that neither is held whole.
    fn equal(&self, a: &str, b: &str) -> Result<bool> {
        let rows = |name: &str| self.checkpoint.info(name).map(|info| info.shape.clone()).unwrap_or_default();
        let (shape, other) = (rows(a), rows(b));
        if shape != other || shape.is_empty() {
            return Ok(false);
        }
        let step = 4096;
        for start in (0..shape[0]).step_by(step) {
            let range = start..shape[0].min(start + step);
            let a = self.checkpoint.read_rows(a, range.clone())?.flatten_all()?.to_vec1::<f32>()?;
            let b = self.checkpoint.read_rows(b, range)?.flatten_all()?.to_vec1::<f32>()?;
            if a != b {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// A model of these parts with no details.
    pub fn model(
        &self,
        (vocab_size, n_outputs, max_len): (usize, usize, usize),
        mask: Mask,
        position: PositionConfig,
        architecture: Architecture,
    ) -> ModelConfig {
        ModelConfig {
            vocab_size,
            n_outputs,
            max_len,
            mask,
            position,
            architecture,
            details: Details::default(),
        }
    }
}
