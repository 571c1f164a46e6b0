//! A mixture of experts: each token is computed by the few MLPs that a router scores highest.
//!
//! ```text
//! r = x·Wr + b                                    (B, T, E)
//! y = Σ softmax over the k best of r, e of them, · mlp_e(x)
//! ```
//! Softmax over the best alone is what Mixtral's "softmax over all, then renormalise" and gpt-oss's "softmax over the
//! best" both come to.

use attnlab_hooks::NoHooks;
use attnlab_ops as ops;
use candle_core::{D, Tensor};
use candle_nn::VarBuilder;

use crate::config::{Architecture, Experts};
use crate::error::Result;
use crate::mlp::MultiLayerPerceptron;
use crate::projection::{Projection, Role};

pub(crate) struct Mixture {
    router: Projection,
    experts: Vec<MultiLayerPerceptron>,
    per_token: usize,
}

impl Mixture {
    pub(crate) fn new(
        layer: usize,
        experts: Experts,
        architecture: &Architecture,
        vb: VarBuilder,
    ) -> Result<Self> {
        let sizes = (architecture.d_model, experts.count);
        let router = Projection::new(sizes, experts.router_bias, Role::Inner, architecture, vb.pp("router"))?;
        let mut all = Vec::with_capacity(experts.count);
        for e in 0..experts.count {
            all.extend(MultiLayerPerceptron::new(layer, architecture, vb.pp(format!("experts.{e}")))?);
        }
        Ok(Self { router, experts: all, per_token: experts.per_token })
    }

    /// (B, T, D) → (B, T, D).
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (b, t, d) = x.dims3()?;
        let x = x.reshape((b * t, d))?; // (N, D)
        let scores = self.router.forward(&x)?; // (N, E)
        let order =
            scores.contiguous()?.arg_sort_last_dim(false)?.narrow(1, 0, self.per_token)?.contiguous()?;
        let weights = ops::softmax(&scores.contiguous()?.gather(&order, D::Minus1)?)?; // (N, k)
        let chosen: Vec<Vec<u32>> = order.to_vec2()?;
        let flat = weights.flatten_all()?;
        let mut y = x.zeros_like()?;
        for (e, expert) in self.experts.iter().enumerate() {
            let mut tokens = Vec::new();
            let mut places = Vec::new(); // in the list of weights
            for (n, row) in chosen.iter().enumerate() {
                if let Some(rank) = row.iter().position(|&of| of as usize == e) {
                    tokens.push(n as u32);
                    places.push((n * self.per_token + rank) as u32);
                }
            }
            if tokens.is_empty() {
                continue;
            }
            let count = tokens.len();
            let tokens = Tensor::from_vec(tokens, count, x.device())?;
            let places = Tensor::from_vec(places, count, x.device())?;
            let read = x.index_select(&tokens, 0)?.reshape((1, count, d))?;
            let out = expert.forward(&read, &mut NoHooks)?.reshape((count, d))?;
            let out = out.broadcast_mul(&flat.index_select(&places, 0)?.unsqueeze(1)?)?;
            y = y.index_add(&tokens, &out, 0)?;
        }
        Ok(y.reshape((b, t, d))?)
    }
}
