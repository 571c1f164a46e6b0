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
mod watch;

use crate::fused::{Fused, Kept, Sinks, View, apply, computed, records_gradients, takes_any_inputs, views};
use crate::host::{Host, by_dtype, is_fusable, with_rows};
use crate::real::Real;
use crate::threads::Team;
use crate::{OpsError, Result, composed, memory};
use backward::{Targets, backward};
use bias::BiasValues;
use candle_core::{Shape, Tensor};
use forward::forward;
use operands::{NullLogit, Operands};
use scratch::with_scratch;
use watch::{Nobody, Somebody, Watch};

pub use dropout::AttentionDropout;
pub(crate) use extras::check;
pub use extras::{DistanceBias, Extras, Null};
pub use spec::AttentionSpec;
pub use watch::{WatchRows, WatchedRow, WatchedScores, watch_pattern};

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
    let tables = tables_of(extras, q)?;
    let (q, k, v) = (with_rows(q)?, with_rows(k)?, with_rows(v)?);
    let mut inputs = vec![&q, &k, &v];
    if learned {
        inputs.extend(&tables);
    }
    let constants = if learned { Vec::new() } else { tables.clone() };
    apply(Attention::new(extras, spec, constants), &inputs)
}

/// [`attention`], to the same bits, that shows every row of the pattern while it is in memory.
///
/// The result has no gradients, and where some are recorded this is an error: a watcher belongs into evaluation
/// ([`crate::without_gradients`]). Where the kernel does not run the pattern is computed whole.
pub fn attention_watched(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    extras: &Extras<'_>,
    spec: &AttentionSpec,
    watch: &dyn WatchRows,
) -> Result<Tensor> {
    check(q, k, v, extras, spec)?;
    if records_gradients(&[q, k, v]) {
        return Err(OpsError::Value {
            op: "attention_watched",
            argument: "q, k, v",
            found: "part of a graph of gradients".into(),
            expected: "constants; run it inside `without_gradients`".into(),
        }
        .into());
    }
    if !is_fusable(q) {
        let scores = composed::scores(q, k, extras, spec)?;
        let pattern = composed::pattern(&scores, extras.null)?;
        watch_pattern(&pattern, Some(WatchedScores { scores: &scores, null: extras.null }), spec, watch)?;
        return composed::weighted_values(&composed::dropped(&pattern, extras.dropout)?, v);
    }
    let op = Attention::new(extras, spec, tables_of(extras, q)?);
    let (q, k, v) = (with_rows(q)?, with_rows(k)?, with_rows(v)?);
    let hosts = [Host::new(&q), Host::new(&k), Host::new(&v)];
    by_dtype!("attention_watched", q.dtype(), T => {
        let (y, shape, _) = op.compute::<T>(&views(&hosts)?, false, &Somebody(watch))?;
        computed(y, shape, q.device(), false)
    })
}

/// The bias and the logits of the null option, where there are any, as the kernels read them.
fn tables_of(extras: &Extras<'_>, q: &Tensor) -> Result<Vec<Tensor>> {
    let logits = match extras.null {
        Some(Null::Learned(logits)) => Some(logits),
        _ => None,
    };
    let tables = [extras.bias.map(|bias| &bias.values), logits];
    tables.into_iter().flatten().map(|table| table.to_dtype(q.dtype())?.contiguous()).collect()
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
    fn new(extras: &Extras<'_>, spec: &AttentionSpec, constants: Vec<Tensor>) -> Self {
        Self {
            spec: *spec,
            bias: extras.bias.map(|bias| bias.first),
            null: extras.null.map(|null| matches!(null, Null::Learned(_))),
            dropout: extras.dropout.filter(|dropout| dropout.p > 0.0),
            constants,
            log_sums: Kept::default(),
        }
    }

    /// The output and, if they are to be kept, the logarithms of the normalisers.
    fn compute<T: Real>(
        &self,
        inputs: &[View<'_, T>],
        keep: bool,
        watch: &impl Watch,
    ) -> Result<(Vec<T>, Shape, Vec<T>)> {
        let shape = inputs[0].shape();
        let (b, tq, h, d) = shape.dims4()?;
        let mut out = memory::take(shape.elem_count());
        let mut log_sums = memory::take(if keep { b * h * tq } else { 0 });
        self.with_operands(inputs, |operands| {
            let team = Team::of_forward(keep, b * tq * h * d * operands.tk);
            forward(operands, &mut out, keep.then_some(&mut log_sums), watch, &team);
        })?;
        Ok((out, shape.clone(), log_sums))
    }

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
        let (out, shape, log_sums) = self.compute(inputs, keep, &Nobody)?;
        if keep {
            self.log_sums.set(log_sums);
        }
        Ok((out, shape))
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
