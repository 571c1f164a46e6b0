//! Scaled dot-product attention (Vaswani et al., 2017) that never holds the pattern.
//!
//! ```text
//! s_ij = cap(scale · q_i · k_j) + bias[h, i − j]      for the keys j visible to query i; cap x = x, or c tanh(x/c)
//! p_ij = exp(s_ij) / (Σ_j exp(s_ij) + exp(null_h))    the last term if there is a null option
//! o_i  = Σ_j m_ij p_ij v_j / (1 − p)                  m from dropout, or 1 and p = 0
//! ```
//!
//! The kernels cut everything into blocks of eight queries or sixteen keys by sixteen ([`block`]): operands are packed
//! into blocks once a head ([`pack`]), and a block that no query of it sees is never computed ([`sight`]).

mod backward;
mod bias;
mod block;
mod careful;
mod dropout;
mod extras;
mod forward;
mod operands;
mod pack;
mod scratch;
mod sight;
mod spec;

use crate::fused::{Fused, Kept, Sinks, View, apply, records_gradients, takes_any_inputs, views};
use crate::host::{Host, is_fusable, with_rows};
use crate::real::Real;
use crate::{Result, composed, memory};
use backward::{Targets, backward};
use bias::BiasValues;
use candle_core::{Shape, Tensor};
use forward::forward;
use operands::{NullLogit, Operands};
use scratch::with_scratch;

pub use dropout::AttentionDropout;
pub(crate) use extras::check;
pub use extras::{DistanceBias, Extras, Null};
pub use spec::AttentionSpec;

/// Attention: `(B, Tq, H, K)` from q `(B, Tq, H, K)` and k, v `(B, Tk, G, K)`.
///
/// Query head h reads key/value head ⌊h / (H/G)⌋. A query without any visible key gives zeros.
/// Operands may be views of a wider tensor as long as the last dimension is contiguous.
///
/// The bias and the logits of a null option get their gradients too. Candle's autograd has no room for them beside q,
/// k and v: outside a [`crate::Tape`] the [`composed`] form runs instead, which holds the scores. So it does where
/// gradients are recorded and scores are capped.
///
/// A NaN or an infinity comes out in every row that sees it and in no other; the composed form lets those of v reach
/// every row.
pub fn attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    extras: &Extras<'_>,
    spec: &AttentionSpec,
) -> Result<Tensor> {
    check(q, k, v, extras, spec)?;
    let logits = match extras.null {
        Some(Null::Learned(logits)) => Some(logits),
        _ => None,
    };
    let tables = [extras.bias.map(|bias| &bias.values), logits];
    let learned = tables.iter().flatten().any(|table| table.track_op());
    // The kernels know no slope of the cap.
    let bent = spec.softcap.is_some() && records_gradients(&[q, k, v]);
    if !is_fusable(q) || bent || learned && !takes_any_inputs() {
        return composed::attention(q, k, v, extras, spec);
    }
    let table = |table: &Tensor| table.to_dtype(q.dtype())?.contiguous();
    let tables = tables.into_iter().flatten().map(table).collect::<Result<Vec<_>>>()?;
    let (q, k, v) = (with_rows(q)?, with_rows(k)?, with_rows(v)?);
    let mut inputs = vec![&q, &k, &v];
    if learned {
        inputs.extend(&tables);
    }
    let op = Attention {
        spec: *spec,
        bias: extras.bias.map(|bias| bias.first),
        null: extras.null.map(|_| logits.is_some()),
        dropout: extras.dropout.filter(|dropout| dropout.p > 0.0),
        constants: if learned { Vec::new() } else { tables.clone() },
        log_sums: Kept::default(),
    };
    apply(op, &inputs)
}

/// Inputs are q, k, v and then, if one of them is learned, the bias and the logits of the null option.
struct Attention {
    spec: AttentionSpec,
    /// The distance of the bias's first value.
    bias: Option<i64>,
    /// Whether the null option has logits.
    null: Option<bool>,
    dropout: Option<AttentionDropout>,
    /// The bias and the logits, if none of them is learned.
    constants: Vec<Tensor>,
    /// The logarithms of the rows' normalisers, `(B, H, Tq)`.
    log_sums: Kept,
}

impl Attention {
    /// Calls `f` with everything the kernels need to know.
    fn with_operands<T: Real, R>(
        &self,
        inputs: &[View<'_, T>],
        f: impl FnOnce(&Operands<'_, T>) -> R,
    ) -> Result<R> {
        let [q, k, v, learned @ ..] = inputs else {
            return Err(candle_core::Error::msg("attention: an input is missing"));
        };
        let (b, tq, h, d) = q.shape().dims4()?;
        let (_, tk, g, _) = k.shape().dims4()?;
        let hosts: Vec<Host<'_>> = self.constants.iter().map(Host::new).collect();
        let constants = views::<T>(&hosts)?;
        let mut tables = learned.iter().chain(&constants).map(View::contiguous);
        let bias = match self.bias {
            Some(first) => tables.next().transpose()?.map(|values| BiasValues { values, first }),
            None => None,
        };
        let null = match self.null {
            None => NullLogit::None,
            Some(false) => NullLogit::Zero,
            Some(true) => NullLogit::Learned(tables.next().transpose()?.unwrap_or_default()),
        };
        let (q, k, v) = (q.rows4()?, k.rows4()?, v.rows4()?);
        let (spec, dropout) = (self.spec, self.dropout);
        Ok(f(&Operands { b, h, g, tq, tk, d, q, k, v, bias, null, dropout, spec }))
    }
}

impl Fused for Attention {
    const READS_OUTPUT: bool = true;

    fn name(&self) -> &'static str {
        "attention"
    }

    fn forward<T: Real>(&self, inputs: &[View<'_, T>], keep: bool) -> Result<(Vec<T>, Shape)> {
        let shape = inputs[0].shape();
        let (b, tq, h, _) = shape.dims4()?;
        let mut out = memory::take(shape.elem_count());
        let mut log_sums = memory::take(if keep { b * h * tq } else { 0 });
        self.with_operands(inputs, |operands| {
            with_scratch(|scratch| forward(operands, &mut out, keep.then_some(&mut log_sums), scratch));
        })?;
        if keep {
            self.log_sums.set(log_sums);
        }
        Ok((out, shape.clone()))
    }

    fn backward<T: Real>(
        &self,
        inputs: &[View<'_, T>],
        out: &[T],
        grad: &mut [T],
        sinks: &mut Sinks<'_, T>,
    ) -> Result<()> {
        let log_sums = self.log_sums.get(self.name())?;
        let mut sinks = sinks.iter_mut().map(Option::take);
        let mut next = || sinks.next().flatten();
        let [q, k, v] = [(); 3].map(|()| next().map(|sink| sink.open()));
        let bias = if self.bias.is_some() { next() } else { None };
        let null = if self.null == Some(true) { next() } else { None };
        let (bias, null) = (bias.map(|sink| sink.summed()), null.map(|sink| sink.summed()));
        let targets = Targets { q, k, v, bias, null };
        self.with_operands(inputs, |operands| {
            with_scratch(|scratch| backward(operands, out, grad, log_sums, targets, scratch));
        })
    }
}
