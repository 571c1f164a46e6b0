//! Disentangled attention: queries also meet a learned vector of the distance, and so do keys.

use attnlab_ops as ops;
use candle_core::Tensor;
use candle_nn::{Init, VarBuilder};
use serde::{Deserialize, Serialize};

use crate::error::{ConfigError, Result};
use crate::pairs::{Pairs, by_head, pick};
use crate::places::Places;
use crate::position::{Content, Position};
use crate::registry::{Encoding, Enters, Info, Shape};

/// Options of disentangled attention.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Vectors for each direction, S: distances from −S to S − 1.
    pub span: usize,
    /// Distances up to span/2 have a vector each; farther ones share them logarithmically up to this one. None: every
    /// distance has its own, up to the span.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_distance: Option<usize>,
    /// Queries meet the distance ("c2p").
    pub content_to_position: bool,
    /// Keys meet the distance ("p2c").
    pub position_to_content: bool,
    /// LayerNorm over the distance's vector.
    pub norm: bool,
    /// Biases on the projections of the distance's vector.
    pub bias: bool,
    /// ε of that norm.
    pub norm_eps: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            span: 32,
            max_distance: None,
            content_to_position: true,
            position_to_content: true,
            norm: false,
            bias: false,
            norm_eps: 1e-7,
        }
    }
}

impl Config {
    /// The terms of a score: content to content, and those of positions.
    pub fn terms(&self) -> usize {
        1 + usize::from(self.content_to_position) + usize::from(self.position_to_content)
    }

    /// The bucket of the distance i − j, between −S and S. Computed in f32 as transformers does.
    fn bucket(&self, distance: i64) -> i64 {
        let Some(max_distance) = self.max_distance else { return distance };
        let middle = self.span as i64 / 2;
        if distance.abs() <= middle {
            return distance;
        }
        let (far, near) = (distance.abs() as f32, middle as f32);
        let whole = (((max_distance as f64 - 1.0) / middle as f64) as f32).ln();
        let bucket = ((far / near).ln() / whole * (middle - 1) as f32).ceil() as i64 + middle;
        distance.signum() * bucket
    }

    /// The row of the table for the distance.
    fn row(&self, distance: i64) -> u32 {
        let span = self.span as i64;
        (self.bucket(distance) + span).clamp(0, 2 * span - 1) as u32
    }
}

impl Encoding for Config {
    const INFO: Info = Info {
        kind: "disentangled",
        title: "disentangled attention (DeBERTa)",
        formula: "score_ij + (q_i·Wk r(i − j) + k_j·Wq r(i − j)) / √(K·terms); r: a learned vector per distance",
        enters: Enters::Scores,
        parameters: "r: 2·span × d_model; Wq, Wk: d_model × n_heads·head_dim per block or model; a norm of r if asked for",
        source: "He et al. 2020 (arXiv 2006.03654); buckets: DeBERTa-v2's code",
        example: "kind = \"disentangled\"\nspan = 16\nmax_distance = 64\ncontent_to_position = true\n\
                  position_to_content = true\nnorm = true\nbias = true\nnorm_eps = 1e-7\n",
    };

    fn label(&self) -> String {
        if *self == Self::default() {
            return "disentangled".to_owned();
        }
        let parts =
            [(self.content_to_position, "c2p"), (self.position_to_content, "p2c"), (self.norm, "norm")];
        let parts: Vec<&str> = parts.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect();
        format!("disentangled ({}, span {})", parts.join(" "), self.span)
    }

    fn validate(&self, _: &Shape) -> std::result::Result<(), ConfigError> {
        if self.span < 4 || self.span > 1 << 20 {
            return Err(ConfigError::new("span", format!("{} is not between 4 and 1048576", self.span)));
        }
        if let Some(max) = self.max_distance
            && (max <= self.span / 2 + 1 || max > 1 << 30)
        {
            let problem =
                format!("{max} is not above {}, the distances with a vector of their own", self.span / 2 + 1);
            return Err(ConfigError::new("max_distance", problem));
        }
        if !(self.norm_eps.is_finite() && self.norm_eps > 0.0) {
            return Err(ConfigError::new("norm_eps", format!("{} is not a positive number", self.norm_eps)));
        }
        Ok(())
    }

    fn parameter_count(&self, shape: &Shape) -> usize {
        let projections = self.terms() - 1;
        let width = shape.n_heads.saturating_mul(shape.head_dim);
        let rows = (2 * self.span).saturating_add(projections.saturating_mul(width));
        rows.saturating_mul(shape.d_model)
    }

