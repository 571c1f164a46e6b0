//! The backward pass of attention: the pattern is computed again, a tile at a time.
//!
//! ```text
//! p_ij = 2^(s'_ij − log₂ Σ_i)     p̃_ij = m_ij p_ij               D_i = Σ_d ∂o_id o_id
//! ∂v_j = Σ_i p̃_ij ∂o_i            ∂s_ij = p_ij (m_ij ∂o_i · v_j − D_i)
//! ∂q_i = scale Σ_j ∂s_ij k_j      ∂k_j = scale Σ_i ∂s_ij q_i
//! ∂bias[h, i − j] = Σ ∂s_ij       ∂sink_h = −Σ_i p_i,null D_i
//! ```
//! (Dao et al., 2022, appendix B), with m_ij the mask of dropout over 1 − p. Keys and values of a group sum over its
//! query heads, in blocks that are added to the gradients at the end of the group.

use super::bias::Diagonals;
use super::block::{Block, LANES, Lanes, ROWS, Square, fused, is_wide, multiply, multiply_transposed, score};
use super::careful;
use super::dropout::RowMasks;
use super::operands::Operands;
use super::pack::{HeadRows, pack, panels, transpose_all};
use super::scratch::Scratch;
use super::sight::Sight;
use crate::real::Real;
use crate::vector::{sum2, vectorised};
use pulp::Simd;
use std::f64::consts::{LN_2, LOG2_E};

/// Blocks of query rows in a tile: the inner dimension of ∂k and ∂v is their rows.
const DOWN: usize = 4;
/// Blocks of keys in a tile: p and ∂s of a tile and the operands of its products share the nearest cache.
const ALONG: usize = 4;

/// Where a gradient goes, and whether it is added to what is there; nowhere if nobody asked.
pub(super) type Target<'a, T> = Option<(&'a mut [T], bool)>;

/// The gradients of the operands, in their shapes and contiguous.
pub(super) struct Targets<'a, T> {
    pub(super) q: Target<'a, T>,
    pub(super) k: Target<'a, T>,
    pub(super) v: Target<'a, T>,
    /// Added to.
    pub(super) bias: Option<&'a mut [T]>,
    /// Added to.
    pub(super) null: Option<&'a mut [T]>,
}

