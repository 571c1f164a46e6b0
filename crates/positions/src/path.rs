//! PaTH: on its way to a later query a key is turned by every token it passes, each of which says how.
//!
//! ```text
//! H_s = I − β_s w_s w_sᵀ        score_ij = scale · q_iᵀ H_i H_{i−1} ⋯ H_{j+1} k_j
//! ```
//! Products of such matrices are one triangular inverse. With N the strictly lower part of diag(β)·W Wᵀ, W the w_s as
//! rows, and for any stretch of tokens:
//!
//! ```text
//! H_i ⋯ H_{j+1} = I − Σ_{i ≥ a ≥ b > j} w_a M_ab w_bᵀ,   M = (I + N)⁻¹ diag(β)
//! ```
//! so that what is added to scale·q·k is −scale · lower(Q Wᵀ) · M · strictly lower(W Kᵀ): memory grows with T², time with
//! T³. The paper's kernel cuts the sequence into blocks to make it T²; here sequences are short.
//!
//! As in the authors' code w passes two narrow linear maps, a convolution over three tokens, SiLU and a division by its
//! length. There keys in groups share w and β; here every query head has its own. Positions are not asked for: the
//! order is the tokens' own.

use attnlab_ops as ops;
use candle_core::{D, Tensor};
use candle_nn::{Init, VarBuilder};
use serde::{Deserialize, Serialize};

use crate::error::{ConfigError, PositionError, Result};
use crate::pairs::by_head;
use crate::places::Places;
use crate::position::{Content, Position};
use crate::registry::{Encoding, Enters, Info, Shape};

/// Added to w's squared length before it is divided by it.
const EPS: f64 = 1e-6;

/// Options of PaTH.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Width between the two maps that give w.
    pub rank: usize,
    /// Tokens that the convolution of w spans, its own and those before; 1: neither convolution nor SiLU.
    pub kernel: usize,
    /// The longest sequence: time grows with the third power.
    pub max_len: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { rank: 32, kernel: 3, max_len: 512 }
    }
}

impl Encoding for Config {
    const INFO: Info = Info {
        kind: "path",
        title: "accumulated Householder transformations (PaTH)",
        formula: "scale·q_iᵀ (H_i ⋯ H_{j+1}) k_j, H_s = I − β_s w_s w_sᵀ, β_s = 2σ(b·x_s + c), \
                  w_s = u_s/|u_s|, u = silu(conv(V U x))",
        enters: Enters::Scores,
        parameters: "of each block: U: rank × d_model; V: n_heads·head_dim × rank; conv: kernel × n_heads·head_dim; \
                     b: n_heads × d_model; c: n_heads",
        source: "Yang et al. 2025 (arXiv 2505.16381); w and β: code (flash-linear-attention)",
        example: "kind = \"path\"\nrank = 8\nkernel = 1\nmax_len = 128\n",
    };

    fn label(&self) -> String {
        let plain = Self::default();
        let mut notes = Vec::new();
        if self.rank != plain.rank {
            notes.push(format!("rank {}", self.rank));
        }
        match self.kernel {
            3 => {}
            1 => notes.push("no convolution".to_owned()),
            kernel => notes.push(format!("kernel {kernel}")),
        }
        // The longest sequence is no part of the name: it changes no result.
        if notes.is_empty() { "path".to_owned() } else { format!("path ({})", notes.join(", ")) }
    }

    fn validate(&self, shape: &Shape) -> std::result::Result<(), ConfigError> {
        if !shape.causal {
            let problem = "path turns a key by the tokens between it and a later query, which needs a causal model; \
                           set the mask to causal or choose another encoding";
            return Err(ConfigError::new("kind", problem));
        }
        for (field, value, most) in [("rank", self.rank, 1 << 16), ("kernel", self.kernel, 64)] {
            if value == 0 || value > most {
                return Err(ConfigError::new(field, format!("{value} is not between 1 and {most}")));
            }
        }
        if self.max_len < shape.max_len {
            let problem = format!(
                "{} is too short for the model's sequences of up to {} tokens; set it to {1} and mind that time grows \
                 with the third power, or test shorter ones",
                self.max_len, shape.max_len
            );
            return Err(ConfigError::new("max_len", problem));
        }
        Ok(())
    }

    fn parameter_count(&self, shape: &Shape) -> usize {
        let width = shape.n_heads.saturating_mul(shape.head_dim);
        let convolution = if self.kernel > 1 { self.kernel.saturating_mul(width) } else { 0 };
        let directions = self.rank.saturating_mul(shape.d_model.saturating_add(width));
        let strengths = shape.n_heads.saturating_mul(shape.d_model.saturating_add(1));
        directions.saturating_add(convolution).saturating_add(strengths)
    }

