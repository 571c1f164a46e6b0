//! The forward pass of attention, a tile of query rows at a time.

use super::AttentionSpec;
use super::tile::{Heads, ROWS, Tile, head};
use crate::matmul::{ByRows, NR, Panels, SHORT, multiply};
use crate::vector::{softmax_row, vectorised};

vectorised! {
    /// The output `(B, Tq, H, K)` and the logarithm of each row's normaliser `(B, H, Tq)`.
    pub(super) fn forward<'a, T, S>(heads: Heads<'a, T>, spec: AttentionSpec) -> (Vec<T>, Vec<T>) {
        let Heads { b, h, g, tq, tk, d, .. } = heads;
        let mut out = vec![T::ZERO; b * tq * h * d];
        let mut log_sums = vec![T::ZERO; b * h * tq];
        let (mut keys, mut values) = (Panels::default(), Panels::default());
        let mut tile = Tile::new(tk);
        for batch in 0..b {
            for group in 0..g {
                let k = head(&heads.k, batch, group);
                let v = head(&heads.v, batch, group);
                keys.set_columns(k.data, k.stride, d, tk); // kᵀ (K, Tk)
                values.set_rows(v.data, v.stride, tk, d); // v (Tk, K)
                for query_head in group * (h / g)..(group + 1) * (h / g) {
                    let q = head(&heads.q, batch, query_head);
                    let log_sums = &mut log_sums[(batch * h + query_head) * tq..][..tq];
                    for first in (0..tq).step_by(ROWS) {
                        tile.start(&spec, first, tq, tk);
                        if tile.begin == tile.end {
                            continue; // no visible key: the output stays zero
                        }
                        let rows = ByRows { data: &q.data[first * q.stride..], stride: q.stride };
                        tile.dot::<S>(rows, d, &keys);
                        tile.rows(&heads, query_head, &spec, |r, row| {
                            log_sums[first + r] = softmax_row(row);
                        });
                        let at = ((batch * tq + first) * h + query_head) * d;
                        multiply::<T, S, SHORT>(
                            tile.count,
                            tile.visible(),
                            &values,
                            tile.begin..tile.end,
                            0..d.div_ceil(NR),
                            &mut out[at..],
                            h * d,
                            false,
                        );
                    }
                }
            }
        }
        (out, log_sums)
    }
}
