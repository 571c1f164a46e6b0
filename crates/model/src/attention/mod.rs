//! Multi-head attention.
//!
//! ```text
//! q = x·Wq, k = x·Wk, v = x·Wv                       (B, T, H or G, K)
//! s = cap(scale · c·rotate(q)·rotate(k)ᵀ) + bias     (B, H, T, T)    c: what queries are scaled by, mostly 1
//! A = weights(mask(s))                               (B, H, T, T)    softmax, unless [`weights`] says otherwise
//! z = gate ⊙ (A·v)                                   (B, T, H, K)    a null option's weight has no value
//! y = z·Wo                                           (B, T, D)
//! ```
//! [`registry`] lists the forms: `weights` has what scores can become, one file each; the other files what may stand
//! around them, and are nothing by default.
//!
//! Two routes compute z ([`route`]). The fused one never holds (B, H, T, T); it runs whenever the weights are softmaxes
//! and nobody edits the scores or the pattern. Those who only look at maps get them computed on the side, for the heads
//! and rows they asked for, and z stays what it was to the last bit.

pub(crate) mod extra_key;
pub(crate) mod gate;
mod maps;
mod null_option;
mod output;
pub(crate) mod registers;
pub(crate) mod registry;
mod route;
pub(crate) mod ssmax;
mod watch;
pub(crate) mod weights;

use attnlab_hooks::{Observer, Point, Site, Want, observe};
use attnlab_ops::{self as ops, AttentionDropout, AttentionSpec, DistanceBias};
use attnlab_positions::{Bias, Content, Places, Position};
use candle_core::Tensor;
use candle_nn::VarBuilder;

use crate::cache::LayerCache;
use crate::config::{Mask, ModelConfig};
use crate::dropout::Dropout;
use crate::error::Result;
use crate::norm::HeadNorm;
use crate::projection::{Projection, Role};
use extra_key::Extra;
use gate::OutputGate;
use ssmax::Factors;
use weights::{Distances, Weights};

/// The points whose value has a T×T map.
const MAP_SITES: [Site; 3] = [Site::ScoresRaw, Site::Scores, Site::Pattern];

pub(crate) struct Attention {
    layer: usize,
    pub(crate) n_heads: usize,
    pub(crate) n_kv_heads: usize,
    pub(crate) head_dim: usize,
    dropout: f64,
    spec: AttentionSpec,
    pub(crate) query: Projection,
    pub(crate) key: Projection,
    pub(crate) value: Projection,
    pub(crate) output: Projection,
    clip: Option<f64>,
    qk_norm: Option<(HeadNorm, HeadNorm)>,
    /// Into how many parts queries and keys are cut, each with scores of its own.
    parts: usize,
    factors: Option<Factors>,
    weights: Box<dyn Weights>,
    extra: Option<Extra>,
    gate: Option<OutputGate>,
    registers: usize,
}

/// Where the tokens of one pass stand, and how positions enter.
pub(crate) struct Where<'a> {
    pub(crate) position: &'a dyn Position,
    /// Those of the queries.
    pub(crate) queries: &'a Places,
    /// Those of the keys: the cache's and the queries'.
    pub(crate) keys: &'a Places,
    /// How many of the queries are registers, the first ones.
    pub(crate) registers: usize,
}

/// What the scores of one part are made of.
struct Part {
    q: Tensor, // (B, Tq, H, K')
    k: Tensor, // (B, Tk, G, K')
    by_distance: Option<DistanceBias>,
    /// (B or 1, H, Tq or 1, Tk) each.
    full: Vec<Tensor>,
}

impl Attention {
    pub(crate) fn new(layer: usize, config: &ModelConfig, vb: VarBuilder) -> Result<Self> {
        let a = &config.architecture;
        let (d, k) = (a.d_model, a.head_width());
        let (n_heads, n_kv_heads) = (a.n_heads, a.kv_heads());
        let inward =
            |heads, name: &str| Projection::in_block((d, heads * k), a.qkv_bias, Role::Inner, a, vb.pp(name));
        let qk_norm = if a.qk_norm {
            let norm = |heads, name: &str| HeadNorm::new((heads, k), a, vb.pp(name));
            Some((norm(n_heads, "q_norm")?, norm(n_kv_heads, "k_norm")?))
        } else {
            None
        };
        let own = config.layer(layer);
        let parts = a.attention.weights.parts();
        let scale = 1.0 / ((k / parts) as f64).sqrt();
        let place = weights::Place { layer, architecture: a };
        Ok(Self {
            layer,
            n_heads,
            n_kv_heads,
            head_dim: k,
            dropout: a.attention_dropout,
            spec: AttentionSpec {
                scale: own.attention_scale.or(a.attention_scale).unwrap_or(scale),
                causal: config.mask == Mask::Causal,
                window: own.window,
                softcap: a.attention_softcap,
            },
            query: inward(n_heads, "q")?,
            key: inward(n_kv_heads, "k")?,
            value: inward(n_kv_heads, "v")?,
            output: Projection::in_block((n_heads * k, d), a.out_bias, Role::ToStream, a, vb.pp("o"))?,
            clip: a.clip_qkv,
            qk_norm,
            parts,
            factors: Factors::new(a, vb.clone())?,
            weights: a.attention.weights.build(&place, vb.clone())?,
            extra: Extra::new(a, vb.clone())?,
            gate: OutputGate::new(a, vb)?,
            registers: a.registers,
        })
    }