    fn per_layer(&self) -> bool {
        true
    }

    fn build(&self, shape: &Shape, vb: VarBuilder) -> Result<Box<dyn Position>> {
        let (h, k, d) = (shape.n_heads, shape.head_dim, shape.d_model);
        // PyTorch's uniform distribution, whose bound is 1/√(inputs).
        let within = |inputs: usize| {
            let bound = 1.0 / (inputs.max(1) as f64).sqrt();
            Init::Uniform { lo: -bound, up: bound }
        };
        let convolution = match self.kernel {
            1 => None,
            kernel => Some(vb.get_with_hints((kernel, h * k), "conv.weight", within(kernel))?),
        };
        Ok(Box::new(Path {
            down: vb.get_with_hints((self.rank, d), "w.down.weight", within(d))?,
            up: vb.get_with_hints((h * k, self.rank), "w.up.weight", within(self.rank))?,
            convolution,
            strength: vb.get_with_hints((h, d), "beta.weight", within(d))?,
            strength_bias: vb.get_with_hints(h, "beta.bias", within(d))?,
            heads: h,
            max_len: self.max_len,
        }))
    }
}

struct Path {
    down: Tensor,                // U, (R, D)
    up: Tensor,                  // V, (H·K, R)
    convolution: Option<Tensor>, // (kernel, H·K), the last row for the token itself
    strength: Tensor,            // b, (H, D)
    strength_bias: Tensor,       // c, (H)
    heads: usize,
    max_len: usize,
}

impl Path {
    /// w of unit length, (B, H, T, K).
    fn directions(&self, x: &Tensor) -> Result<Tensor> {
        let (b, t, _) = x.dims3()?;
        let narrow = ops::linear(x, &self.down, None)?;
        let mut w = ops::linear(&narrow, &self.up, None)?; // (B, T, H·K)
        if let Some(weight) = &self.convolution {
            let before = weight.dim(0)? - 1;
            let padded = w.pad_with_zeros(1, before, 0)?;
            let mut sum = w.broadcast_mul(&weight.get(before)?)?;
            for c in 0..before {
                sum = (sum + padded.narrow(1, c, t)?.broadcast_mul(&weight.get(c)?)?)?;
            }
            w = sum.silu()?;
        }
        let width = w.dim(2)?;
        let w = by_head(&w.reshape((b, t, self.heads, width / self.heads.max(1)))?, self.heads)?;
        let length = (w.sqr()?.sum_keepdim(D::Minus1)? + EPS)?.sqrt()?;
        Ok(w.broadcast_div(&length)?)
    }

    /// β between 0 and 2, (B, H, T, 1).
    fn strengths(&self, x: &Tensor) -> Result<Tensor> {
        let logits = ops::linear(x, &self.strength, Some(&self.strength_bias))?; // (B, T, H)
        Ok((candle_nn::ops::sigmoid(&logits)? * 2.0)?.transpose(1, 2)?.contiguous()?.unsqueeze(3)?)
    }
}

/// The part of the last two dimensions, square, whose row is at least `distance` below the diagonal; 0 elsewhere.
fn lower(x: &Tensor, distance: usize) -> Result<Tensor> {
    let t = x.dim(D::Minus1)?;
    let kept: Vec<u8> = (0..t).flat_map(|i| (0..t).map(move |j| u8::from(i >= j + distance))).collect();
    Ok(x.broadcast_mul(&Tensor::from_vec(kept, (t, t), x.device())?.to_dtype(x.dtype())?)?)
}

