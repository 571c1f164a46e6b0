//! What an architecture's translation asks a GGUF file.

use serde_json::{Map, Value as Json, json};

use super::Gguf;
use super::value::Value;
use crate::error::{PretrainedError, Result, short};

/// A configuration in the making, as `config.json` has it.
pub(super) type Config = Map<String, Json>;

/// A GGUF file as its architecture's translation sees it: keys without the architecture's prefix.
pub(super) struct Facts<'a> {
    pub(super) gguf: &'a Gguf,
    pub(super) arch: &'a str,
}

impl Facts<'_> {
    fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.arch)
    }

    fn missing(&self, key: &str, expected: &str) -> PretrainedError {
        let file = self.gguf.source.path().to_owned();
        PretrainedError::MissingConfig { file, key: self.key(key), expected: expected.to_owned() }
    }

    pub(super) fn unsupported(&self, key: &str, value: impl ToString, supported: &str) -> PretrainedError {
        PretrainedError::Unsupported {
            file: self.gguf.source.path().to_owned(),
            key: self.key(key),
            value: short(&value.to_string()),
            supported: supported.to_owned(),
        }
    }

    /// A size of at least 1.
    pub(super) fn size(&self, key: &str) -> Result<usize> {
        let size = self.gguf.metadata.size(&self.key(key)).filter(|&n| n > 0);
        size.ok_or_else(|| self.missing(key, "a whole number of at least 1"))
    }

    /// A size, or nothing where the key is missing.
    pub(super) fn optional_size(&self, key: &str) -> Result<Option<usize>> {
        match self.gguf.metadata.get(&self.key(key)) {
            None => Ok(None),
            Some(_) => self
                .gguf
                .metadata
                .size(&self.key(key))
                .map(Some)
                .ok_or_else(|| self.missing(key, "a whole number")),
        }
    }

    /// A finite number.
    pub(super) fn number(&self, key: &str) -> Result<f64> {
        self.optional_number(key)?.ok_or_else(|| self.missing(key, "a number"))
    }

    /// A finite number, or nothing where the key is missing.
    pub(super) fn optional_number(&self, key: &str) -> Result<Option<f64>> {
        match self.gguf.metadata.get(&self.key(key)) {
            None => Ok(None),
            Some(_) => {
                let number = self.gguf.metadata.number(&self.key(key)).filter(|x| x.is_finite());
                number.map(Some).ok_or_else(|| self.missing(key, "a finite number"))
            }
        }
    }

    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>> {
        match self.gguf.metadata.get(&self.key(key)) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(_) => Err(self.missing(key, "a boolean")),
        }
    }

    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.gguf.metadata.text(&self.key(key))
    }

    /// Whether a tensor of this name is in the file.
    pub(super) fn has(&self, tensor: &str) -> bool {
        self.gguf.tensors.contains_key(tensor)
    }

    /// The rows of a tensor that every model of the architecture has.
    pub(super) fn rows(&self, tensor: &str, needed_for: &str) -> Result<usize> {
        let info = self.gguf.tensors.get(tensor).map(|(info, _)| info);
        info.and_then(|info| info.shape.first().copied()).ok_or_else(|| PretrainedError::MissingTensor {
            file: self.gguf.source.path().to_owned(),
            name: tensor.to_owned(),
            needed_for: needed_for.to_owned(),
        })
    }

    /// A short tensor's numbers, such as factors of rotation.
    pub(super) fn numbers(&self, tensor: &str) -> Result<Option<Vec<f32>>> {
        let Some((info, place)) = self.gguf.tensors.get(tensor) else { return Ok(None) };
        let rows = info.shape.first().copied().unwrap_or(1);
        Ok(Some(place.read::<f32>(&self.gguf.source, info, 0..rows)?.flatten_all()?.to_vec1()?))
    }

    pub(super) fn heads(&self) -> Result<usize> {
        self.size("attention.head_count")
    }

    /// Key/value heads; as many as query heads where the file does not say.
    pub(super) fn kv_heads(&self) -> Result<usize> {
        match self.optional_size("attention.head_count_kv")? {
            Some(0) => Err(self.missing("attention.head_count_kv", "a whole number of at least 1")),
            Some(n) => Ok(n),
            None => self.heads(),
        }
    }

    /// A head's width.
    pub(super) fn head_dim(&self) -> Result<usize> {
        let width = match self.optional_size("attention.key_length")? {
            Some(width) => width,
            None => self.size("embedding_length")? / self.heads()?,
        };
        if let Some(value) = self.optional_size("attention.value_length")?.filter(|&value| value != width) {
            return Err(self.unsupported(
                "attention.value_length",
                value,
                "the same as attention.key_length",
            ));
        }
        Ok(width)
    }

    /// The part of a head that rotates.
    pub(super) fn rotating(&self) -> Result<f64> {
        let (width, rotating) = (self.head_dim()?, self.optional_size("rope.dimension_count")?);
        #[expect(clippy::cast_precision_loss, reason = "a head is not wide")]
        Ok(rotating.map_or(1.0, |rotating| rotating as f64 / width as f64))
    }

    /// Whether the output embedding is the input embedding.
    pub(super) fn tied(&self) -> bool {
        !self.has("output.weight")
    }

    /// The keys that nearly all decoders of transformers share, for this model type.
    pub(super) fn decoder(&self, model_type: &str, class: &str) -> Result<Config> {
        Ok(object(json!({
            "architectures": [class],
            "model_type": model_type,
            "vocab_size": self.rows("token_embd.weight", "the embedding of tokens")?,
            "hidden_size": self.size("embedding_length")?,
            "intermediate_size": self.size("feed_forward_length")?,
            "num_hidden_layers": self.size("block_count")?,
            "num_attention_heads": self.heads()?,
            "num_key_value_heads": self.kv_heads()?,
            "head_dim": self.head_dim()?,
            "max_position_embeddings": self.size("context_length")?,
            "tie_word_embeddings": self.tied(),
        })))
    }

    /// Adds the base and the scaling of the rotation.
    pub(super) fn rotation(&self, config: &mut Config) -> Result<()> {
        config.insert(
            "rope_theta".to_owned(),
            json!(self.optional_number("rope.freq_base")?.unwrap_or(10_000.0)),
        );
        let scaling = super::rope::scaling(self)?;
        config.insert("rope_scaling".to_owned(), scaling);
        Ok(())
    }
}

/// A JSON object's entries.
pub(super) fn object(value: Json) -> Config {
    match value {
        Json::Object(map) => map,
        _ => Map::new(),
    }
}

/// Adds entries to a configuration.
pub(super) fn add(config: &mut Config, more: Json) {
    config.extend(object(more));
}
