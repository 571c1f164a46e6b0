//! The two routes to z: through the fused kernel, and through the whole map.

use attnlab_hooks::{Observer, Point, Scope, Site, Want, observe};
use attnlab_ops::{self as ops, AttentionDropout, Extras, Null, WatchRows, WatchedScores, composed};
use candle_core::Tensor;

use super::maps::{Maps, pick};
use super::watch::{Lacking, OfText};
use super::weights::{Mass, Rows, Softmax};
use super::{Attention, MAP_SITES, Part, Where};
use crate::error::Result;

/// One pass of one layer.
pub(super) struct Pass<'a> {
    pub(super) parts: &'a [Part],
    pub(super) v: &'a Tensor, // (B, Tk, G, K)
    pub(super) dropout: Option<AttentionDropout>,
    pub(super) training: bool,
    pub(super) at: &'a Where<'a>,
}

impl Attention {
    /// z without a map, as a sum of softmaxes; maps on the side for those who look.
    pub(super) fn fused<O: Observer>(
        &self,
        pass: &Pass<'_>,
        softmaxes: &[Softmax<'_>],
        observer: &mut O,
    ) -> Result<Tensor> {
        for site in self.map_sites() {
            let point = Point::block(site, self.layer);
            let Want::Look(scope) = observer.wants(point) else { continue };
            let scope = scope.clone();
            let map = self.map_in_scope(site, &scope, pass)?;
            observer.see(point, &map)?;
        }
        let mut watch = observer.watches(self.layer);
        if softmaxes.len() > 1
            && let Some(watch) = watch.take()
        {
            // No kernel has the rows of a sum.
            let pattern = self.map_in_scope(Site::Pattern, &Scope::default(), pass)?;
            self.show(&pattern, None, pass, &*watch)?;
        }
        let mut sum: Option<Tensor> = None;
        for (at, (part, softmax)) in pass.parts.iter().zip(softmaxes).enumerate() {
            let z = self.softmax_of(at, part, softmax.null, pass, watch.as_deref())?;
            let z = match &softmax.factor {
                Some(factor) => z.broadcast_mul(factor)?,
                None => z,
            };
            sum = Some(match sum {
                Some(sum) => ops::add(&sum, &z)?,
                None => z,
            });
        }
        match sum {
            Some(z) => Ok(z),
            None => Ok(pass.v.zeros_like()?),
        }
    }

    /// softmax(s)·v of one part.
    fn softmax_of(
        &self,
        at: usize,
        part: &Part,
        null: Option<Null<'_>>,
        pass: &Pass<'_>,
        watch: Option<&dyn WatchRows>,
    ) -> Result<Tensor> {
        let extras = Extras { bias: part.by_distance.as_ref(), null, dropout: pass.dropout };
        let whole;
        let (q, k) = if self.parts == 1 {
            (&part.q, &part.k)
        } else {
            // The kernel wants keys as wide as values: zeros beside the part.
            whole = (self.widened(&part.q, at)?, self.widened(&part.k, at)?);
            (&whole.0, &whole.1)
        };
        let with_extra;
        let (k, v) = match &self.extra {
            Some(extra) => {
                with_extra = extra.prepend(k, pass.v)?;
                (&with_extra.0, &with_extra.1)
            }
            None => (k, pass.v),
        };
        let Some(watch) = watch else {
            return Ok(ops::attention(q, k, v, &extras, &self.spec)?);
        };
        let extra_keys = usize::from(self.extra.is_some());
        if extra_keys + self.registers == 0 {
            return Ok(ops::attention_watched(q, k, v, &extras, &self.spec, watch)?);
        }
        let of_text = OfText { watch, queries: pass.at.registers, keys: extra_keys + self.registers };
        Ok(ops::attention_watched(q, k, v, &extras, &self.spec, &of_text)?)
    }

    /// (B, T, heads, K') at its place among zeros, (B, T, heads, K).
    fn widened(&self, x: &Tensor, at: usize) -> Result<Tensor> {
        let (b, t, heads, width) = x.dims4()?;
        let zeros = |parts: usize| Tensor::zeros((b, t, heads, parts * width), x.dtype(), x.device());
        Ok(Tensor::cat(&[&zeros(at)?, x, &zeros(self.parts - 1 - at)?], 3)?)
    }

    /// The sites that have one map a head.
    fn map_sites(&self) -> impl Iterator<Item = Site> {
        let parts = self.parts;
        MAP_SITES.into_iter().filter(move |&site| parts == 1 || site == Site::Pattern)
    }

    /// The map of one site, computed for the examples, heads and query rows in scope and no others.
    fn map_in_scope(&self, site: Site, scope: &Scope, pass: &Pass<'_>) -> Result<Tensor> {
        let (b, t, _, _) = pass.parts[0].q.dims4()?;
        let rows = scope.rows.indices(t);
        let heads = scope.heads.indices(self.n_heads);
        let group = self.n_heads / self.n_kv_heads;
        let kv_heads: Vec<usize> = heads.iter().map(|h| h / group).collect();
        let batch = scope.batch.indices(b);
        let maps = Maps { spec: &self.spec, rows: &rows, queries: t, keys: pass.v.dim(1)? };
        let (mut scores, mut queries) = (Vec::new(), Vec::new());
        for part in pass.parts {
            let q = pick(&pick(&pick(&part.q, 0, &batch)?, 1, &rows)?, 2, &heads)?; // (B', R, H', K')
            let k = pick(&pick(&part.k, 0, &batch)?, 2, &kv_heads)?; // (B', T, H', K')
            let raw = composed::raw_scores(&q, &k, self.spec.scale)?; // (B', H', R, T)
            if site == Site::ScoresRaw {
                return Ok(raw);
            }
            let bias = part.by_distance.as_ref().map(|bias| maps.by_distance(bias, &heads)).transpose()?;
            scores.push(maps.finish(&raw, bias.as_slice())?);
            queries.push(q);
        }
        if site == Site::Scores {
            return Ok(scores.swap_remove(0));
        }
        let rows = Rows { heads: &heads, seen: &maps.seen(), training: pass.training };
        Ok(self.weigh(&scores, &queries, &rows)?.0)
    }

    /// The weights of the tokens' keys, (B, H', R, T), and of the extra key, (B, H', R, 1), from the scores of each part
    /// and the queries (B, R, H', K') they are of.
    fn weigh(&self, scores: &[Tensor], q: &[Tensor], rows: &Rows<'_>) -> Result<(Tensor, Option<Tensor>)> {
        let Some(extra) = &self.extra else { return Ok((self.weights.weigh(scores, rows)?, None)) };
        let group = self.n_heads / self.n_kv_heads;
        let with = |(part, (scores, q)): (usize, (&Tensor, &Tensor))| -> Result<Tensor> {
            let own = extra.scores(q, rows.heads, group, part, &self.spec)?;
            Ok(Tensor::cat(&[&own, scores], 3)?)
        };
        let scores = scores.iter().zip(q).enumerate().map(with).collect::<Result<Vec<_>>>()?;
        let weights = self.weights.weigh(&scores, rows)?;
        let keys = weights.dim(3)? - 1;
        Ok((weights.narrow(3, 1, keys)?.contiguous()?, Some(weights.narrow(3, 0, 1)?.contiguous()?)))
    }

    /// z through the whole map, which the observer may edit at each stage.
    pub(super) fn composed<O: Observer>(&self, pass: &Pass<'_>, observer: &mut O) -> Result<Tensor> {
        let (b, t, h, _) = pass.parts[0].q.dims4()?;
        let keys = pass.v.dim(1)?;
        let rows: Vec<usize> = (0..t).collect();
        let heads: Vec<usize> = (0..self.n_heads).collect();
        let point = |site| Point::block(site, self.layer);
        let maps = Maps { spec: &self.spec, rows: &rows, queries: t, keys };
        let (mut scores, mut queries) = (Vec::new(), Vec::new());
        for part in pass.parts {
            let mut biases = part.full.clone();
            for bias in part.by_distance.iter().chain(&self.own_bias(part)?) {
                biases.push(maps.by_distance(bias, &heads)?);
            }
            let raw = composed::raw_scores(&part.q, &part.k, self.spec.scale)?; // (B, H, T, T)
            let raw = if self.parts == 1 { observe(observer, point(Site::ScoresRaw), &raw)? } else { raw };
            let finished = maps.finish(&raw, &biases)?;
            scores.push(match self.parts {
                1 => observe(observer, point(Site::Scores), &finished)?,
                _ => finished,
            });
            queries.push(part.q.clone());
        }
        let rows = Rows { heads: &heads, seen: &maps.seen(), training: pass.training };
        let (pattern, beside) = self.weigh(&scores, &queries, &rows)?;
        let pattern = observe(observer, point(Site::Pattern), &pattern)?;
        if let Some(watch) = observer.watches(self.layer) {
            // Of an edited pattern the scores say nothing any more.
            let edited = matches!(observer.wants(point(Site::Pattern)), Want::Edit);
            self.show(&pattern, (!edited && self.parts == 1).then(|| &scores[0]), pass, &*watch)?;
        }
        let (pattern, beside) = match pass.dropout {
            Some(dropout) => {
                // As the kernel has it, to which the extra key is the first.
                let front = usize::from(beside.is_some());
                let factors = dropout.factors((b, h, t, front + keys), pattern.dtype(), pattern.device())?;
                let beside = match beside {
                    Some(beside) => Some((beside * factors.narrow(3, 0, 1)?)?),
                    None => None,
                };
                ((&pattern * factors.narrow(3, front, keys)?)?, beside)
            }
            None => (pattern, beside),
        };
        let z = composed::weighted_values(&pattern, pass.v)?; // (B, T, H, K)
        let group = self.n_heads / self.n_kv_heads;
        match self.extra.as_ref().zip(beside) {
            Some((extra, weights)) => Ok(match extra.values(&weights, group)? {
                Some(values) => (z + values)?,
                None => z,
            }),
            None => Ok(z),
        }
    }

    /// Shows a watcher the rows of a pattern (B, H, Tq, Tk), the size of weights where some are below 0; made of `scores`,
    /// where they still say something of it.
    fn show(
        &self,
        pattern: &Tensor,
        scores: Option<&Tensor>,
        pass: &Pass<'_>,
        watch: &dyn WatchRows,
    ) -> Result<()> {
        let of_text = OfText { watch, queries: pass.at.registers, keys: self.registers };
        let watch = if self.registers > 0 { &of_text } else { watch };
        let lacking = Lacking { watch, beside: self.extra.is_some() };
        let mass = self.weights.mass();
        let lacks = scores.is_some() && (mass == Mass::Free || self.extra.is_some());
        let softmaxes = self.weights.softmaxes()?;
        let null = softmaxes.as_ref().and_then(|softmaxes| softmaxes.first()).and_then(|first| first.null);
        let known = scores.map(|scores| WatchedScores { scores, null: if lacks { None } else { null } });
        let watch = if lacks { &lacking } else { watch };
        let size;
        let pattern = if mass == Mass::Signed {
            size = pattern.abs()?;
            &size
        } else {
            pattern
        };
        Ok(ops::watch_pattern(pattern, known, &self.spec, watch)?)
    }
}