/// (I + N)⁻¹ of strictly lower triangular N (B, H, T, T).
///
/// Halves of halves: [A 0; C D]⁻¹ = [A⁻¹ 0; −D⁻¹C A⁻¹ D⁻¹]. Unlike the series I − N + N² − …, none of whose terms need be
/// small, this loses no digits.
fn inverse(n: &Tensor) -> Result<Tensor> {
    let (b, h, t, _) = n.dims4()?;
    let size = t.next_power_of_two();
    let n = n.pad_with_zeros(2, 0, size - t)?.pad_with_zeros(3, 0, size - t)?;
    let n = n.contiguous()?.reshape((b * h, size * size))?;
    // The inverses of the blocks of `side` on the diagonal, (B·H, size/side, side, side): of one element, 1.
    let mut inverses = Tensor::ones((b * h, size, 1, 1), n.dtype(), n.device())?;
    let mut side = 1;
    while side < size {
        let pairs = size / (2 * side);
        let place =
            |(pair, r, c): (usize, usize, usize)| ((2 * pair + 1) * side + r) * size + 2 * pair * side + c;
        let blocks = (0..pairs).flat_map(|p| (0..side).flat_map(move |r| (0..side).map(move |c| (p, r, c))));
        let places: Vec<u32> = blocks.map(|block| place(block) as u32).collect();
        let places = Tensor::from_vec(places, pairs * side * side, n.device())?;
        let below = n.index_select(&places, 1)?.reshape((b * h, pairs, side, side))?; // C
        let halves = inverses.reshape((b * h, pairs, 2, side, side))?;
        let half = |which| -> Result<Tensor> { Ok(halves.narrow(2, which, 1)?.squeeze(2)?.contiguous()?) };
        let (first, second) = (half(0)?, half(1)?); // A⁻¹, D⁻¹
        let below = if side == 1 { below.neg()? } else { second.matmul(&below)?.matmul(&first)?.neg()? };
        let top = Tensor::cat(&[&first, &first.zeros_like()?], 3)?;
        inverses = Tensor::cat(&[top, Tensor::cat(&[below, second], 3)?], 2)?;
        side *= 2;
    }
    Ok(inverses.reshape((b, h, size, size))?.narrow(2, 0, t)?.narrow(3, 0, t)?.contiguous()?)
}

impl Position for Path {
    fn content_bias(&self, of: &Content<'_>, (queries, keys): (&Places, &Places)) -> Result<Option<Tensor>> {
        let (b, t, _) = of.x.dims3()?;
        // What a token does to the keys before it follows from its x, which a cache does not keep.
        if keys.len() != t || of.k.dim(1)? != t {
            let (rows, len, time) = (queries.n_rows(), t, of.k.dim(1)?);
            return Err(PositionError::Misfit { moment: "content_bias", rows, len, batch: b, time });
        }
        if t > self.max_len {
            return Err(PositionError::TooLong { encoding: "path", len: t, most: self.max_len });
        }
        if t == 0 {
            return Ok(None);
        }
        let (q, k) = (by_head(of.q, self.heads)?, by_head(of.k, self.heads)?); // (B, H, T, K)
        let (w, beta) = (self.directions(of.x)?, self.strengths(of.x)?);
        let n = lower(&w.matmul(&w.t()?)?.broadcast_mul(&beta)?, 1)?; // (B, H, T, T)
        let keys = lower(&w.matmul(&k.t()?)?.broadcast_mul(&beta)?, 1)?; // diag(β)·strictly lower(W Kᵀ)
        let queries = lower(&q.matmul(&w.t()?)?, 0)?;
        let bias = queries.matmul(&inverse(&n)?.matmul(&keys)?)?;
        Ok(Some((bias * -of.scale)?))
    }

