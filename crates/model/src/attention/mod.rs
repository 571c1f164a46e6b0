//! Multi-head attention.
//!
//! ```text
//! q = x·Wq, k = x·Wk, v = x·Wv                       (B, T, H or G, K)
//! s = cap(scale · c·rotate(q)·rotate(k)ᵀ) + bias     (B, H, T, T)    c: what the encoding scales queries by, mostly 1
//! z = softmax(mask(s))·v                             (B, T, H, K)    with a null option: its weight has no value
//! y = z·Wo                                           (B, T, D)
//! ```
//! Two routes compute z. The fused one never holds (B, H, T, T); it runs whenever nobody edits the scores or the
//! pattern. Those who only look at maps get them computed on the side, for the heads and rows they asked for, and z
//! stays what it was to the last bit.

mod maps;

use attnlab_hooks::{Observer, Point, Scope, Select, Site, Want, observe};
use attnlab_ops::{
    self as ops, AttentionDropout, AttentionSpec, DistanceBias, Extras, Null, WatchedScores, composed,
};
use attnlab_positions::{Bias, Content, Places, Position};
use candle_core::Tensor;
use candle_nn::{Init, VarBuilder};

use crate::cache::LayerCache;
use crate::config::{Mask, ModelConfig, NullOption};
use crate::dropout::Dropout;
use crate::error::Result;
use crate::norm::HeadNorm;
use crate::projection::{Projection, Role};
use maps::Maps;

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
    null: NullScore,
}

/// Where the tokens of one pass stand, and how positions enter.
pub(crate) struct Where<'a> {
    pub(crate) position: &'a dyn Position,
    /// Those of the queries.
    pub(crate) queries: &'a Places,
    /// Those of the keys: the cache's and the queries'.
    pub(crate) keys: &'a Places,
}

/// What is added to the scores.
struct Biases {
    by_distance: Option<DistanceBias>,
    /// (B or 1, H, Tq or 1, Tk) each.
    full: Vec<Tensor>,
}

/// The score of the option to attend to nothing.
enum NullScore {
    None,
    Zero,
    Learned(Tensor), // (H)
}

impl NullScore {
    fn as_null(&self) -> Option<Null<'_>> {
        match self {
            Self::None => None,
            Self::Zero => Some(Null::Zero),
            Self::Learned(scores) => Some(Null::Learned(scores)),
        }
    }

    /// That of some heads.
    fn of_heads(&self, heads: &[usize]) -> Result<Self> {
        Ok(match self {
            Self::None => Self::None,
            Self::Zero => Self::Zero,
            Self::Learned(scores) => Self::Learned(maps::pick(scores, 0, heads)?),
        })
    }
}

