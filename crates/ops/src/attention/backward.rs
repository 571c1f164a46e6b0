//! The backward pass of attention: the pattern is computed again, a tile at a time.
//!
//! ```text
//! p_ij = exp(s_ij − log Σ_i)      D_i = Σ_d ∂o_id o_id
//! ∂v_j = Σ_i p_ij ∂o_i            ∂s_ij = p_ij (∂o_i · v_j − D_i)
//! ∂q_i = scale Σ_j ∂s_ij k_j      ∂k_j = scale Σ_i ∂s_ij q_i
//! ```
//! (Dao et al., 2022, appendix B). Keys and values of a group sum over its query heads.

use super::AttentionSpec;
use super::tile::{Heads, ROWS, Tile, head};
use crate::matmul::{ByRows, NR, Panels, SHORT, multiply, multiply_transposed};
use crate::vector::{sum2, vectorised};

vectorised! {
    /// The gradients of q `(B, Tq, H, K)` and of k and v `(B, Tk, G, K)`.
    pub(super) fn backward<'a, T, S>(
        heads: Heads<'a, T>,
        spec: AttentionSpec,
        out: &'a [T],      // (B, Tq, H, K)
        grad: &'a [T],     // (B, Tq, H, K)
        log_sums: &'a [T], // (B, H, Tq)
    ) -> [Vec<T>; 3] {
        let Heads { b, h, g, tq, tk, d, .. } = heads;
        let scale = T::real(spec.scale);
        let mut dq = vec![T::ZERO; b * tq * h * d];
        let mut dk = vec![T::ZERO; b * tk * g * d];
        let mut dv = vec![T::ZERO; b * tk * g * d];
        let mut key_columns = Panels::default();
        let mut key_rows = Panels::default();
        let mut value_columns = Panels::default();
        let mut query_rows = Panels::default();
        let mut grad_rows = Panels::default();
        let mut pattern = Tile::new(tk);
        let mut scores = Tile::new(tk);
        for batch in 0..b {
            for group in 0..g {
                let k = head(&heads.k, batch, group);
                let v = head(&heads.v, batch, group);
                key_columns.set_columns(k.data, k.stride, d, tk);
                key_rows.set_rows(k.data, k.stride, tk, d);
                value_columns.set_columns(v.data, v.stride, d, tk);
                for query_head in group * (h / g)..(group + 1) * (h / g) {
                    let q = head(&heads.q, batch, query_head);
                    let log_sums = &log_sums[(batch * h + query_head) * tq..][..tq];
                    for first in (0..tq).step_by(ROWS) {
                        pattern.start(&spec, first, tq, tk);
                        scores.start(&spec, first, tq, tk);
                        let (begin, end) = (pattern.begin, pattern.end);
                        if begin == end {
                            continue;
                        }
                        let count = pattern.count;
                        let at = ((batch * tq + first) * h + query_head) * d;
                        let q = ByRows { data: &q.data[first * q.stride..], stride: q.stride };
                        let g_rows = ByRows { data: &grad[at..], stride: h * d };
                        pattern.dot::<S>(q, d, &key_columns);
                        pattern.rows(&heads, query_head, &spec, |r, row| {
                            let shift = log_sums[first + r];
                            for s in row {
                                *s = (*s - shift).exp();
                            }
                        });
                        scores.dot::<S>(g_rows, d, &value_columns); // ∂p
                        for r in 0..count {
                            let (from, to) = (at + r * h * d, at + r * h * d + d);
                            let dot = sum2(&grad[from..to], &out[from..to], |x, y| x * y);
                            let row = r * scores.width;
                            let p = &pattern.scores[row + begin..row + end];
                            let s = &mut scores.scores[row + begin..row + end];
                            for (s, &p) in s.iter_mut().zip(p) {
                                // A hidden key has p = 0, whatever its product is.
                                let ds = p * (*s - dot) * scale;
                                *s = if p == T::ZERO { T::ZERO } else { ds };
                            }
                        }
                        let to = ((batch * tk + begin) * g + group) * d;
                        grad_rows.set_rows(g_rows.data, g_rows.stride, count, d);
                        multiply_transposed::<T, S, SHORT>(
                            end - begin, pattern.visible(), &grad_rows, &mut dv[to..], g * d, true,
                        );
                        query_rows.set_rows(q.data, q.stride, count, d);
                        multiply_transposed::<T, S, SHORT>(
                            end - begin, scores.visible(), &query_rows, &mut dk[to..], g * d, true,
                        );
                        multiply::<T, S, SHORT>(
                            count, scores.visible(), &key_rows, begin..end,
                            0..d.div_ceil(NR), &mut dq[at..], h * d, false,
                        );
                    }
                }
            }
        }
        [dq, dk, dv]
    }
}