    fn is_incremental(&self) -> bool {
        // A later token turns the keys before it; a cache would have to keep each token's w and β as well.
        false
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use attnlab_ops::{Parameters, Streams};
    use candle_core::{DType, Device};

    use super::*;
    use crate::testing::{at, grid, numbers, values};

    const SHAPE: Shape = Shape { d_model: 5, n_heads: 4, head_dim: 3, max_len: 16, causal: true };

    fn built(config: &Config) -> (Box<dyn Position>, Parameters) {
        config.validate(&SHAPE).unwrap();
        let parameters = Parameters::new();
        let vb = parameters.seeded(Streams::new(3), DType::F64, &Device::Cpu);
        let position = config.build(&SHAPE, vb).unwrap();
        assert_eq!(parameters.count(), config.parameter_count(&SHAPE));
        (position, parameters)
    }

    /// w and β of every token of one head, one number at a time.
    fn reflections(
        config: &Config,
        parameters: &Parameters,
        x: &Tensor,
        b: usize,
        head: usize,
    ) -> Vec<(Vec<f64>, f64)> {
        let (d, k, r, t) = (5, 3, config.rank, x.dims()[1]);
        let parameter = |name| values(parameters, name);
        let (down, up) = (parameter("w.down.weight"), parameter("w.up.weight"));
        let (strength, strength_bias) = (parameter("beta.weight"), parameter("beta.bias"));
        let x = |s: usize, e: usize| -> f64 {
            x.get(b).unwrap().get(s).unwrap().get(e).unwrap().to_scalar().unwrap()
        };
        let row = |s: usize, c: usize| -> f64 {
            let narrow = |i: usize| -> f64 { (0..d).map(|e| down[i * d + e] * x(s, e)).sum() };
            (0..r).map(|i| up[(head * k + c) * r + i] * narrow(i)).sum()
        };
        let mut all = Vec::new();
        for s in 0..t {
            let mut w: Vec<f64> = (0..k).map(|c| row(s, c)).collect();
            if config.kernel > 1 {
                let convolution = parameter("conv.weight");
                for (c, w) in w.iter_mut().enumerate() {
                    let mut sum = 0.0;
                    for back in 0..config.kernel.min(s + 1) {
                        let tap = config.kernel - 1 - back;
                        sum += convolution[tap * 12 + head * k + c] * row(s - back, c);
                    }
                    *w = sum / (1.0 + (-sum).exp());
                }
            }
            let length = (w.iter().map(|w| w * w).sum::<f64>() + 1e-6).sqrt();
            let logit = strength_bias[head] + (0..d).map(|e| strength[head * d + e] * x(s, e)).sum::<f64>();
            all.push((w.iter().map(|w| w / length).collect(), 2.0 / (1.0 + (-logit).exp())));
        }
        all
    }

    #[test]
    fn a_score_is_the_query_times_the_key_turned_by_every_token_it_passes() {
        for (config, t) in [
            (Config { rank: 4, ..Config::default() }, 9),
            (Config { kernel: 1, ..Config::default() }, 16),
            (Config { kernel: 5, rank: 1, ..Config::default() }, 1),
        ] {
            let (position, parameters) = built(&config);
            let x = (numbers((2, t, 5), 1) * 2.0).unwrap();
            let (q, k) = (numbers((2, t, 4, 3), 2), numbers((2, t, 2, 3), 3));
            let of = Content { x: &x, q: &q, k: &k, scale: 0.7 };
            let places = Places::range(0, t);
            let bias = position.content_bias(&of, (&places, &places)).unwrap().unwrap();
            let heads = grid([1, 1, 2, 4]);
            let all: Vec<_> =
                heads.map(|(_, _, b, head)| reflections(&config, &parameters, &x, b, head)).collect();
            for (b, head, i, j) in grid([2, 4, t, t]) {
                if j > i {
                    continue; // hidden
                }
                let reflections = &all[4 * b + head];
                let query: Vec<f64> = (0..3).map(|c| at(&q, [b, i, head, c])).collect();
                let key: Vec<f64> = (0..3).map(|c| at(&k, [b, j, head / 2, c])).collect();
                let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
                let mut turned = key.clone();
                for (w, beta) in &reflections[j + 1..=i] {
                    let along = beta * dot(w, &turned);
                    turned.iter_mut().zip(w).for_each(|(k, w)| *k -= along * w);
                }
                let expected = 0.7 * (dot(&query, &turned) - dot(&query, &key));
                let found = at(&bias, [b, head, i, j]);
                assert!((found - expected).abs() < 1e-12, "{i} {j}: {found} {expected}");
            }
        }
    }

    #[test]
    fn the_inverse_keeps_its_digits_where_the_series_would_lose_them() {
        // All w alike and β = 2: entries of N^16 of 33 tokens are beyond 10¹³, those of the inverse are 1 and 2.
        let t = 33;
        let n = lower(&Tensor::full(2f32, (1, 1, t, t), &Device::Cpu).unwrap(), 1).unwrap();
        let inverse = inverse(&n).unwrap().to_dtype(DType::F64).unwrap();
        for (_, _, i, j) in grid([1, 1, t, t]) {
            let sign = if (i + j).is_multiple_of(2) { 1.0 } else { -1.0 };
            let expected = if i > j { 2.0 * sign } else { f64::from(u8::from(i == j)) };
            assert_eq!(at(&inverse, [0, 0, i, j]), expected, "{i} {j}");
        }
    }

    #[test]
    fn what_it_cannot_do_is_refused() {
        let ahead = Shape { causal: false, ..SHAPE };
        assert_eq!(Config::default().validate(&ahead).unwrap_err().field, "kind");
        for (config, field) in [
            (Config { rank: 0, ..Config::default() }, "rank"),
            (Config { kernel: 0, ..Config::default() }, "kernel"),
            (Config { max_len: 15, ..Config::default() }, "max_len"),
        ] {
            assert_eq!(config.validate(&SHAPE).unwrap_err().field, field);
        }
        let (position, _) = built(&Config { max_len: 16, ..Config::default() });
        let bias = |queries: usize, keys: usize| {
            let (x, q) = (numbers((1, queries, 5), 1), numbers((1, queries, 4, 3), 2));
            let of = Content { x: &x, q: &q, k: &numbers((1, keys, 4, 3), 3), scale: 1.0 };
            position.content_bias(&of, (&Places::range(keys - queries, queries), &Places::range(0, keys)))
        };
        let error = bias(17, 17).unwrap_err().to_string();
        assert!(error.contains("17 tokens") && error.contains("position.max_len = 16"), "{error}");
        assert!(matches!(bias(1, 4), Err(PositionError::Misfit { .. })));
    }
}