    /// (B, T, D) → (B, T, D).
    pub(crate) fn forward<O: Observer>(
        &self,
        x: &Tensor,
        at: &Where<'_>,
        masks: Option<&Dropout>,
        cache: Option<&mut LayerCache>,
        observer: &mut O,
    ) -> Result<Tensor> {
        let (b, t, _) = x.dims3()?;
        let point = |site| Point::block(site, self.layer);
        let heads = |projection: &Projection, heads| -> Result<Tensor> {
            let y = projection.forward(x)?;
            let y = match self.clip {
                Some(bound) => y.clamp(-bound, bound)?,
                None => y,
            };
            Ok(ops::reshape(&y, (b, t, heads, self.head_dim))?)
        };

        let q = observe(observer, point(Site::Q), &heads(&self.query, self.n_heads)?)?; // (B, T, H, K)
        let k = observe(observer, point(Site::K), &heads(&self.key, self.n_kv_heads)?)?; // (B, T, G, K)
        let v = observe(observer, point(Site::V), &heads(&self.value, self.n_kv_heads)?)?; // (B, T, G, K)
        let (q, k) = match &self.qk_norm {
            Some((q_norm, k_norm)) => (q_norm.forward(&q)?, k_norm.forward(&k)?),
            None => (q, k),
        };
        let (q, k) = if at.position.rotates() {
            let q = observe(observer, point(Site::RotQ), &self.rotate(&q, at)?)?;
            let k = observe(observer, point(Site::RotK), &self.rotate(&k, at)?)?;
            (q, k)
        } else {
            (q, k)
        };
        let (k, v) = match cache {
            Some(cache) => cache.extend(&k, &v)?, // (B, Tk, G, K)
            None => (k, v),
        };
        let parts = (0..self.parts).map(|part| self.part(part, x, &q, &k, at)).collect::<Result<Vec<_>>>()?;

        let edited = MAP_SITES.iter().any(|&site| matches!(observer.wants(point(site)), Want::Edit));
        let dropout = masks.filter(|_| self.dropout > 0.0);
        let dropout = dropout
            .map(|masks| AttentionDropout { p: self.dropout, seed: masks.seed("pattern", self.layer) });
        let pass = route::Pass { parts: &parts, v: &v, dropout, training: masks.is_some(), at };
        let softmaxes =
            if edited || !self.has_fused_biases(&parts) { None } else { self.weights.softmaxes()? };
        let z = match softmaxes {
            Some(softmaxes) => self.fused(&pass, &softmaxes, observer)?,
            None => self.composed(&pass, observer)?,
        }; // (B, T, H, K)
        let z = self.weights.finish(z)?;
        let z = match &self.gate {
            Some(gate) => gate.apply(&z, x)?,
            None => z,
        };
        let z = observe(observer, point(Site::Z), &z)?;
        self.project(&z, observer)
    }

    /// Queries or keys (B, T, heads, K), each part turned alone.
    fn rotate(&self, qk: &Tensor, at: &Where<'_>) -> Result<Tensor> {
        if self.parts == 1 {
            return Ok(at.position.rotate(qk, at.queries)?);
        }
        let (b, t, heads, width) = qk.dims4()?;
        let parts = ops::reshape(&qk.contiguous()?, (b, t, heads * self.parts, width / self.parts))?;
        Ok(ops::reshape(&at.position.rotate(&parts, at.queries)?, (b, t, heads, width))?)
    }

    /// What the scores of a part are made of.
    fn part(&self, part: usize, x: &Tensor, q: &Tensor, k: &Tensor, at: &Where<'_>) -> Result<Part> {
        let width = self.head_dim / self.parts;
        let of_part = |qk: &Tensor| -> Result<Tensor> {
            if self.parts == 1 {
                return Ok(qk.clone());
            }
            Ok(qk.narrow(3, part * width, width)?.contiguous()?)
        };
        let (q, k) = (of_part(q)?, of_part(k)?);
        let (mut by_distance, mut full) = (None, Vec::new());
        match at.position.bias(at.queries, at.keys, q.dtype(), q.device())? {
            Bias::None => {}
            Bias::Distance(bias) => by_distance = Some(bias),
            Bias::Full(bias) => full.push(bias),
        }
        let of = Content { x, q: &q, k: &k, scale: self.spec.scale };
        full.extend(at.position.content_bias(&of, (at.queries, at.keys))?);
        // After `RotQ`, which is the rotation alone; from `ScoresRaw` on the factors are seen.
        let q = at.position.scale_queries(&q, (at.queries, at.keys))?;
        let q = match &self.factors {
            Some(factors) => {
                let (queries, keys) = (q.dim(1)?, k.dim(1)?);
                factors.scale(&q, &maps::seen(&self.spec, 0..queries, queries, keys))?
            }
            None => q,
        };
        Ok(Part { q, k, by_distance, full })
    }

    /// Whether the kernel can add what is added to the scores. It knows biases of distance, but not that an extra key,
    /// which it takes for the first of the sequence, has none, and is to be seen beyond a window.
    fn has_fused_biases(&self, parts: &[Part]) -> bool {
        let extra = self.extra.is_some();
        let fits = |part: &Part| part.full.is_empty() && !(extra && part.by_distance.is_some());
        parts.iter().all(fits) && !(extra && self.spec.window.is_some())
    }

    /// What the weights themselves add to the scores.
    fn own_bias(&self, part: &Part) -> Result<Option<DistanceBias>> {
        let distances = Distances { queries: part.q.dim(1)?, keys: part.k.dim(1)?, causal: self.spec.causal };
        self.weights.bias(&distances)
    }
}
