//! What a trained model would miss if its queries saw less: at equal loss, the share of the map that could be skipped
//! against what each sparse form saves.
//!
//! Spans are put on the scores of every head of a model that was trained without them; maps are held for it. What they
//! save is counted from their formulas.

use attnlab_heads::{Survey, SurveyOptions};
use attnlab_hooks::{Both, Observer, Point, Result as HookResult, Site, Want};
use attnlab_model::{Pass, Transformer};
use attnlab_ops as ops;
use attnlab_report::cost::{HeadShare, Saved, Trial};
use attnlab_report::statistics::{interval_over_seeds, mean};
use candle_core::{DType, Device, Tensor};

use super::form::triangle;
use super::span::Span;
use crate::error::{Result, RunError};

/// Tries `spans` on a causal language model over pieces of a text, all of the same length of at least two tokens.
///
/// # Errors
/// The model predicts no next token, or a piece has another length.
pub fn saved(
    model: &Transformer,
    pieces: &[Vec<u32>],
    spans: &[Span],
    progress: &dyn Fn(usize, usize),
) -> Result<Saved> {
    let tokens = pieces.first().map_or(0, Vec::len);
    if tokens < 2 || pieces.iter().any(|piece| piece.len() != tokens) {
        return Err(RunError::Text(format!(
            "pieces of {:?} tokens; expected pieces of one length of at least 2",
            pieces.iter().map(Vec::len).collect::<Vec<usize>>()
        )));
    }
    if !model.config().predicts_next_token() {
        return Err(RunError::Text("the model predicts no next token; give a causal language model".into()));
    }
    let all = pieces.len() * (spans.len() + 1);
    let mut done = 0;
    let mut step = || {
        done += 1;
        progress(done, all);
    };

    let anatomy = model.anatomy();
    let heads = anatomy.n_layers * anatomy.n_heads;
    let mut survey = Survey::new(SurveyOptions::default());
    let mut kept = Kept { spans, n_heads: anatomy.n_heads, mass: vec![vec![0.0; spans.len()]; heads] };
    let mut whole = Vec::new();
    for piece in pieces {
        survey.begin_text(piece);
        whole.push(loss(model, piece, &mut Both(&mut survey, &mut kept))?);
        step();
    }
    let survey = survey.finish();

    let mut trials = Vec::new();
    let full = triangle(tokens as u64) as f64;
    for &span in spans {
        let mut losses = Vec::new();
        for piece in pieces {
            losses.push(loss(model, piece, &mut Narrowed(span))?);
            step();
        }
        let rises: Vec<f64> = losses.iter().zip(&whole).map(|(loss, whole)| loss - whole).collect();
        let pairs = span.pairs(tokens as u64);
        trials.push(Trial {
            form: span.form().to_owned(),
            span: span.label(),
            scored: pairs.scored as f64 / full,
            read: pairs.read as f64 / full,
            loss: mean(&losses).unwrap_or(f64::NAN),
            rise: mean(&rises).unwrap_or(f64::NAN),
            rise_interval: interval_over_seeds(&rises).map(|interval| (interval.low, interval.high)),
        });
    }

    // Rows count alike, and the mean row has (T + 1)/2 keys.
    let keys = (tokens + 1) as f64 / 2.0;
    let of_head = |at: usize, mass: Vec<f64>| {
        let (layer, head) = (at / anatomy.n_heads, at % anatomy.n_heads);
        let needed = survey.head(layer, head).and_then(|found| found.mean("n_95")).map(|n| n / keys);
        let kept = mass.into_iter().map(|mass| mass / (pieces.len() * tokens) as f64).collect();
        HeadShare { layer, head, needed, kept }
    };
    Ok(Saved {
        model: String::new(),
        text: String::new(),
        tokens,
        pieces: pieces.len(),
        loss: mean(&whole).unwrap_or(f64::NAN),
        heads: kept.mass.into_iter().enumerate().map(|(at, mass)| of_head(at, mass)).collect(),
        trials,
    })
}

/// Nats per token of what follows each token.
fn loss<O: Observer>(model: &Transformer, tokens: &[u32], observer: &mut O) -> Result<f64> {
    let input = Tensor::from_slice(tokens, (1, tokens.len()), &Device::Cpu)?;
    let following = Tensor::from_slice(&tokens[1..], tokens.len() - 1, &Device::Cpu)?;
    ops::without_gradients(|| {
        let hidden = model.run(Pass::new(&input), observer)?;
        let logits = model.logits(&hidden.squeeze(0)?.narrow(0, 0, tokens.len() - 1)?)?; // (T − 1, V)
        let sum = ops::cross_entropy(&logits, &following)?.to_dtype(DType::F64)?.to_scalar::<f64>()?;
        Ok(sum / (tokens.len() - 1) as f64)
    })
}

/// Sees less: every score outside the span becomes −∞.
struct Narrowed(Span);

/// All scores of every layer.
fn scores_of(point: Point) -> Want<'static> {
    if point.site == Site::Scores { Want::Edit } else { Want::Nothing }
}

