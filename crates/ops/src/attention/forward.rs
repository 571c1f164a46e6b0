//! The forward pass of attention, eight query rows at a time.
//!
//! Scores are kept to base 2, `s'_ij = s_ij log₂ e`: the factor goes into q with the scale. One strip of scores
//! `(8, Tk)` is the only memory that grows with the keys.
//!
//! ```text
//! m_i = max_j s'_ij (or the null option's logit)       e_ij = 2^(s'_ij − m_i)
//! Σ_i = Σ_j e_ij (+ 2^(null' − m_i))            o_i = Σ_j e_ij v_j / Σ_i
//! ```

use super::bias::Diagonals;
use super::block::{Block, LANES, Lanes, ROWS, Square, each_row, fold, fused, is_wide, multiply, score};
use super::careful;
use super::operands::Operands;
use super::pack::{pack, panels, transpose_all};
use super::scratch::Scratch;
use super::sight::Sight;
use crate::real::Real;
use crate::vector::vectorised;
use pulp::Simd;
use std::f64::consts::LOG2_E;

vectorised! {
    /// The output `(B, Tq, H, K)`, and the binary logarithm of each row's normaliser `(B, H, Tq)` if it is asked for.
    pub(super) fn forward<'a, T, S>(
        operands: &'a Operands<'a, T>,
        out: &'a mut [T],
        log_sums: Option<&'a mut [T]>,
        scratch: &'a mut Scratch<T>,
    ) {
        let &Operands { b, h, g, tq, tk, d, ref spec, .. } = operands;
        let mut log_sums = log_sums;
        let across = panels(d);
        let size = tk.div_ceil(LANES) * across;
        let diagonals = Diagonals::new(tq, tk);
        let [squares, keys, values, ..] = &mut scratch.squares;
        let squares = squares.take(size, [Lanes::ZERO; LANES]);
        let keys = keys.take(size, [Lanes::ZERO; LANES]);
        let values = values.take(size, [Lanes::ZERO; LANES]);
        let [queries, strip, fold_in, ..] = &mut scratch.blocks;
        let queries = queries.take(across, [Lanes::ZERO; ROWS]);
        let strip = strip.take(tk.div_ceil(LANES), [Lanes::ZERO; ROWS]);
        let [fold_in, ..] = fold_in.take(1, [Lanes::ZERO; ROWS]) else { return };
        let table = scratch.tables[0].take(diagonals.len(), T::ZERO);
        let scale = T::real(spec.scale * LOG2_E);
        // To base 2, as the scores are.
        let cap = spec.softcap.map(|cap| (T::real(cap * LOG2_E), T::real(1.0 / (cap * LOG2_E))));
        let kept = T::real(operands.dropout.map_or(1.0, |dropout| dropout.factor()));
        for batch in 0..b {
            for group in 0..g {
                pack::<T, S, LANES>(&operands.keys(batch, group), 0, T::ONE, squares);
                transpose_all(squares, keys);
                let finite = pack::<T, S, LANES>(&operands.values(batch, group), 0, T::ONE, values);
                for head in operands.heads_of(group) {
                    let rows = operands.queries(batch, head);
                    let null = operands.null_of(head);
                    let bias = operands.bias_of(head);
                    if let Some((values, first)) = bias {
                        diagonals.read(values, first, T::real(LOG2_E), table);
                    }
                    let mask = operands.dropout.map(|dropout| dropout.head(batch, head));
                    for first in (0..tq).step_by(ROWS) {
                        let sight = Sight::new(spec, first, tq, tk);
                        let seen = sight.blocks.clone();
                        let count = ROWS.min(tq - first);
                        pack::<T, S, ROWS>(&rows, first, scale, queries);
                        for (at, block) in seen.clone().enumerate() {
                            let to = &mut strip[at];
                            let keys = &keys[block * across..(block + 1) * across];
                            score::<T, S>(queries, keys, to);
                            if let Some((cap, share)) = cap {
                                each_row!(ROWS, ROW => to[ROW] = to[ROW].map(|_, s| cap * (s * share).tanh()));
                            }
                            if bias.is_some() {
                                for (r, to) in to.iter_mut().enumerate() {
                                    diagonals.add(table, first + r, block, to);
                                }
                            }
                            if !sight.is_full(block) {
                                sight.hide(block, to, T::LOWEST);
                            }
                        }
                        let strip = &mut strip[..seen.len()];
                        let mut shifts = row_max(strip, fold_in);
                        for shift in &mut shifts {
                            if let Some(null) = null && null > *shift {
                                *shift = null;
                            }
                            // Nothing but −∞: any finite shift gives zeros.
                            if *shift == T::LOWEST {
                                *shift = T::ZERO;
                            }
                        }
                        let mut sums = exponentials::<T, S>(strip, &shifts, fold_in);
                        if let Some(null) = null {
                            for (sum, &shift) in sums.iter_mut().zip(&shifts) {
                                *sum += (null - shift).exp2(fused::<T, S>);
                            }
                        }
                        if let Some(mask) = &mask {
                            let mask = mask.rows(first);
                            for (block, e) in seen.clone().zip(strip.iter_mut()) {
                                mask.apply_all(block, e);
                            }
                        }
                        if let Some(log_sums) = &mut log_sums {
                            let to = &mut log_sums[(batch * h + head) * tq + first..][..count];
                            for (r, to) in to.iter_mut().enumerate() {
                                // ∞ where nothing has weight: 2^(s' − ∞) gives those zeros again.
                                *to = if sums[r] == T::ZERO { -T::LOWEST } else { shifts[r] + sums[r].log2() };
                            }
                        }
                        let mut scales = [T::ZERO; ROWS];
                        for (scale, &sum) in scales.iter_mut().zip(&sums) {
                            *scale = if sum == T::ZERO { T::ZERO } else { kept / sum };
                        }
                        for panel in 0..across {
                            let mut o = [Lanes::ZERO; ROWS];
                            average::<T, S>(strip, &values[panel..], across, &sight, finite, &mut o);
                            let width = LANES.min(d - panel * LANES);
                            for r in 0..count {
                                let to = ((batch * tq + first + r) * h + head) * d + panel * LANES;
                                let to = &mut out[to..to + width];
                                let o = if sight.sees(r) { o[r].map(|_, o| o * scales[r]) } else { Lanes::ZERO };
                                match to.first_chunk_mut::<LANES>() {
                                    Some(to) => *to = o.0,
                                    None => to.copy_from_slice(&o.0[..width]),
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The largest score of each row, −∞ for none. NaNs are passed over: they come out in the sums.
#[inline(always)]
fn row_max<T: Real>(strip: &[Block<T>], fold_in: &mut Block<T>) -> [T; ROWS] {
    let larger = |a: T, b: T| if b > a { b } else { a };
    let mut tops = [Lanes([T::LOWEST; LANES]); ROWS];
    for block in strip {
        each_row!(ROWS, ROW => tops[ROW] = tops[ROW].zip(block[ROW], larger));
    }
    *fold_in = tops;
    fold(fold_in, larger)
}

/// Replaces scores by `2^(s' − shift)` and returns each row's sum.
#[inline(always)]
fn exponentials<T: Real, S: Simd>(
    strip: &mut [Block<T>],
    shifts: &[T; ROWS],
    fold_in: &mut Block<T>,
) -> [T; ROWS] {
    let mut sums = [Lanes::ZERO; ROWS];
    for block in strip {
        for r in 0..ROWS {
            let e = block[r].map(|_, s| (s - shifts[r]).exp2(fused::<T, S>));
            block[r] = e;
            sums[r] = sums[r].zip(e, |a, b| a + b);
        }
    }
    *fold_in = sums;
    fold(fold_in, |a, b| a + b)
}

/// `o = Σ e v` over the blocks of a strip; the values' squares are `across` apart.
#[inline(always)]
fn average<T: Real, S: Simd>(
    strip: &[Block<T>],
    values: &[Square<T>],
    across: usize,
    sight: &Sight,
    finite: bool,
    o: &mut Block<T>,
) {
    #[inline(always)]
    fn rows<T: Real, S: Simd, const R: usize>(
        strip: &[Block<T>],
        values: &[Square<T>],
        across: usize,
        from: usize,
        o: &mut Block<T>,
    ) {
        let mut acc = [Lanes::ZERO; R];
        for (e, v) in strip.iter().zip(values.iter().step_by(across)) {
            multiply::<T, S, R>(&mut acc, e, from, v);
        }
        o[from..from + R].copy_from_slice(&acc);
    }
    if !finite {
        for (block, e) in sight.blocks.clone().zip(strip) {
            careful::multiply::<T, S>(o, e, &values[block * across], sight, block);
        }
        return;
    }
    let values = values.get(sight.blocks.start * across..).unwrap_or(&[]);
    if is_wide::<S>() {
        rows::<T, S, ROWS>(strip, values, across, 0, o);
    } else {
        rows::<T, S, { ROWS / 2 }>(strip, values, across, 0, o);
        rows::<T, S, { ROWS / 2 }>(strip, values, across, ROWS / 2, o);
    }
}