vectorised! {
    /// The gradients of everything that has a target. `out` and `grad` are `(B, Tq, H, K)`.
    pub(super) fn backward<'a, T, S>(
        operands: &'a Operands<'a, T>,
        out: &'a [T],
        grad: &'a [T],
        log_sums: &'a [T],
        targets: Targets<'a, T>,
        scratch: &'a mut Scratch<T>,
    ) {
        let &Operands { b, h, g, tq, tk, d, ref spec, .. } = operands;
        let mut targets = targets;
        let across = panels(d);
        let size = tk.div_ceil(LANES) * across;
        let diagonals = Diagonals::new(tq, tk);
        let [key_rows, key_columns, value_columns, key_sums, value_sums] =
            scratch.squares.each_mut().map(|buffer| buffer.take(size, [Lanes::ZERO; LANES]));
        let [queries, grads, query_sums, pattern, slopes] = &mut scratch.blocks;
        let [queries, grads, query_sums] =
            [queries, grads, query_sums].map(|buffer| buffer.take(DOWN * across, [Lanes::ZERO; ROWS]));
        let [pattern, slopes] =
            [pattern, slopes].map(|buffer| buffer.take(DOWN * ALONG, [Lanes::ZERO; ROWS]));
        let [table, table_sums] =
            scratch.tables.each_mut().map(|buffer| buffer.take(diagonals.len(), T::ZERO));
        let scale = T::real(spec.scale);
        let kept = T::real(operands.dropout.map_or(1.0, |dropout| dropout.factor()));
        for batch in 0..b {
            for group in 0..g {
                pack::<T, S, LANES>(&operands.values(batch, group), 0, kept, key_rows);
                transpose_all(key_rows, value_columns);
                let keys_finite = pack::<T, S, LANES>(&operands.keys(batch, group), 0, T::ONE, key_rows);
                transpose_all(key_rows, key_columns);
                key_sums.fill([Lanes::ZERO; LANES]);
                value_sums.fill([Lanes::ZERO; LANES]);
                for head in operands.heads_of(group) {
                    let q = operands.queries(batch, head);
                    let start = (batch * tq * h + head) * d;
                    let grad_rows = HeadRows {
                        data: grad.get(start..).unwrap_or(&[]),
                        stride: h * d,
                        width: d,
                        count: tq,
                    };
                    let out_rows = HeadRows { data: out.get(start..).unwrap_or(&[]), ..grad_rows };
                    let log_sums = &log_sums[(batch * h + head) * tq..][..tq];
                    let bias = operands.bias_of(head);
                    if let Some((values, first)) = bias {
                        diagonals.read(values, first, T::real(LOG2_E), table);
                    }
                    if targets.bias.is_some() {
                        table_sums.fill(T::ZERO);
                    }
                    let mask = operands.dropout.map(|dropout| dropout.head(batch, head));
                    let null = operands.null_of(head);
                    let mut null_sum = T::ZERO;
                    for first in (0..tq).step_by(DOWN * ROWS) {
                        let down = DOWN.min((tq - first).div_ceil(ROWS));
                        let start = |block: usize| first + block * ROWS;
                        let sights: [Sight; DOWN] =
                            std::array::from_fn(|block| Sight::new(spec, start(block), tq, tk));
                        let sights = &sights[..down];
                        let queries = &mut queries[..down * across];
                        let grads = &mut grads[..down * across];
                        let query_sums = &mut query_sums[..down * across];
                        let mut finite = keys_finite;
                        finite &= pack::<T, S, ROWS>(&q, first, T::real(spec.scale * LOG2_E), queries);
                        finite &= pack::<T, S, ROWS>(&grad_rows, first, T::ONE, grads);
                        let mut shifts = [[T::ZERO; ROWS]; DOWN];
                        let mut dots = [[T::ZERO; ROWS]; DOWN];
                        for (at, &log_sum) in log_sums[first..].iter().take(DOWN * ROWS).enumerate() {
                            let (row, block, r) = (first + at, at / ROWS, at % ROWS);
                            shifts[block][r] = log_sum;
                            let dot = sum2(grad_rows.row(row), out_rows.row(row), |x, y| x * y);
                            dots[block][r] = dot;
                            if let Some(null) = null && targets.null.is_some() && sights[block].sees(r) {
                                null_sum -= (null - log_sum).exp2(fused::<T, S>) * dot;
                            }
                        }
                        query_sums.fill([Lanes::ZERO; ROWS]);
                        let seen = sights.iter().filter(|sight| !sight.blocks.is_empty());
                        let begin = seen.clone().map(|sight| sight.blocks.start).min().unwrap_or(0);
                        let end = seen.map(|sight| sight.blocks.end).max().unwrap_or(0);
                        for begin in (begin..end).step_by(ALONG) {
                            let end = end.min(begin + ALONG);
                            for (at, sight) in sights.iter().enumerate() {
                                let queries = &queries[at * across..(at + 1) * across];
                                let grads = &grads[at * across..(at + 1) * across];
                                let mask = mask.map(|mask| mask.rows(start(at)));
                                for block in sight.blocks.start.max(begin)..sight.blocks.end.min(end) {
                                    let place = at * ALONG + block - begin;
                                    let (p, ds) = (&mut pattern[place], &mut slopes[place]);
                                    let columns = block * across..(block + 1) * across;
                                    score::<T, S>(queries, &key_columns[columns.clone()], p);
                                    if bias.is_some() {
                                        for (r, p) in p.iter_mut().enumerate() {
                                            diagonals.add(table, start(at) + r, block, p);
                                        }
                                    }
                                    score::<T, S>(grads, &value_columns[columns], ds); // ∂p̃
                                    slope::<T, S>(p, ds, &shifts[at], &dots[at], mask.as_ref(), block);
                                    if !sight.is_full(block) {
                                        sight.hide(block, p, T::ZERO);
                                        sight.hide(block, ds, T::ZERO);
                                    }
                                    if targets.bias.is_some() {
                                        diagonals.collect(table_sums, start(at), block, ds);
                                    }
                                }
                            }
                            let tile = Tile { sights, begin, end, across, finite };
                            tile.to_keys::<T, S>(pattern, grads, value_sums);
                            tile.to_keys::<T, S>(slopes, queries, key_sums);
                            tile.to_queries::<T, S>(slopes, key_rows, query_sums);
                        }
                        if let Some((to, accumulate)) = &mut targets.q {
                            let to = to.get_mut((batch * tq * h + head) * d..).unwrap_or(&mut []);
                            write::<T, ROWS>(query_sums, first, scale, to, h * d, d, tq, *accumulate);
                        }
                    }
                    if let (Some(gradient), Some((values, first))) = (&mut targets.bias, bias) {
                        let count = values.len();
                        diagonals.give(table_sums, first, &mut gradient[head * count..(head + 1) * count]);
                    }
                    if let Some(gradient) = &mut targets.null {
                        gradient[head] += null_sum;
                    }
                }
                // q is scaled in its blocks, by log₂ e too much.
                for (target, sums, scale) in
                    [(&mut targets.k, &*key_sums, T::real(LN_2)), (&mut targets.v, &*value_sums, kept)]
                {
                    if let Some((to, accumulate)) = target {
                        let to = to.get_mut((batch * tk * g + group) * d..).unwrap_or(&mut []);
                        write::<T, LANES>(sums, 0, scale, to, g * d, d, tk, *accumulate);
                    }
                }
            }
        }
    }
}

