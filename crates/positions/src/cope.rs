//! Contextual positions: how far a key is away is how many tokens from it to the query open their gate.
//!
//! Positions are seldom whole: the bias is interpolated between those of the two next to it. The order is the tokens'
//! own; the positions they are given elsewhere do not matter here.

use attnlab_ops as ops;
use candle_core::{DType, Tensor};
use candle_nn::{Init, VarBuilder};
use serde::{Deserialize, Serialize};

use crate::error::{ConfigError, Result};
use crate::pairs::{by_head, pick};
use crate::places::Places;
use crate::position::{Content, Position};
use crate::registry::{Encoding, Enters, Info, Shape};

/// Options of contextual positions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// N, the positions that have a vector: 0 to N − 1, which farther keys share. By default one more than the model's
    /// longest sequence has tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_positions: Option<usize>,
}

impl Config {
    fn positions(&self, shape: &Shape) -> usize {
        self.max_positions.unwrap_or(shape.max_len.saturating_add(1))
    }
}

impl Encoding for Config {
    const INFO: Info = Info {
        kind: "cope",
        title: "contextual positions (CoPE)",
        formula: "score_ij + scale·q_i·e[p_ij], p_ij = min(N − 1, Σ_{t=j}^{i} σ(scale·q_i·k_t)), \
                  e[p] between whole p interpolated",
        enters: Enters::Scores,
        parameters: "e: max_positions × head_dim, shared by the heads, in every block",
        source: "Golovneva et al. 2024 (arXiv 2405.18719), and its code",
        example: "kind = \"cope\"\nmax_positions = 16\n",
    };

    fn label(&self) -> String {
        match self.max_positions {
            None => "cope".to_owned(),
            Some(positions) => format!("cope ({positions} positions)"),
        }
    }

    fn validate(&self, shape: &Shape) -> std::result::Result<(), ConfigError> {
        if !shape.causal {
            let problem = "cope counts from a key up to the query, which needs a causal model; \
                           set the mask to causal or choose another encoding";
            return Err(ConfigError::new("kind", problem));
        }
        let positions = self.positions(shape);
        if !(2..=1 << 20).contains(&positions) {
            let problem = format!("{positions} positions are not between 2 and 1048576");
            return Err(ConfigError::new("max_positions", problem));
        }
        Ok(())
    }

    fn parameter_count(&self, shape: &Shape) -> usize {
        self.positions(shape).saturating_mul(shape.head_dim)
    }

    fn per_layer(&self) -> bool {
        true
    }

    fn build(&self, shape: &Shape, vb: VarBuilder) -> Result<Box<dyn Position>> {
        let positions = self.positions(shape);
        // Zeros, as in the authors' code: the first steps are those of a model without positions.
        let table = vb.get_with_hints((positions, shape.head_dim), "weight", Init::Const(0.0))?;
        Ok(Box::new(Cope { table, heads: shape.n_heads, last: (positions - 1) as f64 }))
    }
}

struct Cope {
    table: Tensor, // (N, K)
    heads: usize,
    last: f64, // N − 1
}

impl Cope {
    /// p, (B, H, Tq, Tk), of queries (B, H, Tq, K) and keys (B, H, Tk, K). The queries are the last of the tokens.
    fn positions(&self, q: &Tensor, k: &Tensor, scale: f64) -> Result<Tensor> {
        let (b, h, tq, _) = q.dims4()?;
        let tk = k.dim(2)?;
        let before = tk.saturating_sub(tq);
        let gates = candle_nn::ops::sigmoid(&(q.matmul(&k.t()?)? * scale)?)?;
        let table = |rows, value: &dyn Fn(usize, usize) -> bool| -> Result<Tensor> {
            let values: Vec<u8> =
                (0..rows).flat_map(|r| (0..tk).map(move |c| u8::from(value(r, c)))).collect();
            Ok(Tensor::from_vec(values, (rows, tk), q.device())?.to_dtype(q.dtype())?)
        };
        let seen = table(tq, &|i, t| t <= i + before)?; // (Tq, Tk)
        let from = table(tk, &|t, j| t >= j)?; // (Tk, Tk)
        // Σ_{t=j}^{i} g_it
        let counts = gates.broadcast_mul(&seen)?.reshape((b * h * tq, tk))?.matmul(&from)?;
        Ok(counts.reshape((b, h, tq, tk))?.minimum(self.last)?)
    }
}

