//! What acts on the scores and the pattern besides the keys.

use super::{AttentionDropout, AttentionSpec};
use crate::{OpsError, Result};
use candle_core::Tensor;

/// A bias on the score that depends on the distance only (ALiBi, T5, Kerple).
#[derive(Clone, Debug)]
pub struct DistanceBias {
    /// `(H, N)`: one value a head and distance.
    pub values: Tensor,
    /// The distance i − j of the first column.
    pub first: i64,
}

/// The option to attend to nothing: a key with the value zero, that every query sees.
///
/// ```text
/// p_ij = exp(s_ij) / (exp(null_h) + Σ_j exp(s_ij))
/// ```
#[derive(Clone, Copy, Debug)]
pub enum Null<'a> {
    /// Its score is 0: softmax "off by one" (Miller, 2023).
    Zero,
    /// Its score is learned, `(H)`: attention sinks (Xiao et al., 2024) without a token.
    Learned(&'a Tensor),
}

/// What attention may have besides queries, keys and values; by default nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extras<'a> {
    /// Added to the scores.
    pub bias: Option<&'a DistanceBias>,
    /// The option to attend to nothing.
    pub null: Option<Null<'a>>,
    /// Dropout of the pattern.
    pub dropout: Option<AttentionDropout>,
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
pub(crate) fn check(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    extras: &Extras<'_>,
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
    if let Some(cap) = spec.softcap
        && !(cap.is_finite() && cap > 0.0)
    {
        return Err(OpsError::Value {
            op: "attention",
            argument: "softcap",
            found: cap.to_string(),
            expected: "finite and above 0, or none".into(),
        }
        .into());
    }
    if let Some(bias) = extras.bias {
        bias.check(h, tq, k.dim(1)?, spec)?;
    }
    if let Some(Null::Learned(logits)) = extras.null
        && logits.dims() != [h]
    {
        return Err(wrong("null", logits, format!("({h}), one logit a head")).into());
    }
    if let Some(AttentionDropout { p, .. }) = extras.dropout
        && !(0.0..1.0).contains(&p)
    {
        return Err(OpsError::Value {
            op: "attention",
            argument: "dropout.p",
            found: p.to_string(),
            expected: "0 ≤ p < 1".into(),
        }
        .into());
    }
    Ok(())
}