/// Scores to p̃, and ∂p̃ to ∂s.
#[inline(always)]
fn slope<T: Real, S: Simd>(
    p: &mut Block<T>,
    ds: &mut Block<T>,
    shifts: &[T; ROWS],
    dots: &[T; ROWS],
    mask: Option<&RowMasks>,
    block: usize,
) {
    for r in 0..ROWS {
        let e = p[r].map(|_, s| (s - shifts[r]).exp2(fused::<T, S>));
        p[r] = e;
        if let Some(mask) = mask {
            mask.apply(r, block, &mut p[r]);
            mask.apply(r, block, &mut ds[r]);
        }
        ds[r] = e.zip(ds[r], |e, dp| e * (dp - dots[r]));
    }
}

/// Adds or writes rows from `first` on, times `scale`, to rows of `stride`.
#[inline(always)]
#[expect(clippy::too_many_arguments)]
fn write<T: Real, const N: usize>(
    blocks: &[[Lanes<T>; N]],
    first: usize,
    scale: T,
    to: &mut [T],
    stride: usize,
    width: usize,
    count: usize,
    accumulate: bool,
) {
    let across = panels(width);
    for (at, blocks) in blocks.chunks_exact(across.max(1)).enumerate() {
        let first = first + at * N;
        for (panel, block) in blocks.iter().enumerate() {
            let from = panel * LANES;
            let width = LANES.min(width - from);
            let rows = N.min(count.saturating_sub(first));
            for (r, lanes) in block[..rows].iter().enumerate() {
                let to = &mut to[(first + r) * stride + from..][..width];
                let lanes = lanes.map(|_, x| x * scale);
                match (to.first_chunk_mut::<LANES>(), accumulate) {
                    (Some(to), true) => {
                        for (to, &x) in to.iter_mut().zip(&lanes.0) {
                            *to += x;
                        }
                    }
                    (Some(to), false) => *to = lanes.0,
                    (None, true) => {
                        for (to, &x) in to.iter_mut().zip(&lanes.0) {
                            *to += x;
                        }
                    }
                    (None, false) => to.copy_from_slice(&lanes.0[..width]),
                }
            }
        }
    }
}

/// The blocks of keys `begin..end` of a tile against its blocks of queries.
struct Tile<'a> {
    sights: &'a [Sight],
    begin: usize,
    end: usize,
    across: usize,
    finite: bool,
}