impl Position for Cope {
    fn content_bias(&self, of: &Content<'_>, _: (&Places, &Places)) -> Result<Option<Tensor>> {
        let (q, k) = (by_head(of.q, self.heads)?, by_head(of.k, self.heads)?);
        let positions = self.positions(&q, &k, of.scale)?; // (B, H, Tq, Tk)
        // Whole numbers carry no gradient; the share between them does.
        let below = positions.to_dtype(DType::U32)?;
        let whole = below.to_dtype(positions.dtype())?;
        let above = (&whole + 1.0)?.minimum(self.last)?.to_dtype(DType::U32)?;
        let share = (&positions - &whole)?;
        let all = ops::linear(&q, &self.table, None)?; // (B, H, Tq, N)
        let (low, high) = (pick(&all, &below)?, pick(&all, &above)?);
        let bias = (&low + ((high - &low)? * share)?)?; // (B, H, Tq, Tk)
        Ok(Some((bias * of.scale)?))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use attnlab_ops::{Parameters, Streams};
    use candle_core::Device;

    use super::*;
    use crate::testing::{at, grid, numbers, set, values};

    const SHAPE: Shape = Shape { d_model: 12, n_heads: 4, head_dim: 3, max_len: 6, causal: true };

    #[test]
    fn the_bias_interpolates_between_the_positions_that_the_gates_count() {
        let (h, k) = (4, 3);
        let mut shared = 0;
        for max_positions in [None, Some(3)] {
            let parameters = Parameters::new();
            let vb = parameters.seeded(Streams::new(3), DType::F64, &Device::Cpu);
            let config = Config { max_positions };
            let position = config.build(&SHAPE, vb).unwrap();
            assert_eq!(parameters.count(), config.parameter_count(&SHAPE));
            let n_positions = max_positions.unwrap_or(7);
            set(&parameters, "weight", &numbers(n_positions * k, 9).to_vec1().unwrap());
            let table = values(&parameters, "weight");
            let (q, key) = (numbers((2, 4, h, k), 1), numbers((2, 6, 2, k), 2)); // the last four of six tokens
            let of = Content { x: &q, q: &q, k: &key, scale: 0.7 };
            let places = (&Places::range(2, 4), &Places::range(0, 6));
            let bias = position.content_bias(&of, places).unwrap().unwrap();
            for (b, head, n, j) in grid([2, h, 4, 6]) {
                let i = n + 2;
                if j > i {
                    continue; // hidden
                }
                let with_key = |t: usize| -> f64 {
                    (0..k).map(|c| at(&q, [b, n, head, c]) * at(&key, [b, t, head / 2, c])).sum()
                };
                let gate = |t: usize| 1.0 / (1.0 + (-0.7 * with_key(t)).exp());
                let counted: f64 = (j..=i).map(gate).sum();
                let last = (n_positions - 1) as f64;
                shared += usize::from(counted > last);
                let p = counted.min(last);
                let with_position = |p: f64| -> f64 {
                    (0..k).map(|c| at(&q, [b, n, head, c]) * table[p as usize * k + c]).sum()
                };
                let share = p - p.floor();
                let expected = (1.0 - share) * with_position(p.floor()) + share * with_position(p.ceil());
                assert!((at(&bias, [b, head, n, j]) - 0.7 * expected).abs() < 1e-12, "{i} {j}");
            }
        }
        assert!(shared > 10, "only {shared} keys lay beyond the last position");
    }

    #[test]
    fn a_model_that_sees_ahead_and_a_single_position_are_refused() {
        let error = Config::default().validate(&Shape { causal: false, ..SHAPE }).unwrap_err();
        assert_eq!(error.field, "kind");
        for positions in [0, 1, usize::MAX] {
            let error = Config { max_positions: Some(positions) }.validate(&SHAPE).unwrap_err();
            assert_eq!(error.field, "max_positions");
        }
    }
}
