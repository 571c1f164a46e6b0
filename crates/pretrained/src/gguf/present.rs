//! A GGUF file as the Hugging Face folder it was made from: the configuration, and the tensors by their names.

use serde_json::{Map, Value as Json, json};

use super::Gguf;
use super::arch::{ALL, Arch, Form};
use super::facts::{Facts, add};
use crate::error::{PretrainedError, Result, short};
use crate::tensors::{Checkpoint, Order, Place, TensorInfo, Tensors};

/// Experts or heads in one tensor; the largest models have 512.
const MOST_STACKED: usize = 4096;

impl Gguf {
    /// The configuration as a `config.json` would have it, and the tensors under Hugging Face's names and in its
    /// layout. Nothing is read yet but what the configuration needs.
    ///
    /// # Errors
    /// The architecture is not known, a key is missing or not supported, or a tensor is not one of the architecture's.
    pub fn as_hugging_face(self) -> Result<(Map<String, Json>, Checkpoint)> {
        let name = self.metadata.text("general.architecture").unwrap_or_default().to_owned();
        let Some(arch) = ALL.iter().find(|arch| arch.name == name) else {
            let known: Vec<_> = ALL.iter().map(|arch| arch.name).collect();
            return Err(PretrainedError::UnknownFamily { model_type: short(&name), known: known.join(", ") });
        };
        let facts = Facts { gguf: &self, arch: arch.name };
        if let Some(parts) = self.metadata.size("split.count").filter(|&n| n > 1) {
            let found = format!("one of {parts} parts");
            let remedy = "merge them: `llama-gguf-split --merge FIRST.gguf WHOLE.gguf`".to_owned();
            return Err(PretrainedError::Format { file: self.source.path().to_owned(), found, remedy });
        }
        let mut config = (arch.config)(&facts)?;
        for (key, name) in [
            ("bos_token_id", "bos_token_id"),
            ("eos_token_id", "eos_token_id"),
            ("padding_token_id", "pad_token_id"),
        ] {
            if let Some(id) = self.metadata.size(&format!("tokenizer.ggml.{key}")) {
                add(&mut config, json!({name: id}));
            }
        }
        let tensors = rename(arch, &facts)?;
        Ok((config, Checkpoint::of_gguf(self.source, tensors)))
    }
}

/// The tensors under their new names.
fn rename(arch: &Arch, facts: &Facts) -> Result<Tensors> {
    let file = facts.gguf.source.path();
    let mut renamed = Tensors::new();
    let mut unused = Vec::new();
    for (name, (info, place)) in &facts.gguf.tensors {
        let Some(parts) = Parts::of(name) else {
            unused.push(name.clone());
            continue;
        };
        // The first row counts: an architecture's own come before those it shares.
        let row = arch.tensors.iter().copied().flatten().find(|(stored, _, _)| *stored == parts.stem);
        let Some(&(_, ours, form)) = row else {
            unused.push(name.clone());
            continue;
        };
        let named = |expert: Option<usize>| {
            let mut ours = ours.to_owned();
            if let Some(layer) = parts.layer {
                ours = ours.replace("{}", &layer.to_string());
            }
            if let Some(expert) = expert.or(parts.expert) {
                ours = ours.replace("{e}", &expert.to_string());
            }
            format!("{ours}.{}", parts.suffix)
        };
        // A layer's name on a tensor outside the layers, or the other way round.
        if form != Form::InConfig && ours.contains("{}") != parts.layer.is_some() {
            unused.push(name.clone());
            continue;
        }
        let mut insert =
            |ours: String, info: TensorInfo, place: Place| match renamed.insert(ours, (info, place)) {
                None => Ok(()),
                Some(_) => {
                    let place = format!("tensor `{}`", short(name));
                    Err(PretrainedError::corrupt(file, place, "it under two names", "every tensor once"))
                }
            };
        let (mut info, mut place) = (info.clone(), place.clone());
        let rows = info.shape.first().copied().unwrap_or(1);
        let mut ordered = |order: Order| {
            if order.fits(rows) {
                place.order = order;
                return Ok(());
            }
            let found = format!("{rows} rows");
            Err(PretrainedError::corrupt(file, format!("tensor `{}`", short(name)), found, order.to_string()))
        };
        match form {
            Form::Same => {}
            Form::QueryPairs => ordered(Order::Pairs { heads: facts.heads()? })?,
            Form::KeyPairs => ordered(Order::Pairs { heads: facts.kv_heads()? })?,
            Form::Apart => {
                let (heads, groups) = (facts.heads()?, facts.kv_heads()?);
                // No queries, which fits nothing, where the heads cannot be shared out.
                let queries = if heads.is_multiple_of(groups) { heads / groups } else { 0 };
                ordered(Order::Apart { groups, queries })?;
            }
            Form::Transposed if info.shape.len() == 2 => {
                info.shape.reverse();
                place.transposed = true;
            }
            Form::Transposed => {}
            Form::PlusOne => place.added = 1.0,
            Form::InConfig => continue,
            Form::Stacked => {
                if info.shape.len() < 2 || rows > MOST_STACKED {
                    let expected = format!("at most {MOST_STACKED} tensors in one");
                    let place = format!("tensor `{}`", short(name));
                    return Err(PretrainedError::corrupt(
                        file,
                        place,
                        format!("the shape {:?}", info.shape),
                        expected,
                    ));
                }
                let shape = info.shape.split_off(1);
                let numbers: usize = shape.iter().product();
                let (block, size) = info.stored.block().unwrap_or((1, 0));
                for i in 0..rows {
                    let mut place = place.clone();
                    // Whole blocks, of which every innermost row has some.
                    place.offset += (i * (numbers / block) * size) as u64;
                    insert(
                        named(Some(i)),
                        TensorInfo { shape: shape.clone(), stored: info.stored.clone() },
                        place,
                    )?;
                }
                continue;
            }
        }
        insert(named(None), info, place)?;
    }
    if unused.is_empty() {
        Ok(renamed)
    } else {
        Err(PretrainedError::UnusedTensors { file: file.to_owned(), names: unused })
    }
}

/// A stored name in parts: `blk.3.ffn_gate.7.weight` is layer 3, stem `ffn_gate.{e}`, expert 7, suffix `weight`.
struct Parts<'a> {
    layer: Option<usize>,
    expert: Option<usize>,
    stem: String,
    suffix: &'a str,
}

impl<'a> Parts<'a> {
    fn of(name: &'a str) -> Option<Self> {
        let (rest, suffix) =
            name.rsplit_once('.').filter(|(_, suffix)| matches!(*suffix, "weight" | "bias"))?;
        let (layer, rest) = match rest.strip_prefix("blk.") {
            Some(rest) => {
                let (layer, rest) = rest.split_once('.')?;
                (Some(canonical(layer)?), rest)
            }
            None => (None, rest),
        };
        Some(match rest.rsplit_once('.') {
            Some((stem, expert)) => {
                Self { layer, expert: Some(canonical(expert)?), stem: format!("{stem}.{{e}}"), suffix }
            }
            None => Self { layer, expert: None, stem: rest.to_owned(), suffix },
        })
    }
}

/// A number that is written as it would be printed: `03` and `3` must not become one name.
fn canonical(text: &str) -> Option<usize> {
    text.parse().ok().filter(|n: &usize| n.to_string() == text)
}