impl Tile<'_> {
    /// `sums_j += Σ_i a_ij rows_i`: ∂v from p̃ and ∂o, ∂k from ∂s and q.
    #[inline(always)]
    fn to_keys<T: Real, S: Simd>(&self, a: &[Block<T>], rows: &[Block<T>], sums: &mut [Square<T>]) {
        for block in self.begin..self.end {
            let sums = &mut sums[block * self.across..(block + 1) * self.across];
            if !self.finite {
                self.to_keys_carefully::<T, S>(a, rows, block, sums);
            } else if is_wide::<S>() {
                self.to_some_keys::<T, S, 8, 0>(a, rows, block, sums);
                self.to_some_keys::<T, S, 8, 8>(a, rows, block, sums);
            } else {
                self.to_some_keys::<T, S, 4, 0>(a, rows, block, sums);
                self.to_some_keys::<T, S, 4, 4>(a, rows, block, sums);
                self.to_some_keys::<T, S, 4, 8>(a, rows, block, sums);
                self.to_some_keys::<T, S, 4, 12>(a, rows, block, sums);
            }
        }
    }

    /// R keys of a block from key FROM on.
    #[inline(always)]
    fn to_some_keys<T: Real, S: Simd, const R: usize, const FROM: usize>(
        &self,
        a: &[Block<T>],
        rows: &[Block<T>],
        block: usize,
        sums: &mut [Square<T>],
    ) {
        let first = block * LANES + FROM;
        // What sees them is in one piece: visible ranges only move on with the rows.
        let sees = |sight: &Sight| sight.meets(first..first + R);
        let Some(first) = self.sights.iter().position(sees) else { return };
        let count = self.sights[first..].iter().take_while(|sight| sees(sight)).count();
        let a = &a[first * ALONG + block - self.begin..];
        for (panel, sum) in sums.iter_mut().enumerate() {
            let rows = rows[first * self.across + panel..].iter().step_by(self.across);
            let mut acc = [Lanes::ZERO; R];
            for (a, b) in a.iter().step_by(ALONG).zip(rows).take(count) {
                multiply_transposed::<T, S, R, FROM>(&mut acc, a, b);
            }
            add(&acc, &mut sum[FROM..FROM + R]);
        }
    }

    fn to_keys_carefully<T: Real, S: Simd>(
        &self,
        a: &[Block<T>],
        rows: &[Block<T>],
        block: usize,
        sums: &mut [Square<T>],
    ) {
        for (panel, sum) in sums.iter_mut().enumerate() {
            let mut acc = [Lanes::ZERO; LANES];
            for (at, sight) in self.sights.iter().enumerate().filter(|(_, s)| s.blocks.contains(&block)) {
                let a = &a[at * ALONG + block - self.begin];
                let rows = &rows[at * self.across + panel];
                careful::multiply_transposed::<T, S>(&mut acc, a, rows, sight, block);
            }
            add(&acc, sum);
        }
    }

    /// `sums_i += Σ_j a_ij rows_j`: ∂q from ∂s and k.
    #[inline(always)]
    fn to_queries<T: Real, S: Simd>(&self, a: &[Block<T>], rows: &[Square<T>], sums: &mut [Block<T>]) {
        for (at, sight) in self.sights.iter().enumerate() {
            let blocks = sight.blocks.start.max(self.begin)..sight.blocks.end.min(self.end);
            if blocks.is_empty() {
                continue;
            }
            let a = &a[at * ALONG + blocks.start - self.begin..][..blocks.len()];
            for panel in 0..self.across {
                let sum = &mut sums[at * self.across + panel];
                let rows = rows[blocks.start * self.across + panel..].iter().step_by(self.across);
                if !self.finite {
                    let mut acc = [Lanes::ZERO; ROWS];
                    for (block, (a, rows)) in blocks.clone().zip(a.iter().zip(rows)) {
                        careful::multiply::<T, S>(&mut acc, a, rows, sight, block);
                    }
                    add(&acc, sum);
                    continue;
                }
                let pairs = a.iter().zip(rows);
                if is_wide::<S>() {
                    add_rows::<T, S, 8>(pairs, 0, sum);
                } else {
                    add_rows::<T, S, 4>(pairs.clone(), 0, sum);
                    add_rows::<T, S, 4>(pairs, 4, sum);
                }
            }
        }
    }
}

#[inline(always)]
fn add_rows<'a, T: Real, S: Simd, const R: usize>(
    pairs: impl Iterator<Item = (&'a Block<T>, &'a Square<T>)>,
    from: usize,
    sum: &mut Block<T>,
) {
    let mut acc = [Lanes::ZERO; R];
    for (a, b) in pairs {
        multiply::<T, S, R>(&mut acc, a, from, b);
    }
    add(&acc, &mut sum[from..from + R]);
}

#[inline(always)]
fn add<T: Real, const R: usize>(acc: &[Lanes<T>; R], sum: &mut [Lanes<T>]) {
    if let Some(sum) = sum.first_chunk_mut::<R>() {
        for r in 0..R {
            sum[r] = sum[r].zip(acc[r], |a, b| a + b);
        }
    }
}
