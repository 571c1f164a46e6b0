//! Scaled dot-product attention (Vaswani et al., 2017) that never holds the pattern.
//!
//! ```text
//! s_ij = scale · q_i · k_j + bias[h, i − j]      for the keys j visible to query i
//! p_i  = softmax(s_i)
//! o_i  = Σ_j p_ij v_j
//! ```

mod backward;
mod forward;
mod tile;

use crate::host::{Host, Rows4, by_dtype, is_fusable, with_rows};
use crate::real::Real;
use crate::{OpsError, Result, composed};
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp3, Device, Layout, Shape, Tensor, WithDType};
use std::sync::OnceLock;
use tile::Heads;

/// A bias on the score that depends on the distance only (ALiBi, T5, Kerple).
#[derive(Clone, Debug)]
pub struct DistanceBias {
    /// `(H, N)`: one value a head and distance.
    pub values: Tensor,
    /// The distance i − j of the first column.
    pub first: i64,
}

/// Which keys a query sees, and the scale of the scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttentionSpec {
    /// The factor on q · k, usually 1/√K.
    pub scale: f64,
    /// Key j is visible to query row i iff j ≤ i + (Tk − Tq): the last query sees every key.
    pub causal: bool,
    /// Only distances below the window: i − j < w, and |i − j| < w when not causal.
    pub window: Option<usize>,
}

impl AttentionSpec {
    /// The visible keys `begin..end` of query row `row`; empty ranges have `begin == end`.
    pub fn visible(&self, row: usize, tq: usize, tk: usize) -> (usize, usize) {
        let last = tk as i64;
        let i = row as i64 + last - tq as i64;
        let window = self.window.map(|w| i64::try_from(w).unwrap_or(i64::MAX));
        let mut begin = 0;
        let mut end = if self.causal { i + 1 } else { last };
        if let Some(w) = window {
            begin = i.saturating_sub(w).saturating_add(1);
            if !self.causal {
                end = i.saturating_add(w);
            }
        }
        let begin = begin.clamp(0, last);
        let end = end.clamp(begin, last);
        (begin as usize, end as usize)
    }
}

impl DistanceBias {
    /// Checks that the table has a value for every visible distance.
    pub(crate) fn check(&self, h: usize, tq: usize, tk: usize, spec: &AttentionSpec) -> Result<()> {
        let (heads, count) = self.values.dims2()?;
        let mut range: Option<(i64, i64)> = None;
        for row in 0..tq {
            let (begin, end) = spec.visible(row, tq, tk);
            if begin < end {
                let i = (row + tk) as i64 - tq as i64;
                let (low, high) = (i + 1 - end as i64, i - begin as i64);
                range = Some(range.map_or((low, high), |(l, u)| (l.min(low), u.max(high))));
            }
        }
        let (low, high) = range.unwrap_or((self.first, self.first - 1));
        if heads != h || low < self.first || high >= self.first + count as i64 {
            return Err(OpsError::Shape {
                op: "attention",
                argument: "bias.values",
                found: vec![heads, count],
                expected: format!(
                    "({h}, N) covering distances {low}..={high}, starting at distance {}",
                    self.first
                ),
            }
            .into());
        }
        Ok(())
    }
}

/// Checks shapes and dtypes of attention's arguments.
pub(crate) fn check_attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    bias: Option<&DistanceBias>,
    spec: &AttentionSpec,
) -> Result<()> {
    let wrong = |argument, x: &Tensor, expected: String| OpsError::Shape {
        op: "attention",
        argument,
        found: x.dims().to_vec(),
        expected,
    };
    let &[b, tq, h, d] = q.dims() else {
        return Err(wrong("q", q, "(B, Tq, H, K)".into()).into());
    };
    match *k.dims() {
        [kb, _, g, kd] if kb == b && kd == d && g > 0 && h.is_multiple_of(g) => {}
        _ => {
            let expected = format!("({b}, Tk, G, {d}) with G a divisor of {h}");
            return Err(wrong("k", k, expected).into());
        }
    }
    if v.dims() != k.dims() {
        return Err(wrong("v", v, format!("that of k, {:?}", k.dims())).into());
    }
    if let Some(w) = spec.window
        && w == 0
    {
        return Err(OpsError::Value {
            op: "attention",
            argument: "window",
            found: w.to_string(),
            expected: "at least 1 (the query's own position)".into(),
        }
        .into());
    }
    if let Some(bias) = bias {
        bias.check(h, tq, k.dim(1)?, spec)?;
    }
    Ok(())
}

