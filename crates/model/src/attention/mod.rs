//! Multi-head attention.
//!
//! ```text
//! q = x·Wq, k = x·Wk, v = x·Wv                       (B, T, H or G, K)
//! s = scale · rotate(q)·rotate(k)ᵀ + bias            (B, H, T, T)
//! z = softmax(mask(s))·v                             (B, T, H, K)    with a null option: its weight has no value
//! y = z·Wo                                           (B, T, D)
//! ```
//! Two routes compute z. The fused one never holds (B, H, T, T); it runs whenever nobody edits the scores or the
//! pattern. Those who only look at maps get them computed on the side, for the heads and rows they asked for, and z
//! stays what it was to the last bit.

mod maps;

use attnlab_hooks::{Observer, Point, Scope, Select, Site, Want, observe};
use attnlab_ops::{self as ops, AttentionDropout, AttentionSpec, DistanceBias, Extras, Null, composed};
use attnlab_positions::{Bias, Places, Position};
use candle_core::Tensor;
use candle_nn::{Init, VarBuilder};

use crate::config::{Mask, ModelConfig, NullOption};
use crate::dropout::Dropout;
use crate::error::Result;
use crate::norm::Normalise;
use crate::projection::{Projection, Role};
use maps::Maps;

/// The points whose value has a T×T map.
const MAP_SITES: [Site; 3] = [Site::ScoresRaw, Site::Scores, Site::Pattern];

pub(crate) struct Attention {
    layer: usize,
    n_heads: usize,
    n_kv_heads: usize,
    head_dim: usize,
    dropout: f64,
    spec: AttentionSpec,
    query: Projection,
    key: Projection,
    value: Projection,
    output: Projection,
    qk_norm: Option<(Normalise, Normalise)>,
    null: NullScore,
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
            let norm = |name: &str| Normalise::rms(k, a.norm_eps, vb.pp(name));
            Some((norm("q_norm")?, norm("k_norm")?))
        } else {
            None
        };
        Ok(Self {
            layer,
            n_heads,
            n_kv_heads,
            head_dim: k,
            dropout: a.attention_dropout,
            spec: AttentionSpec {
                scale: a.attention_scale.unwrap_or(1.0 / (k as f64).sqrt()),
                causal: config.mask == Mask::Causal,
                window: None,
                softcap: None,
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
            qk_norm,
        })
    }

    /// (B, T, D) → (B, T, D).
    pub(crate) fn forward<O: Observer>(
        &self,
        x: &Tensor,
        position: &dyn Position,
        places: &Places,
        masks: Option<&Dropout>,
        observer: &mut O,
    ) -> Result<Tensor> {
        let (b, t, _) = x.dims3()?;
        let point = |site| Point::block(site, self.layer);
        let heads = |projection: &Projection, heads| -> Result<Tensor> {
            Ok(ops::reshape(&projection.forward(x)?, (b, t, heads, self.head_dim))?)
        };

        let q = observe(observer, point(Site::Q), &heads(&self.query, self.n_heads)?)?; // (B, T, H, K)
        let k = observe(observer, point(Site::K), &heads(&self.key, self.n_kv_heads)?)?; // (B, T, G, K)
        let v = observe(observer, point(Site::V), &heads(&self.value, self.n_kv_heads)?)?; // (B, T, G, K)
        let (q, k) = match &self.qk_norm {
            Some((q_norm, k_norm)) => (q_norm.forward(&q)?, k_norm.forward(&k)?),
            None => (q, k),
        };
        let (q, k) = if position.rotates() {
            let q = observe(observer, point(Site::RotQ), &position.rotate(&q, places)?)?;
            let k = observe(observer, point(Site::RotK), &position.rotate(&k, places)?)?;
            (q, k)
        } else {
            (q, k)
        };
        let bias = position.bias(places, places, x.dtype(), x.device())?;

        let edited = MAP_SITES.iter().any(|&site| matches!(observer.wants(point(site)), Want::Edit));
        let dropout = masks.filter(|_| self.dropout > 0.0);
        let dropout = dropout
            .map(|masks| AttentionDropout { p: self.dropout, seed: masks.seed("pattern", self.layer) });
        let z = match &bias {
            Bias::None if !edited => self.fused(&q, &k, &v, None, dropout, observer)?,
            Bias::Distance(by_distance) if !edited => {
                self.fused(&q, &k, &v, Some(by_distance), dropout, observer)?
            }
            _ => self.composed(&q, &k, &v, &bias, dropout, observer)?,
        }; // (B, T, H, K)
        let z = observe(observer, point(Site::Z), &z)?;
        self.project(&z, observer)
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
        let rows = scope.rows.indices(t);
        let heads = scope.heads.indices(self.n_heads);
        let group = self.n_heads / self.n_kv_heads;
        let kv_heads: Vec<usize> = heads.iter().map(|h| h / group).collect();
        let batch = scope.batch.indices(b);
        let q = maps::pick(&maps::pick(&maps::pick(q, 0, &batch)?, 1, &rows)?, 2, &heads)?; // (B', R, H', K)
        let k = maps::pick(&maps::pick(k, 0, &batch)?, 2, &kv_heads)?; // (B', T, H', K)
        let maps = Maps { spec: &self.spec, rows: &rows, len: t };
        let scores = composed::raw_scores(&q, &k, self.spec.scale)?; // (B', H', R, T)
        if site == Site::ScoresRaw {
            return Ok(scores);
        }
        let bias = bias.map(|bias| maps.by_distance(bias, &heads)).transpose()?;
        let scores = maps.finish(&scores, bias.as_ref())?;
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
        bias: &Bias,
        dropout: Option<AttentionDropout>,
        observer: &mut O,
    ) -> Result<Tensor> {
        let (b, t, h, _) = q.dims4()?;
        let rows: Vec<usize> = (0..t).collect();
        let heads: Vec<usize> = (0..self.n_heads).collect();
        let point = |site| Point::block(site, self.layer);
        let maps = Maps { spec: &self.spec, rows: &rows, len: t };
        let bias = match bias {
            Bias::None => None,
            Bias::Distance(by_distance) => Some(maps.by_distance(by_distance, &heads)?),
            Bias::Full(full) => Some(full.clone()),
        };
        let scores = composed::raw_scores(q, k, self.spec.scale)?; // (B, H, T, T)
        let scores = observe(observer, point(Site::ScoresRaw), &scores)?;
        let scores = observe(observer, point(Site::Scores), &maps.finish(&scores, bias.as_ref())?)?;
        let pattern = pattern_of(&scores, self.null.as_null())?;
        let pattern = observe(observer, point(Site::Pattern), &pattern)?;
        let pattern = match dropout {
            Some(dropout) => {
                (&pattern * dropout.factors((b, h, t, t), pattern.dtype(), pattern.device())?)?
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