    fn build(&self, shape: &Shape, vb: VarBuilder) -> Result<Box<dyn Position>> {
        let (d, width) = (shape.d_model, shape.n_heads * shape.head_dim);
        let init = Init::Randn { mean: 0.0, stdev: 0.02 };
        let project = |on: bool, name: &str| -> Result<Option<Projection>> {
            if !on {
                return Ok(None);
            }
            let weight = vb.get_with_hints((width, d), &format!("{name}.weight"), init)?;
            let bias = match self.bias {
                true => Some(vb.get_with_hints(width, &format!("{name}.bias"), Init::Const(0.0))?),
                false => None,
            };
            Ok(Some(Projection { weight, bias }))
        };
        let norm = match self.norm {
            true => {
                let weight = vb.get_with_hints(d, "norm.weight", Init::Const(1.0))?;
                Some((weight, vb.get_with_hints(d, "norm.bias", Init::Const(0.0))?))
            }
            false => None,
        };
        Ok(Box::new(Disentangled {
            table: vb.get_with_hints((2 * self.span, d), "weight", init)?,
            norm,
            key: project(self.content_to_position, "k")?,
            query: project(self.position_to_content, "q")?,
            scale: 1.0 / ((shape.head_dim * self.terms()) as f64).sqrt(),
            heads: shape.n_heads,
            config: self.clone(),
        }))
    }
}

struct Projection {
    weight: Tensor, // (H·K, D)
    bias: Option<Tensor>,
}

struct Disentangled {
    config: Config,
    heads: usize,
    scale: f64,
    table: Tensor, // (2S, D)
    norm: Option<(Tensor, Tensor)>,
    key: Option<Projection>,
    query: Option<Projection>,
}

impl Disentangled {
    /// The vectors of all distances for one head each, (1, H, K, 2S).
    fn vectors(&self, projection: &Projection) -> Result<Tensor> {
        let table = match &self.norm {
            Some((weight, bias)) => ops::layer_norm(&self.table, weight, Some(bias), self.config.norm_eps)?,
            None => self.table.clone(),
        };
        let vectors = ops::linear(&table, &projection.weight, projection.bias.as_ref())?; // (2S, H·K)
        let (rows, width) = vectors.dims2()?;
        let vectors = vectors.reshape((1, rows, self.heads, width / self.heads))?;
        Ok(vectors.permute((0, 2, 3, 1))?.contiguous()?)
    }

    /// x (B, T, H or G, K) against every distance, of which pair (a, b) takes that of `index`: (B, H, T, T').
    fn meet(&self, x: &Tensor, projection: &Projection, index: &Tensor) -> Result<Tensor> {
        let all = by_head(x, self.heads)?.broadcast_matmul(&self.vectors(projection)?)?; // (B, H, T, 2S)
        Ok((pick(&all, index)? * self.scale)?)
    }
}

impl Position for Disentangled {
    fn content_bias(
        &self,
        Content { q, k, .. }: &Content<'_>,
        (queries, keys): (&Places, &Places),
    ) -> Result<Option<Tensor>> {
        let pairs = Pairs::new(queries, keys)?;
        let index = pairs.index(|distance| self.config.row(distance), q.device())?; // (rows, 1, Tq, Tk)
        let shape = (q.dim(0)?, self.heads, pairs.queries, pairs.keys);
        let mut bias = Tensor::zeros(shape, q.dtype(), q.device())?;
        if let Some(key) = &self.key {
            bias = (bias + self.meet(q, key, &index)?)?;
        }
        if let Some(query) = &self.query {
            bias = (bias + self.meet(k, query, &index.transpose(2, 3)?)?.transpose(2, 3)?)?;
        }
        Ok(Some(bias))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_distances_have_their_own_vector_and_far_ones_share_one() {
        let config = Config { span: 8, max_distance: Some(64), ..Config::default() };
        let rows: Vec<u32> = [-70, -5, -4, 0, 4, 5, 70].into_iter().map(|d| config.row(d)).collect();
        assert_eq!(rows, [0, 3, 4, 8, 12, 13, 15]);
        let plain = Config { span: 8, ..Config::default() };
        assert_eq!([-9, -8, 7, 8].map(|d| plain.row(d)), [0, 0, 15, 15]);
    }
}