/// Attention: `(B, Tq, H, K)` from q `(B, Tq, H, K)` and k, v `(B, Tk, G, K)`.
///
/// Query head h reads key/value head ⌊h / (H/G)⌋. A query without any visible key gives zeros.
/// Operands may be views of a wider tensor as long as the last dimension is contiguous.
///
/// The fused operation gives no gradient to the bias. If `bias.values` is part of a graph the
/// [`composed`] form runs instead, which holds the scores.
///
/// Values are expected to be finite. Rows are computed in tiles, and a key that one row of a tile
/// sees is multiplied by the zero pattern of the rows that do not: an infinity or a NaN in a row
/// of v (or of k, q and the incoming gradient in the backward pass) then reaches these rows too, as
/// 0 · ∞ is not a number. The composed form lets it reach every row.
pub fn attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    bias: Option<&DistanceBias>,
    spec: &AttentionSpec,
) -> Result<Tensor> {
    check_attention(q, k, v, bias, spec)?;
    let learned = bias.is_some_and(|bias| bias.values.track_op());
    if !is_fusable(q) || learned {
        return composed::attention(q, k, v, bias, spec);
    }
    let op = Attention {
        spec: *spec,
        bias: bias.map(|bias| bias.reversed(q)).transpose()?,
        log_sums: OnceLock::new(),
    };
    with_rows(q)?.apply_op3(&with_rows(k)?, &with_rows(v)?, op)
}

struct Attention {
    spec: AttentionSpec,
    /// `(H, N)` with distances descending, as they meet ascending keys, and the largest distance.
    bias: Option<(Tensor, i64)>,
    /// `(B, H, Tq)`: written by the forward pass, read by the backward pass.
    log_sums: OnceLock<Tensor>,
}

impl DistanceBias {
    fn reversed(&self, like: &Tensor) -> Result<(Tensor, i64)> {
        let count = self.values.dim(1)?;
        let values = self.values.to_dtype(like.dtype())?;
        Ok((values.flip(&[1])?.contiguous()?, self.first + count as i64 - 1))
    }
}

type Operand<'a> = (&'a CpuStorage, &'a Layout);

impl Attention {
    /// Calls `f` with everything the kernels need to know about the operands.
    fn with_heads<T: Real, R>(
        &self,
        (q, ql): Operand<'_>,
        (k, kl): Operand<'_>,
        (v, vl): Operand<'_>,
        f: impl FnOnce(Heads<'_, T>) -> R,
    ) -> Result<R> {
        let (b, tq, h, d) = ql.shape().dims4()?;
        let (_, tk, g, _) = kl.shape().dims4()?;
        let rows = |layout| {
            Rows4::new(layout).ok_or_else(|| candle_core::Error::RequiresContiguous { op: "attention" }.bt())
        };
        let held = self.bias.as_ref().map(|(values, _)| Host::new(values));
        let bias = match (&held, &self.bias) {
            (Some(held), Some((_, largest))) => Some((held.slice::<T>()?, *largest)),
            _ => None,
        };
        Ok(f(Heads {
            b,
            h,
            g,
            tq,
            tk,
            d,
            q: (q.as_slice()?, rows(ql)?),
            k: (k.as_slice()?, rows(kl)?),
            v: (v.as_slice()?, rows(vl)?),
            bias,
        }))
    }
}

impl CustomOp3 for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        ql: &Layout,
        k: &CpuStorage,
        kl: &Layout,
        v: &CpuStorage,
        vl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        by_dtype!("attention", q.dtype(), T => {
            let (out, log_sums) = self.with_heads::<T, _>((q, ql), (k, kl), (v, vl), |heads| {
                forward::forward(heads, self.spec)
            })?;
            let count = log_sums.len();
            // An operation runs forward once; a second run would compute the same values.
            let _ = self.log_sums.set(Tensor::from_vec(log_sums, count, &Device::Cpu)?);
            Ok((T::to_cpu_storage_owned(out), ql.shape().clone()))
        })
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        out: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let Some(log_sums) = self.log_sums.get() else {
            return Err(candle_core::Error::msg("attention: backward before forward"));
        };
        let grad = grad.contiguous()?;
        let [hq, hk, hv] = [q, k, v].map(Host::new);
        let [ho, hg, hl] = [out, &grad, log_sums].map(Host::new);
        by_dtype!("attention", q.dtype(), T => {
            let (out, grad, log_sums) = (ho.slice::<T>()?, hg.slice::<T>()?, hl.slice::<T>()?);
            let [dq, dk, dv] = self.with_heads::<T, _>(
                hq.operand()?,
                hk.operand()?,
                hv.operand()?,
                |heads| backward::backward(heads, self.spec, out, grad, log_sums),
            )?;
            Ok((
                Some(Tensor::from_vec(dq, q.shape(), q.device())?),
                Some(Tensor::from_vec(dk, k.shape(), q.device())?),
                Some(Tensor::from_vec(dv, v.shape(), q.device())?),
            ))
        })
    }
}