impl Attention {
    pub(crate) fn new(layer: usize, config: &ModelConfig, vb: VarBuilder) -> Result<Self> {
        let a = &config.architecture;
        let (d, k) = (a.d_model, a.head_width());
        let (n_heads, n_kv_heads) = (a.n_heads, a.kv_heads());
        let inward =
            |heads, name: &str| Projection::new((d, heads * k), a.qkv_bias, Role::Inner, a, vb.pp(name));
        let qk_norm = if a.qk_norm {
            let norm = |heads, name: &str| HeadNorm::new((heads, k), a, vb.pp(name));
            Some((norm(n_heads, "q_norm")?, norm(n_kv_heads, "k_norm")?))
        } else {
            None
        };
        let own = config.layer(layer);
        Ok(Self {
            layer,
            n_heads,
            n_kv_heads,
            head_dim: k,
            dropout: a.attention_dropout,
            spec: AttentionSpec {
                scale: own.attention_scale.or(a.attention_scale).unwrap_or(1.0 / (k as f64).sqrt()),
                causal: config.mask == Mask::Causal,
                window: own.window,
                softcap: a.attention_softcap,
            },
            query: inward(n_heads, "q")?,
            key: inward(n_kv_heads, "k")?,
            value: inward(n_kv_heads, "v")?,
            null: match a.null_option {
                NullOption::None => NullScore::None,
                NullOption::Zero => NullScore::Zero,
                NullOption::Learned => {
                    NullScore::Learned(vb.get_with_hints(n_heads, "null", Init::Const(0.0))?)
                }
            },
            output: Projection::new((n_heads * k, d), a.out_bias, Role::ToStream, a, vb.pp("o"))?,
            clip: a.clip_qkv,
            qk_norm,
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
            let q = observe(observer, point(Site::RotQ), &at.position.rotate(&q, at.queries)?)?;
            let k = observe(observer, point(Site::RotK), &at.position.rotate(&k, at.queries)?)?;
            (q, k)
        } else {
            (q, k)
        };
        let (k, v) = match cache {
            Some(cache) => cache.extend(&k, &v)?, // (B, Tk, G, K)
            None => (k, v),
        };
        let biases = self.biases(&Content { x, q: &q, k: &k, scale: self.spec.scale }, at)?;
        // After `RotQ`, which is the rotation alone; from `ScoresRaw` on the factor is seen.
        let q = at.position.scale_queries(&q, (at.queries, at.keys))?;

        let edited = MAP_SITES.iter().any(|&site| matches!(observer.wants(point(site)), Want::Edit));
        let dropout = masks.filter(|_| self.dropout > 0.0);
        let dropout = dropout
            .map(|masks| AttentionDropout { p: self.dropout, seed: masks.seed("pattern", self.layer) });
        let z = if edited || !biases.full.is_empty() {
            self.composed(&q, &k, &v, &biases, dropout, observer)?
        } else {
            self.fused(&q, &k, &v, biases.by_distance.as_ref(), dropout, observer)?
        }; // (B, T, H, K)
        let z = observe(observer, point(Site::Z), &z)?;
        self.project(&z, observer)
    }

    fn biases(&self, of: &Content<'_>, at: &Where<'_>) -> Result<Biases> {
        let mut biases = Biases { by_distance: None, full: Vec::new() };
        match at.position.bias(at.queries, at.keys, of.q.dtype(), of.q.device())? {
            Bias::None => {}
            Bias::Distance(bias) => biases.by_distance = Some(bias),
            Bias::Full(bias) => biases.full.push(bias),
        }
        biases.full.extend(at.position.content_bias(of, (at.queries, at.keys))?);
        Ok(biases)
    }

    /// z without a map; maps on the side for those who look.
    fn fused<O: Observer>(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        bias: Option<&DistanceBias>,
        dropout: Option<AttentionDropout>,
        observer: &mut O,
    ) -> Result<Tensor> {
        for site in MAP_SITES {
            let point = Point::block(site, self.layer);
            let Want::Look(scope) = observer.wants(point) else { continue };
            let scope = scope.clone();
            let map = self.map_in_scope(site, &scope, q, k, bias)?;
            observer.see(point, &map)?;
        }
        let extras = Extras { bias, null: self.null.as_null(), dropout };
        Ok(match observer.watches(self.layer) {
            Some(watch) => ops::attention_watched(q, k, v, &extras, &self.spec, &*watch)?,
            None => ops::attention(q, k, v, &extras, &self.spec)?,
        })
    }

    /// The map of one site, computed for the examples, heads and query rows in scope and no others.
    fn map_in_scope(
        &self,
        site: Site,
        scope: &Scope,
        q: &Tensor,
        k: &Tensor,
        bias: Option<&DistanceBias>,
    ) -> Result<Tensor> {
        let (b, t, _, _) = q.dims4()?;
        let keys = k.dim(1)?;
        let rows = scope.rows.indices(t);
        let heads = scope.heads.indices(self.n_heads);
        let group = self.n_heads / self.n_kv_heads;
        let kv_heads: Vec<usize> = heads.iter().map(|h| h / group).collect();
        let batch = scope.batch.indices(b);
        let q = maps::pick(&maps::pick(&maps::pick(q, 0, &batch)?, 1, &rows)?, 2, &heads)?; // (B', R, H', K)
        let k = maps::pick(&maps::pick(k, 0, &batch)?, 2, &kv_heads)?; // (B', T, H', K)
        let maps = Maps { spec: &self.spec, rows: &rows, queries: t, keys };
        let scores = composed::raw_scores(&q, &k, self.spec.scale)?; // (B', H', R, T)
        if site == Site::ScoresRaw {
            return Ok(scores);
        }
        let bias = bias.map(|bias| maps.by_distance(bias, &heads)).transpose()?;
        let scores = maps.finish(&scores, bias.as_slice())?;
        if site == Site::Scores {
            return Ok(scores);
        }
        pattern_of(&scores, self.null.of_heads(&heads)?.as_null())
    }

    /// z through the whole map, which the observer may edit at each stage.
    fn composed<O: Observer>(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        biases: &Biases,
        dropout: Option<AttentionDropout>,
        observer: &mut O,
    ) -> Result<Tensor> {
        let (b, t, h, _) = q.dims4()?;
        let keys = k.dim(1)?;
        let rows: Vec<usize> = (0..t).collect();
        let heads: Vec<usize> = (0..self.n_heads).collect();
        let point = |site| Point::block(site, self.layer);
        let maps = Maps { spec: &self.spec, rows: &rows, queries: t, keys };
        let mut all = biases.full.clone();
        if let Some(bias) = &biases.by_distance {
            all.push(maps.by_distance(bias, &heads)?);
        }
        let scores = composed::raw_scores(q, k, self.spec.scale)?; // (B, H, T, T)
        let scores = observe(observer, point(Site::ScoresRaw), &scores)?;
        let scores = observe(observer, point(Site::Scores), &maps.finish(&scores, &all)?)?;
        let pattern = pattern_of(&scores, self.null.as_null())?;
        let pattern = observe(observer, point(Site::Pattern), &pattern)?;
        if let Some(watch) = observer.watches(self.layer) {
            // Of an edited pattern the scores say nothing any more.
            let edited = matches!(observer.wants(point(Site::Pattern)), Want::Edit);
            let known = WatchedScores { scores: &scores, null: self.null.as_null() };
            ops::watch_pattern(&pattern, (!edited).then_some(known), &self.spec, &*watch)?;
        }
        let pattern = match dropout {
            Some(dropout) => {
                (&pattern * dropout.factors((b, h, t, keys), pattern.dtype(), pattern.device())?)?
            }
            None => pattern,
        };
        Ok(composed::weighted_values(&pattern, v)?) // (B, T, H, K)
    }

    /// z·Wo, (B, T, D). Each head's own contribution, (B, T, H, D) without the bias, is computed only for those who
    /// look at it, and summed up only for those who edit it.
    fn project<O: Observer>(&self, z: &Tensor, observer: &mut O) -> Result<Tensor> {
        let (b, t, h, k) = z.dims4()?;
        let point = Point::block(Site::HeadOut, self.layer);
        let edited = match observer.wants(point) {
            Want::Nothing => None,
            Want::Look(scope) => {
                let heads = scope.heads.indices(h);
                let rest = Scope { heads: Select::All, ..scope.clone() };
                observer.see(point, &rest.cut(Site::HeadOut, &self.head_outputs(z, &heads)?)?)?;
                None
            }
            Want::Edit => {
                let all: Vec<usize> = (0..h).collect();
                observer.see(point, &self.head_outputs(z, &all)?)?
            }
        };
        match edited {
            None => self.output.forward(&ops::reshape(z, (b, t, h * k))?),
            Some(outputs) => self.output.add_bias(&outputs.sum(2)?),
        }
    }

    /// z_h·Wo_hᵀ of the given heads, (B, T, heads, D).
    fn head_outputs(&self, z: &Tensor, heads: &[usize]) -> Result<Tensor> {
        let output = |&h: &usize| {
            let weight = self.output.weight_columns(h * self.head_dim, self.head_dim)?; // (D, K)
            Ok(ops::linear(&z.narrow(2, h, 1)?.contiguous()?, &weight, None)?) // (B, T, 1, D)
        };
        Ok(Tensor::cat(&heads.iter().map(output).collect::<Result<Vec<_>>>()?, 2)?)
    }
}

/// The weights of the keys, (B, H, R, T), from scores in which hidden keys have −∞.
fn pattern_of(scores: &Tensor, null: Option<Null<'_>>) -> Result<Tensor> {
    Ok(match null {
        None => ops::softmax(scores)?,
        null => composed::pattern(scores, null)?,
    })
}
