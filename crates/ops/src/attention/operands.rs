//! What the kernels work on.

use super::AttentionSpec;
use super::bias::BiasValues;
use super::dropout::AttentionDropout;
use super::pack::HeadRows;
use crate::host::Rows4;
use crate::real::Real;

/// The operands: storages and layouts of q `(B, Tq, H, K)` and k, v `(B, Tk, G, K)`, and what acts on the pattern.
pub(super) struct Operands<'a, T> {
    pub(super) b: usize,
    pub(super) h: usize,
    pub(super) g: usize,
    pub(super) tq: usize,
    pub(super) tk: usize,
    pub(super) d: usize,
    pub(super) q: (&'a [T], Rows4),
    pub(super) k: (&'a [T], Rows4),
    pub(super) v: (&'a [T], Rows4),
    /// `(H, N)`.
    pub(super) bias: Option<BiasValues<'a, T>>,
    pub(super) null: NullLogit<'a, T>,
    pub(super) dropout: Option<AttentionDropout>,
    pub(super) spec: AttentionSpec,
}

/// The logit of attending to nothing.
#[derive(Clone, Copy)]
pub(super) enum NullLogit<'a, T> {
    None,
    Zero,
    /// `(H)`.
    Learned(&'a [T]),
}

impl<'a, T: Real> Operands<'a, T> {
    #[inline(always)]
    pub(super) fn queries(&self, batch: usize, head: usize) -> HeadRows<'a, T> {
        self.rows(&self.q, batch, head, self.tq)
    }

    #[inline(always)]
    pub(super) fn keys(&self, batch: usize, group: usize) -> HeadRows<'a, T> {
        self.rows(&self.k, batch, group, self.tk)
    }

    #[inline(always)]
    pub(super) fn values(&self, batch: usize, group: usize) -> HeadRows<'a, T> {
        self.rows(&self.v, batch, group, self.tk)
    }

    #[inline(always)]
    fn rows(
        &self,
        (data, rows): &(&'a [T], Rows4),
        batch: usize,
        head: usize,
        count: usize,
    ) -> HeadRows<'a, T> {
        let start = rows.at(batch, 0, head);
        HeadRows {
            data: data.get(start..).unwrap_or(&[]),
            stride: rows.at(batch, 1, head) - start,
            width: self.d,
            count,
        }
    }

    /// The bias of a head and the distance of its first value.
    #[inline(always)]
    pub(super) fn bias_of(&self, head: usize) -> Option<(&'a [T], i64)> {
        let BiasValues { values, first } = self.bias?;
        let count = values.len() / self.h;
        Some((&values[head * count..(head + 1) * count], first))
    }

    /// The logit of attending to nothing, to base 2.
    #[inline(always)]
    pub(super) fn null_of(&self, head: usize) -> Option<T> {
        match self.null {
            NullLogit::None => None,
            NullLogit::Zero => Some(T::ZERO),
            NullLogit::Learned(logits) => Some(logits[head] * T::real(std::f64::consts::LOG2_E)),
        }
    }

    /// The query heads that read one key/value head.
    #[inline(always)]
    pub(super) fn heads_of(&self, group: usize) -> std::ops::Range<usize> {
        let count = self.h / self.g;
        group * count..(group + 1) * count
    }
}
