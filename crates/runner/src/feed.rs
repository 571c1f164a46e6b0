//! From a task's batch to the model and back: tensors in, loss or predictions out.

use attnlab_hooks::NoHooks;
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

    /// What the model makes of the tokens, (B, T, D).
    pub(crate) fn hidden(
        &self,
        model: &Transformer,
        places: &Places,
        masks: Option<&Dropout>,
    ) -> Result<Tensor> {
        Ok(model.hidden(&self.tokens, places, masks, &mut NoHooks)?)
    }

    /// The same as something given: no gradient goes back through it.
    pub(crate) fn features(
        &self,
        model: &Transformer,
        places: &Places,
        masks: Option<&Dropout>,
    ) -> Result<Tensor> {
        let hidden = ops::without_gradients(|| self.hidden(model, places, masks))?;
        #[expect(clippy::disallowed_methods, reason = "nothing behind it is to learn")]
        Ok(hidden.detach())
    }

    /// Logits (N, outputs) at the labelled positions of hidden states (B, T, D).
    pub(crate) fn logits(&self, model: &Transformer, hidden: &Tensor) -> Result<Tensor> {
        let (b, t, d) = hidden.dims3()?;
        let hidden = ops::reshape(hidden, (b * t, d))?;
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
        Ok(spread(said, width, positions.as_ref(), nothing, all)?)
    }

    /// The loss of each position of these rows, 0 where it has no label: what [`Feed::loss`] sums, in f64.
    fn losses(&self, logits: &Tensor, set_loss: SetLoss) -> Result<Vec<f64>> {
        let logits = logits.to_dtype(DType::F64)?.to_vec2::<f64>()?;
        let (losses, positions): (Vec<f64>, _) = match &self.targets {
            Targets::Classes { positions, classes } => {
                let classes = classes.to_vec1::<u32>()?;
                (
                    logits.iter().zip(classes).map(|(z, class)| surprisal(z, class as usize)).collect(),
                    positions,
                )
            }
            Targets::Sets { positions, values } => {
                let values = values.to_dtype(DType::F64)?.to_vec2::<f64>()?;
                (logits.iter().zip(&values).map(|(z, set)| set_loss.of(z, set)).collect(), positions)
            }
        };
        Ok(spread(losses, 1, positions.as_ref(), 0.0, self.tokens.elem_count())?)
    }
}

/// −log softmax(z)[class].
fn surprisal(z: &[f64], class: usize) -> f64 {
    let most = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = z.iter().map(|z| (z - most).exp()).sum();
    most + sum.ln() - z.get(class).copied().unwrap_or(f64::NAN)
}

impl SetLoss {
    /// The loss of a set with these logits, averaged over the outputs.
    fn of(self, logits: &[f64], set: &[f64]) -> f64 {
        let of_output = |(&z, &y): (&f64, &f64)| match self {
            // −y log σ(z) − (1 − y) log(1 − σ(z)), without overflow.
            Self::CrossEntropy => z.max(0.0) - z * y + (-z.abs()).exp().ln_1p(),
            Self::SquaredError => (1.0 / (1.0 + (-z).exp()) - y).powi(2),
        };
        logits.iter().zip(set).map(of_output).sum::<f64>() / logits.len().max(1) as f64
    }
}

/// Values of the labelled positions, `width` each, among `nothing` for the others; as they are if all are labelled.
fn spread<T: Copy>(
    values: Vec<T>,
    width: usize,
    positions: Option<&Tensor>,
    nothing: T,
    all: usize,
) -> candle_core::Result<Vec<T>> {
    let Some(positions) = positions else { return Ok(values) };
    let mut everywhere = vec![nothing; all * width];
    for (row, position) in positions.to_vec1::<u32>()?.into_iter().enumerate() {
        let to = position as usize * width;
        everywhere[to..to + width].copy_from_slice(&values[row * width..(row + 1) * width]);
    }
    Ok(everywhere)
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
    let (mut loss, mut said) = (0.0, Vec::new());
    each_feed(model, batch, device, rng, |feed, logits| {
        let of_rows = feed.loss(logits, set_loss)?;
        loss += f64::from(of_rows.to_dtype(DType::F32)?.to_scalar::<f32>()?);
        said.extend(feed.predictions(logits)?);
        Ok(())
    })?;
    Ok((loss, said))
}

/// The loss of every position (rows, len), 0 where it has no label, and what the model says there.
pub(crate) fn judge_each(
    model: &Transformer,
    batch: &Batch,
    set_loss: SetLoss,
    device: &Device,
    rng: &mut Rng,
) -> Result<(Vec<f64>, Vec<u32>)> {
    let (mut losses, mut said) = (Vec::new(), Vec::new());
    each_feed(model, batch, device, rng, |feed, logits| {
        losses.extend(feed.losses(logits, set_loss)?);
        said.extend(feed.predictions(logits)?);
        Ok(())
    })?;
    Ok((losses, said))
}

/// Shows the logits of all rows, a micro-batch at a time.
fn each_feed(
    model: &Transformer,
    batch: &Batch,
    device: &Device,
    rng: &mut Rng,
    mut see: impl FnMut(&Feed, &Tensor) -> Result<()>,
) -> Result<()> {
    let rows_at_once = micro_batch_rows(model.config(), batch.len);
    let places = model.position().places(&sequences(batch), rng);
    for start in (0..batch.rows).step_by(rows_at_once) {
        let feed = Feed::new(batch, start, rows_at_once.min(batch.rows - start), device)?;
        let places = places.slice_rows(start, rows_at_once);
        ops::without_gradients(|| see(&feed, &feed.logits(model, &feed.hidden(model, &places, None)?)?))?;
    }
    Ok(())
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
