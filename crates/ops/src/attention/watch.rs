//! Watching the pattern go by.
//!
//! The kernel holds eight rows of the pattern at a time. Whoever wants statistics of them, and not the T×T map, sees
//! each row while it is there.

use candle_core::{DType, Tensor};

use super::{AttentionSpec, Null};
use crate::host::Host;
use crate::threads::Team;
use crate::{OpsError, Result};

/// One row of the pattern: what a query of a head gives to the keys it sees.
#[derive(Clone, Copy, Debug)]
pub struct WatchedRow<'a> {
    /// The sequence of the batch.
    pub batch: usize,
    /// The query head.
    pub head: usize,
    /// The row of q.
    pub row: usize,
    /// The query's place among the keys, i = row + (Tk − Tq): below zero if there are more queries than keys.
    pub query: i64,
    /// The first key the query sees.
    pub first: usize,
    /// The weight of each key it sees, in order. They and `null` sum to one, unless the row is all zeros. Dropout has
    /// not been at them.
    pub weights: &'a [f32],
    /// The largest score of a key (scaled, capped, biased; natural units): −∞ if it sees none, a NaN if not known.
    pub max: f32,
    /// The smallest score of a key above −∞: ∞ if it sees none, a NaN if not known.
    pub min: f32,
    /// ln Σ exp(s), the null option among the terms; a NaN if not known.
    pub log_sum: f32,
    /// The weight of the option to attend to nothing, where there is one.
    pub null: Option<f32>,
}

/// Sees every row of a pattern.
///
/// All rows of a head come from one thread, in ascending order; different heads, and sequences, may come from
/// different threads at the same time.
pub trait WatchRows: Sync {
    /// Shows a row.
    fn row(&self, row: &WatchedRow<'_>);
}

impl<W: WatchRows + ?Sized> WatchRows for Box<W> {
    fn row(&self, row: &WatchedRow<'_>) {
        (**self).row(row);
    }
}

impl<W: WatchRows + ?Sized> WatchRows for &W {
    fn row(&self, row: &WatchedRow<'_>) {
        (**self).row(row);
    }
}

/// Two watchers of the same rows.
impl<A: WatchRows, B: WatchRows> WatchRows for (A, B) {
    fn row(&self, row: &WatchedRow<'_>) {
        self.0.row(row);
        self.1.row(row);
    }
}

/// What the kernel is compiled with: a watcher, or nobody, which leaves no trace.
pub(super) trait Watch: Sync {
    const ON: bool;
    fn row(&self, row: &WatchedRow<'_>);
}

pub(super) struct Nobody;

impl Watch for Nobody {
    const ON: bool = false;
    #[inline(always)]
    fn row(&self, _: &WatchedRow<'_>) {}
}

pub(super) struct Somebody<'a>(pub(super) &'a dyn WatchRows);

impl Watch for Somebody<'_> {
    const ON: bool = true;
    #[inline(always)]
    fn row(&self, row: &WatchedRow<'_>) {
        self.0.row(row);
    }
}

/// Scores that a pattern was made of, and the option to attend to nothing.
#[derive(Clone, Copy, Debug)]
pub struct WatchedScores<'a> {
    /// `(B, H, Tq, Tk)`, −∞ where hidden.
    pub scores: &'a Tensor,
    /// The option to attend to nothing.
    pub null: Option<Null<'a>>,
}

/// Shows the rows of a pattern `(B, H, Tq, Tk)` that exists already, as [`super::attention_watched`] would: for paths
/// that hold it, because it is edited or its bias is no function of the distance.
///
/// Without `scores` (they say nothing of an edited pattern) rows have no `max`, `min`, `log_sum` and `null`.
pub fn watch_pattern(
    pattern: &Tensor,
    scores: Option<WatchedScores<'_>>,
    spec: &AttentionSpec,
    watch: &dyn WatchRows,
) -> Result<()> {
    let (_, h, tq, tk) = pattern.dims4()?;
    let on_host = |x: &Tensor| x.to_device(&candle_core::Device::Cpu)?.to_dtype(DType::F32)?.contiguous();
    let pattern = on_host(pattern)?;
    let known = scores.map(|known| on_host(known.scores)).transpose()?;
    if let Some(known) = &known
        && known.dims() != pattern.dims()
    {
        return Err(OpsError::Shape {
            op: "watch_pattern",
            argument: "scores",
            found: known.dims().to_vec(),
            expected: format!("that of the pattern, {:?}", pattern.dims()),
        }
        .into());
    }
    let nulls: Option<Vec<f32>> = match scores.and_then(|known| known.null) {
        None => None,
        Some(Null::Zero) => Some(vec![0.0; h]),
        Some(Null::Learned(logits)) => Some(on_host(logits)?.to_vec1()?),
    };
    if tq * tk == 0 {
        return Ok(());
    }
    let (pattern, known) = (Host::new(&pattern), known.as_ref().map(Host::new));
    let pattern = pattern.slice::<f32>()?;
    let known = known.as_ref().map(Host::slice::<f32>).transpose()?;
    let show = |(at, pattern): (usize, &[f32])| {
        let (batch, head) = (at / h, at % h);
        for (row, weights) in pattern.chunks_exact(tk).enumerate() {
            let (begin, end) = spec.visible(row, tq, tk);
            let mut seen = WatchedRow {
                batch,
                head,
                row,
                query: (row + tk) as i64 - tq as i64,
                first: begin,
                weights: &weights[begin..end],
                max: f32::NAN,
                min: f32::NAN,
                log_sum: f32::NAN,
                null: None,
            };
            if let Some(known) = known {
                let scores = &known[(at * tq + row) * tk..][begin..end];
                seen.max = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let above = scores.iter().copied().filter(|&s| s > f32::NEG_INFINITY);
                seen.min = above.fold(f32::INFINITY, f32::min);
                let null = nulls.as_ref().and_then(|nulls| nulls.get(head).copied());
                let shift = f64::from(null.map_or(seen.max, |null| null.max(seen.max)));
                let shift = if shift == f64::NEG_INFINITY { 0.0 } else { shift };
                let terms = scores.iter().chain(&null).map(|&s| (f64::from(s) - shift).exp());
                let log_sum = shift + terms.sum::<f64>().ln();
                seen.log_sum = log_sum as f32;
                seen.null = null.map(|null| (f64::from(null) - log_sum).exp() as f32);
            }
            watch.row(&seen);
        }
    };
    Team::of_forward(false, pattern.len()).each(pattern.chunks_exact(tq * tk).enumerate(), show);
    Ok(())
}
