//! From a task's batch to the model and back: tensors in, loss or predictions out.

use attnlab_hooks::{NoHooks, Observer};
use attnlab_model::{Dropout, Transformer};
use attnlab_ops::{self as ops, Rng};
use attnlab_positions::{Places, Sequences};
use attnlab_tasks::{Batch, IGNORE, Labels};
use candle_core::{DType, Device, Tensor};

use crate::config::SetLoss;
use crate::error::Result;
use crate::step::micro_batch_rows;

/// Some rows of a batch as tensors.
pub(crate) struct Feed {
    tokens: Tensor, // (B, T) u32
    targets: Targets,
}

/// Labels as tensors, for the labelled positions only: logits are computed nowhere else.
enum Targets {
    /// `positions` (N) into B·T, `None` when every one is labelled; `classes` (N).
    Classes { positions: Option<Tensor>, classes: Tensor },
    /// `values` (N, C) of 0 and 1.
    Sets { positions: Option<Tensor>, values: Tensor },
}

impl Feed {
    /// Rows `start..start + count` of a batch.
    pub(crate) fn new(batch: &Batch, start: usize, count: usize, device: &Device) -> Result<Self> {
        let span = start * batch.len..(start + count) * batch.len;
        let tokens = Tensor::from_slice(&batch.tokens[span.clone()], (count, batch.len), device)?;
        let targets = match &batch.labels {
            Labels::Classes(classes) => {
                let classes = &classes[span];
                let labelled = indices(classes.iter().map(|&c| c != IGNORE));
                let classes: Vec<u32> = labelled.iter().map(|&i| classes[i as usize]).collect();
                let n = classes.len();
                Targets::Classes {
                    positions: positions(labelled, count * batch.len, device)?,
                    classes: Tensor::from_vec(classes, n, device)?,
                }
            }
            Labels::Sets { classes, values, mask } => {
                let labelled = indices(mask[span.clone()].iter().map(|&m| m != 0.0));
                let values: Vec<f32> = labelled
                    .iter()
                    .flat_map(|&i| {
                        let row = (span.start + i as usize) * classes;
                        values[row..row + classes].iter().copied()
                    })
                    .collect();
                let n = labelled.len();
                Targets::Sets {
                    positions: positions(labelled, count * batch.len, device)?,
                    values: Tensor::from_vec(values, (n, *classes), device)?,
                }
            }
        };
        Ok(Self { tokens, targets })
    }

    /// Logits (N, outputs) at the labelled positions.
    pub(crate) fn logits<O: Observer>(
        &self,
        model: &Transformer,
        places: &Places,
        masks: Option<&Dropout>,
        observer: &mut O,
    ) -> Result<Tensor> {
        let hidden = model.hidden(&self.tokens, places, masks, observer)?; // (B, T, D)
        let (b, t, d) = hidden.dims3()?;
        let hidden = ops::reshape(&hidden, (b * t, d))?;
        let positions = match &self.targets {
            Targets::Classes { positions, .. } | Targets::Sets { positions, .. } => positions,
        };
        match positions {
            Some(positions) => Ok(model.logits(&ops::embedding(positions, &hidden)?)?),
            None => Ok(model.logits(&hidden)?),
        }
    }

    /// Sum of the loss over the labels, a scalar: cross-entropy in nats for classes; for sets the binary cross-entropy
    /// or squared error of each output, averaged over the outputs.
    pub(crate) fn loss(&self, logits: &Tensor, set_loss: SetLoss) -> Result<Tensor> {
        match &self.targets {
            Targets::Classes { classes, .. } => Ok(ops::cross_entropy(logits, classes)?),
            Targets::Sets { values, .. } => {
                let (n, c) = values.dims2()?;
                let all = Tensor::ones(n, logits.dtype(), logits.device())?;
                let values = values.to_dtype(logits.dtype())?;
                let sum = match set_loss {
                    SetLoss::CrossEntropy => ops::binary_cross_entropy(logits, &values, &all)?,
                    SetLoss::SquaredError => ops::squared_error(logits, &values, &all)?,
                };
                Ok((sum / c as f64)?)
            }
        }
    }

    /// What the model says at every position of these rows, as [`Batch::right`] wants it: the likeliest class, or
    /// for sets 1 where the logit is above 0. Positions without a label hold [`IGNORE`] (0 for sets).
    fn predictions(&self, logits: &Tensor) -> Result<Vec<u32>> {
        let all = self.tokens.elem_count();
        let (said, width, positions, nothing) = match &self.targets {
            Targets::Classes { positions, .. } => (logits.argmax(1)?.to_vec1::<u32>()?, 1, positions, IGNORE),
            Targets::Sets { positions, values } => {
                let on = logits.gt(0.0)?.to_dtype(DType::U32)?;
                (on.flatten_all()?.to_vec1::<u32>()?, values.dim(1)?, positions, 0)
            }
        };
        let Some(positions) = positions else { return Ok(said) };
        let mut everywhere = vec![nothing; all * width];
        for (row, position) in positions.to_vec1::<u32>()?.into_iter().enumerate() {
            let to = position as usize * width;
            everywhere[to..to + width].copy_from_slice(&said[row * width..(row + 1) * width]);
        }
        Ok(everywhere)
    }
}

/// Loss summed over the labels, and what the model says at every position, of all rows of a batch, a
/// micro-batch at a time. `rng` is for an encoding that draws positions in evaluation too.
pub(crate) fn judge(
    model: &Transformer,
    batch: &Batch,
    set_loss: SetLoss,
    device: &Device,
    rng: &mut Rng,
) -> Result<(f64, Vec<u32>)> {
    let rows_at_once = micro_batch_rows(model.config(), batch.len);
    let places = model.position().places(&sequences(batch), rng);
    let (mut loss, mut said) = (0.0, Vec::new());
    for start in (0..batch.rows).step_by(rows_at_once) {
        let feed = Feed::new(batch, start, rows_at_once.min(batch.rows - start), device)?;
        let (loss_of_rows, said_of_rows) = ops::without_gradients(|| -> Result<_> {
            let places = places.slice_rows(start, rows_at_once);
            let logits = feed.logits(model, &places, None, &mut NoHooks)?;
            Ok((feed.loss(&logits, set_loss)?, feed.predictions(&logits)?))
        })?;
        loss += f64::from(loss_of_rows.to_dtype(DType::F32)?.to_scalar::<f32>()?);
        said.extend(said_of_rows);
    }
    Ok((loss, said))
}

/// What an encoding may know of a batch.
pub(crate) fn sequences(batch: &Batch) -> Sequences<'_> {
    Sequences { tokens: &batch.tokens, rows: batch.rows, len: batch.len }
}

fn indices(labelled: impl Iterator<Item = bool>) -> Vec<u32> {
    (0..).zip(labelled).filter_map(|(i, labelled)| labelled.then_some(i)).collect()
}

fn positions(labelled: Vec<u32>, all: usize, device: &Device) -> Result<Option<Tensor>> {
    if labelled.len() == all {
        return Ok(None);
    }
    let n = labelled.len();
    Ok(Some(Tensor::from_vec(labelled, n, device)?))
}
