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
use super::scratch::{Scratch, with_scratch};
use super::sight::Sight;
use super::watch::{Watch, WatchedRow};
use crate::real::Real;
use crate::threads::Team;
use crate::vector::vectorised;
use pulp::Simd;
use std::f64::consts::{LN_2, LOG2_E};

/// Query rows of a head that are computed by one thread, where a head need not be one's.
const CHUNK: usize = 256;

/// The output `(B, Tq, H, K)`, and the binary logarithm of each row's normaliser `(B, H, Tq)` if it is asked for.
///
/// Threads share heads, or parts of them. A watcher sees the rows of a head from one thread, in ascending order.
pub(super) fn forward<T: Real, W: Watch>(
    operands: &Operands<'_, T>,
    out: &mut [T],
    log_sums: Option<&mut [T]>,
    watch: &W,
    team: &Team,
) {
    let &Operands { b, h, tq, d, .. } = operands;
    if b * h * tq == 0 {
        return;
    }
    // Rows of a head lie apart: each piece is handed its own.
    let mut heads: Vec<Vec<&mut [T]>> = (0..b * h).map(|_| Vec::with_capacity(tq)).collect();
    if d == 0 {
        heads.iter_mut().for_each(|rows| rows.extend((0..tq).map(|_| <&mut [T]>::default())));
    }
    for (at, row) in out.chunks_exact_mut(d.max(1)).enumerate() {
        heads[at / (tq * h) * h + at % h].push(row);
    }
    let mut log_sums = log_sums.map(|sums| sums.chunks_mut(tq));
    let chunk = if W::ON || team.size() == 1 { tq } else { CHUNK };
    let mut pieces = Vec::with_capacity(b * h * tq.div_ceil(chunk));
    for (at, rows) in heads.iter_mut().enumerate() {
        let mut log_sums = log_sums.as_mut().and_then(Iterator::next).map(|sums| sums.chunks_mut(chunk));
        for (part, rows) in rows.chunks_mut(chunk).enumerate() {
            let log_sums = log_sums.as_mut().and_then(Iterator::next);
            pieces.push(Piece { batch: at / h, head: at % h, first: part * chunk, rows, log_sums });
        }
    }
    team.share(pieces.into_iter(), |next| {
        with_scratch(|scratch| {
            let mut packed = Packed { group: None, finite: true };
            while let Some(piece) = next() {
                some_rows(operands, piece, &mut packed, scratch, watch);
            }
        });
    });
}

/// Some query rows of one head.
struct Piece<'a, 'b, T> {
    batch: usize,
    head: usize,
    /// The first row, a multiple of [`ROWS`].
    first: usize,
    /// Of the output.
    rows: &'a mut [&'b mut [T]],
    log_sums: Option<&'a mut [T]>,
}

/// Whose keys and values a thread's scratch holds in blocks.
struct Packed {
    /// Sequence and key/value head.
    group: Option<(usize, usize)>,
    /// Whether the values are finite.
    finite: bool,
}

vectorised! {
    fn some_rows<'a, 'b, 'c, T, S, W: Watch>(
        operands: &'a Operands<'a, T>,
        piece: Piece<'b, 'c, T>,
        packed: &'a mut Packed,
        scratch: &'a mut Scratch<T>,
        watch: &'a W,
    ) {
        let &Operands { h, g, tq, tk, d, ref spec, .. } = operands;
        let Piece { batch, head, first: start, rows: out, log_sums } = piece;
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
        let shown = scratch.row.take(if W::ON { strip.len() * LANES } else { 0 }, 0.0);
        let scale = T::real(spec.scale * LOG2_E);
        // To base 2, as the scores are.
        let cap = spec.softcap.map(|cap| (T::real(cap * LOG2_E), T::real(1.0 / (cap * LOG2_E))));
        let kept = T::real(operands.dropout.map_or(1.0, |dropout| dropout.factor()));
        let group = head / (h / g);
        if packed.group != Some((batch, group)) {
            pack::<T, S, LANES>(&operands.keys(batch, group), 0, T::ONE, squares);
            transpose_all(squares, keys);
            packed.finite = pack::<T, S, LANES>(&operands.values(batch, group), 0, T::ONE, values);
            packed.group = Some((batch, group));
        }
        let rows = operands.queries(batch, head);
        let null = operands.null_of(head);
        let bias = operands.bias_of(head);
        if let Some((values, first)) = bias {
            diagonals.read(values, first, T::real(LOG2_E), table);
        }
        let mask = operands.dropout.map(|dropout| dropout.head(batch, head));
        for (first, out) in (start..).step_by(ROWS).zip(out.chunks_mut(ROWS)) {
            let sight = Sight::new(spec, first, tq, tk);
            let seen = sight.blocks.clone();
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
            let tops = row_max(strip, fold_in);
            let bottoms = if W::ON { row_min(strip, fold_in) } else { [T::ZERO; ROWS] };
            let mut shifts = tops;
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
            let mut nulls = [T::ZERO; ROWS];
            if let Some(null) = null {
                for ((sum, &shift), to) in sums.iter_mut().zip(&shifts).zip(&mut nulls) {
                    *to = (null - shift).exp2(fused::<T, S>);
                    *sum += *to;
                }
            }
            if W::ON {
                for r in 0..out.len() {
                    let share = if sums[r] == T::ZERO { T::ZERO } else { T::ONE / sums[r] };
                    for (block, to) in strip.iter().zip(shown.as_chunks_mut::<LANES>().0) {
                        for (to, &e) in to.iter_mut().zip(&block[r].0) {
                            *to = (e * share).single();
                        }
                    }
                    let natural = |x: T| x.to_f64() * LN_2;
                    let seen = sight.of_row(r);
                    let begin = if seen.is_empty() { 0 } else { seen.start - sight.blocks.start * LANES };
                    watch.row(&WatchedRow {
                        batch,
                        head,
                        row: first + r,
                        query: (first + r + tk) as i64 - tq as i64,
                        first: seen.start,
                        weights: &shown[begin..begin + seen.len()],
                        max: natural(tops[r]) as f32,
                        min: natural(bottoms[r]) as f32,
                        log_sum: (natural(shifts[r]) + sums[r].to_f64().ln()) as f32,
                        null: null.map(|_| (nulls[r] * share).single()),
                    });
                }
            }
            if let Some(mask) = &mask {
                let mask = mask.rows(first);
                for (block, e) in seen.clone().zip(strip.iter_mut()) {
                    mask.apply_all(block, e);
                }
            }
            if let Some(log_sums) = &mut log_sums {
                let to = &mut log_sums[first - start..][..out.len()];
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
                average::<T, S>(strip, &values[panel..], across, &sight, packed.finite, &mut o);
                let begin = panel * LANES;
                let width = LANES.min(d - begin);
                for (r, out) in out.iter_mut().enumerate() {
                    let to = &mut out[begin..begin + width];
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

/// The smallest score of each row above −∞, ∞ for none.
#[inline(always)]
fn row_min<T: Real>(strip: &[Block<T>], fold_in: &mut Block<T>) -> [T; ROWS] {
    let smaller = |a: T, b: T| if b < a && b > T::LOWEST { b } else { a };
    let mut bottoms = [Lanes([-T::LOWEST; LANES]); ROWS];
    for block in strip {
        each_row!(ROWS, ROW => bottoms[ROW] = bottoms[ROW].zip(block[ROW], smaller));
    }
    *fold_in = bottoms;
    fold(fold_in, smaller)
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