impl Observer for Narrowed {
    fn wants(&self, point: Point) -> Want<'_> {
        scores_of(point)
    }

    fn see(&mut self, _: Point, scores: &Tensor) -> HookResult<Option<Tensor>> {
        let (_, _, n, _) = scores.dims4()?;
        let mut values = host(scores)?;
        values.chunks_exact_mut((n * n).max(1)).for_each(|head| self.0.narrow(head, n));
        let narrowed = Tensor::from_vec(values, scores.shape(), &Device::Cpu)?;
        Ok(Some(narrowed.to_dtype(scores.dtype())?))
    }
}

/// Sees everything, and sums the weight that each span would keep.
struct Kept<'a> {
    spans: &'a [Span],
    n_heads: usize,
    /// For each head and span Σ over queries.
    mass: Vec<Vec<f64>>,
}

impl Observer for Kept<'_> {
    fn wants(&self, point: Point) -> Want<'_> {
        scores_of(point)
    }

    fn see(&mut self, point: Point, scores: &Tensor) -> HookResult<Option<Tensor>> {
        let (_, _, n, _) = scores.dims4()?;
        let first = point.layer.unwrap_or(0) * self.n_heads;
        for (head, scores) in host(scores)?.chunks_exact((n * n).max(1)).enumerate() {
            let Some(mass) = self.mass.get_mut(first + head) else { continue };
            for (mass, span) in mass.iter_mut().zip(self.spans) {
                let mut narrowed = scores.to_vec();
                span.narrow(&mut narrowed, n);
                *mass += scores.chunks_exact(n).zip(narrowed.chunks_exact(n)).map(share).sum::<f64>();
            }
        }
        Ok(None)
    }
}

/// The weight of the scores that are left, over that of all.
fn share((scores, left): (&[f32], &[f32])) -> f64 {
    let max = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum = |scores: &[f32]| scores.iter().map(|score| f64::from(score - max).exp()).sum::<f64>();
    if max == f32::NEG_INFINITY { 0.0 } else { sum(left) / sum(scores) }
}

fn host(x: &Tensor) -> HookResult<Vec<f32>> {
    Ok(x.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use attnlab_model::{Architecture, Details, Layer, Mask, ModelConfig};
    use attnlab_ops::{Parameters, Streams};

    use super::*;

    fn model(window: Option<usize>) -> Transformer {
        let architecture = Architecture { d_model: 16, n_heads: 2, ..Architecture::default() };
        let details = match window {
            None => Details::default(),
            window => Details { layers: vec![Layer { window, ..Layer::default() }; 2], ..Details::default() },
        };
        let config = ModelConfig {
            vocab_size: 11,
            n_outputs: 11,
            max_len: 24,
            mask: Mask::Causal,
            position: toml::from_str("alibi = {}").unwrap(),
            architecture,
            details,
        };
        let vb = Parameters::new().seeded(Streams::new(1), DType::F32, &Device::Cpu);
        Transformer::new(&config, vb).unwrap()
    }

    fn pieces() -> Vec<Vec<u32>> {
        (0..3).map(|piece| (0..24).map(|i| (i * i + 5 * piece) % 11).collect()).collect()
    }

    #[test]
    fn a_window_after_training_is_the_model_with_that_window() {
        let found = saved(&model(None), &pieces(), &[Span::Window(5), Span::Window(24)], &|_, _| {}).unwrap();
        let windowed = model(Some(5));
        let losses: Vec<f64> = pieces()
            .iter()
            .map(|piece| loss(&windowed, piece, &mut attnlab_hooks::NoHooks).unwrap())
            .collect();
        assert!((found.trials[0].loss - mean(&losses).unwrap()).abs() < 1e-6, "{found:?}");
        // A window as long as the text takes nothing.
        assert!(found.trials[1].rise.abs() < 1e-6 && found.trials[1].operations() == 1.0, "{found:?}");
        assert!(found.heads.iter().all(|head| (head.kept[1] - 1.0).abs() < 1e-9), "{found:?}");
    }

    #[test]
    fn the_weight_kept_grows_with_k_and_n_95_keys_keep_95_percent() {
        let spans: Vec<Span> = (1..=24).map(Span::TopK).collect();
        let found = saved(&model(None), &pieces(), &spans, &|_, _| {}).unwrap();
        assert_eq!(found.heads.len(), 4);
        for head in &found.heads {
            assert!(head.kept.windows(2).all(|pair| pair[0] <= pair[1] + 1e-12), "{head:?}");
            let needed = head.needed.unwrap();
            assert!(0.0 < needed && needed <= 1.0, "{head:?}");
        }
        let all = found.trials.last().unwrap();
        assert_eq!((all.scored, all.read), (1.0, 1.0));
        assert!(all.is_equal() && all.rise.abs() < 1e-6);
    }

    #[test]
    fn texts_that_cannot_be_judged_are_refused() {
        let model = model(None);
        for pieces in [vec![], vec![vec![1]], vec![vec![1, 2], vec![1, 2, 3]]] {
            assert!(saved(&model, &pieces, &[], &|_, _| {}).unwrap_err().to_string().contains("pieces"));
        }
    }
}
