//! Direct logit attribution: which part of the model writes a logit (Elhage et al. 2021).
//!
//! The stream is a sum: the embeddings, what each head adds, what each MLP adds, biases. With the scale of the final
//! norm frozen at what it is, the norm and the head are linear, so that a logit is a sum over the same parts. Where
//! attention's output goes through a norm on its way to the stream (Gemma 2, OLMo 2), that norm is frozen too.
//!
//! Per target, one direction u (D) is carried back: u = N_finalᵀ·W_U[t], for heads then c·N_lᵀ·u, c the residual scale,
//! and head h contributes u·W_O,h·z_h.

use attnlab_hooks::{Capture, Point, Scope, Site};
use attnlab_model::{FrozenNorm, Mlp, ModelConfig, Projected, Residual, Transformer};
use attnlab_ops as ops;
use candle_core::{D, DType, Device, Tensor};
use serde::Serialize;

use super::error::{AnalysisError, Result};
use super::input::{Input, check_token, positions_or_all};
use super::numbers::{exact, on_host};

/// What a logit is compared with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Against {
    /// The mean over all logits: what sets the token apart from the others.
    #[default]
    Mean,
    /// Another token's logit.
    Token(u32),
    /// Nothing: the logit itself.
    Nothing,
}

/// What wrote the logit of one position's target.
///
/// Logits are those before any factor or cap: `logit_scale` and `logit_softcap` come after the sum. All parts together
/// (`embedding`, `positions`, `heads`, `attention_biases`, `mlps`, `norm_bias`, `head_bias`) make `logit`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LogitAttribution {
    /// The position.
    pub position: usize,
    /// The token whose logit this is.
    pub token: u32,
    /// The logit, less what it is compared with.
    pub logit: f64,
    /// The embeddings: of the token and its segment, and of its position if they are normalised together.
    pub embedding: f64,
    /// What the positional encoding adds to the embeddings, where that can be told apart.
    pub positions: Option<f64>,
    /// Each head, largest contribution first whatever its sign; equals by layer and head.
    pub heads: Vec<HeadContribution>,
    /// What each block's attention adds whatever the heads do: the bias of its output, and of the norm after it.
    pub attention_biases: Vec<f64>,
    /// Each block's MLP, biases and all; empty without MLPs.
    pub mlps: Vec<f64>,
    /// The final norm's bias.
    pub norm_bias: f64,
    /// The head's bias.
    pub head_bias: f64,
}

impl LogitAttribution {
    /// The sum of all parts.
    pub fn sum(&self) -> f64 {
        let heads: f64 = self.heads.iter().map(|head| head.value).sum();
        let blocks: f64 = self.attention_biases.iter().chain(&self.mlps).sum();
        self.embedding + self.positions.unwrap_or(0.0) + heads + blocks + self.norm_bias + self.head_bias
    }
}

/// What one head contributes to a logit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct HeadContribution {
    /// The block.
    pub layer: usize,
    /// The query head.
    pub head: usize,
    /// The contribution.
    pub value: f64,
}

/// The mean contribution of each head over several positions, largest first whatever its sign.
pub fn mean_contributions(all: &[LogitAttribution]) -> Vec<HeadContribution> {
    let mut sums = std::collections::BTreeMap::new();
    for head in all.iter().flat_map(|one| &one.heads) {
        *sums.entry((head.layer, head.head)).or_insert(0.0) += head.value / all.len() as f64;
    }
    sorted(sums.into_iter().map(|((layer, head), value)| HeadContribution { layer, head, value }).collect())
}

fn sorted(mut heads: Vec<HeadContribution>) -> Vec<HeadContribution> {
    heads.sort_by(|a, b| b.value.abs().total_cmp(&a.value.abs()));
    heads
}

/// What wrote the logit of each position's target: of all positions that have one, or of those given.
///
/// Errors: a model whose stream itself passes a norm in every block (`post`, `normed`), without skip connections, or
/// with a transform before its head: what a head adds does not reach the logits linearly there. A position without a
/// target.
pub fn attribute_logits(
    model: &Transformer,
    input: &Input,
    positions: Option<&[usize]>,
    against: Against,
) -> Result<Vec<LogitAttribution>> {
    let config = model.config();
    check_architecture(config)?;
    if let Against::Token(token) = against {
        check_token(token, config)?;
    }
    let mut wanted = targets(input, config, positions)?;
    wanted.sort_unstable();
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let mut rows: Vec<usize> = wanted.iter().map(|&(position, _)| position).collect();
    rows.dedup();
    let loaded = input.load(model)?;
    let seen = ops::without_gradients(|| -> Result<Capture> {
        let mut seen = points(config, model, &rows)?;
        model.run(loaded.pass(), &mut seen)?;
        Ok(seen)
    })?;
    // Activations of the targets' positions, one row a target: (N, …).
    let places = wanted.iter().filter_map(|(position, _)| rows.binary_search(position).ok());
    let places = Tensor::from_iter(places.map(|at| at as u32), &Device::Cpu)?;
    let activation = |point| -> Result<Tensor> {
        Ok(on_host(seen.get(point)?)?.squeeze(0)?.contiguous()?.index_select(&places, 0)?)
    };

    let n_layers = config.architecture.n_layers;
    let last = activation(Point::block(Site::ResidPost, n_layers - 1))?; // (N, D)
    let final_norm = model.frozen_final_norm(&last)?;
    let reading = Reading::new(model, &wanted, against)?;
    let u = final_norm.transposed(&reading.directions)?; // (N, D)
    let norm_bias = biased(&final_norm, &reading.directions)?;

    let stream = activation(Point::block(Site::ResidPre, 0))?;
    let apart = separate_positions(model);
    let places_add = match apart {
        true => Some(activation(Point::model(Site::PosEmbed))?),
        false => None,
    };
    let embedding = match &places_add {
        Some(added) => dot(&u, &(stream - added)?)?,
        None => dot(&u, &stream)?,
    };
    let places_add = places_add.map(|added| dot(&u, &added)).transpose()?;

    let mut all: Vec<LogitAttribution> = wanted
        .iter()
        .enumerate()
        .map(|(n, &(position, token))| LogitAttribution {
            position,
            token,
            logit: 0.0,
            embedding: embedding[n],
            positions: places_add.as_ref().map(|added| added[n]),
            heads: Vec::new(),
            attention_biases: Vec::new(),
            mlps: Vec::new(),
            norm_bias: norm_bias[n],
            head_bias: reading.biases[n],
        })
        .collect();
    for layer in 0..n_layers {
        let z = activation(Point::block(Site::Z, layer))?; // (N, H, K)
        let (heads, biases) = of_attention(model, layer, &z, &u)?;
        let mlp = match config.architecture.mlp {
            Mlp::None => None,
            _ => Some(dot(&u, &activation(Point::block(Site::MlpOut, layer))?)?),
        };
        for (n, one) in all.iter_mut().enumerate() {
            let contributions = heads.iter().enumerate();
            one.heads.extend(contributions.map(|(head, of)| HeadContribution { layer, head, value: of[n] }));
            one.attention_biases.push(biases[n]);
            one.mlps.extend(mlp.as_ref().map(|mlp| mlp[n]));
        }
    }
    // The logit itself, not the parts' sum.
    let y = final_norm.apply(&last)?;
    let logits = dot(&reading.directions, &y)?;
    for (n, one) in all.iter_mut().enumerate() {
        one.logit = logits[n] + norm_bias[n] + reading.biases[n];
        one.heads = sorted(std::mem::take(&mut one.heads));
    }
    Ok(all)
}

fn check_architecture(config: &ModelConfig) -> Result<()> {
    let refuse = |why| Err(AnalysisError::Architecture { what: "direct logit attribution", why });
    if config.architecture.norm_placement.norms_the_stream() {
        return refuse(
            "the stream itself passes a norm in every block, so that what a head adds does not stay what it was; ablate heads instead",
        );
    }
    if config.architecture.residual == Residual::None {
        return refuse(
            "without skip connections the stream is no sum of what the blocks write; ablate heads instead",
        );
    }
    if config.details.head_transform.is_some() {
        return refuse("a transform stands between the stream and the head; ablate heads instead");
    }
    Ok(())
}

/// Positions and tokens, those given or all.
fn targets(input: &Input, config: &ModelConfig, positions: Option<&[usize]>) -> Result<Vec<(usize, u32)>> {
    let known = input.targets_of(config)?;
    let Some(positions) = positions else { return Ok(known) };
    positions_or_all(Some(positions), input.len())?;
    let target = |&position: &usize| {
        known.iter().copied().find(|(at, _)| *at == position).ok_or(AnalysisError::NoTarget { position })
    };
    positions.iter().map(target).collect()
}

/// Whether what the encoding adds to the embeddings is added to the stream as it is.
fn separate_positions(model: &Transformer) -> bool {
    let config = model.config();
    let projected = config
        .details
        .factorised
        .is_some_and(|factorised| factorised.projected != Projected::BeforePositions);
    model.position().embeds() && !config.architecture.embedding_norm && !projected
}

fn points(config: &ModelConfig, model: &Transformer, rows: &[usize]) -> Result<Capture> {
    let mut seen = Capture::new();
    let scope = Scope { rows: rows.iter().copied().into(), ..Scope::default() };
    let mut add = |point| seen.add(point, scope.clone());
    let n_layers = config.architecture.n_layers;
    add(Point::block(Site::ResidPre, 0))?;
    add(Point::block(Site::ResidPost, n_layers - 1))?;
    if separate_positions(model) {
        add(Point::model(Site::PosEmbed))?;
    }
    for layer in 0..n_layers {
        add(Point::block(Site::Z, layer))?;
        if config.architecture.mlp != Mlp::None {
            add(Point::block(Site::MlpOut, layer))?;
        }
    }
    Ok(seen)
}

/// What the head reads: a direction after the final norm and a bias, for each target.
struct Reading {
    directions: Tensor, // (N, D)
    biases: Vec<f64>,
}

impl Reading {
    fn new(model: &Transformer, wanted: &[(usize, u32)], against: Against) -> Result<Self> {
        let (weight, bias) = model.unembedding()?;
        let rows = |tokens: Vec<u32>| -> Result<(Tensor, Vec<f64>)> {
            let ids = Tensor::new(tokens, weight.device())?;
            let biases = match bias {
                Some(bias) => exact(&bias.index_select(&ids, 0)?)?,
                None => vec![0.0; ids.elem_count()],
            };
            Ok((on_host(&weight.index_select(&ids, 0)?)?, biases))
        };
        let (directions, biases) = rows(wanted.iter().map(|&(_, token)| token).collect())?;
        let (other, other_bias) = match against {
            Against::Nothing => return Ok(Self { directions, biases }),
            Against::Token(token) => {
                let (row, bias) = rows(vec![token])?;
                (row, bias.into_iter().sum())
            }
            Against::Mean => {
                let bias = match bias {
                    Some(bias) => exact(bias)?.iter().sum::<f64>() / bias.elem_count() as f64,
                    None => 0.0,
                };
                (mean_row(weight)?, bias)
            }
        };
        let directions = directions.broadcast_sub(&other)?;
        Ok(Self { directions, biases: biases.into_iter().map(|bias| bias - other_bias).collect() })
    }
}

/// The mean row of a large matrix, (1, D), in f64 without a copy of it all.
fn mean_row(weight: &Tensor) -> Result<Tensor> {
    const ROWS: usize = 4096;
    let (rows, width) = weight.dims2()?;
    let mut sum = Tensor::zeros((1, width), DType::F64, &Device::Cpu)?;
    for start in (0..rows).step_by(ROWS) {
        let part = on_host(&weight.narrow(0, start, ROWS.min(rows - start))?)?;
        sum = (sum + part.sum_keepdim(0)?)?;
    }
    Ok((sum / rows as f64)?)
}

/// What each head of a block, and its biases, contribute: u·c·N(W_O,h·z_h), given z (N, H, K) and u (N, D).
fn of_attention(
    model: &Transformer,
    layer: usize,
    z: &Tensor,
    u: &Tensor,
) -> Result<(Vec<Vec<f64>>, Vec<f64>)> {
    let a = &model.config().architecture;
    let outputs = (0..a.n_heads)
        .map(|head| on_host(&model.head_weights(layer, head)?.o)) // (D, K)
        .collect::<Result<Vec<_>>>()?;
    let of_head = |head: usize| -> Result<Tensor> { Ok(z.narrow(1, head, 1)?.squeeze(1)?.contiguous()?) }; // (N, K)
    let bias = model.attention_bias(layer)?.map(on_host).transpose()?;
    let mut y = u.zeros_like()?;
    for (head, output) in outputs.iter().enumerate() {
        y = (y + of_head(head)?.matmul(&output.t()?)?)?;
    }
    if let Some(bias) = &bias {
        y = y.broadcast_add(bias)?;
    }
    let norm = model.frozen_norm_after_attention(layer, &y)?;
    let u = (u * a.residual_scale)?;
    let before = norm.transposed(&u)?; // (N, D)
    let mut heads = Vec::with_capacity(a.n_heads);
    for (head, output) in outputs.iter().enumerate() {
        heads.push(dot(&before.matmul(output)?, &of_head(head)?)?);
    }
    let mut biases = biased(&norm, &u)?;
    if let Some(bias) = &bias {
        let own = exact(&before.broadcast_mul(bias)?.sum(D::Minus1)?)?;
        biases.iter_mut().zip(own).for_each(|(sum, own)| *sum += own);
    }
    Ok((heads, biases))
}

/// What a norm's bias contributes to each direction.
fn biased(norm: &FrozenNorm, u: &Tensor) -> Result<Vec<f64>> {
    match norm.bias() {
        Some(bias) => exact(&u.broadcast_mul(bias)?.sum(D::Minus1)?),
        None => Ok(vec![0.0; u.dim(0)?]),
    }
}

/// u·x, row by row.
fn dot(u: &Tensor, x: &Tensor) -> Result<Vec<f64>> {
    exact(&(u * x)?.sum(D::Minus1)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use attnlab_model::{Architecture, Experts, Norm, NormPlacement, NullOption};

    use super::super::Targets;
    use super::super::testing::{V, activation, build, build_in, config, input, rows, small, tokens};
    use super::*;

    fn variants() -> Vec<(Architecture, &'static str)> {
        let rms = Architecture { norm: Norm::Rms, qkv_bias: false, out_bias: false, ..small() };
        let experts = Some(Experts { count: 3, per_token: 2, router_bias: true });
        vec![
            (Architecture { head_bias: true, ..small() }, "learned"),
            (Architecture { tie_embeddings: true, embedding_scale: 3.0, ..rms.clone() }, "rope"),
            // Gemma 2
            (
                Architecture { norm_placement: NormPlacement::Sandwich, mlp: Mlp::Geglu, ..rms.clone() },
                "rope",
            ),
            // OLMo 2, with biases for good measure
            (Architecture { norm_placement: NormPlacement::Output, qk_norm: true, ..small() }, "rope"),
            // Granite
            (
                Architecture { residual_scale: 0.3, norm_placement: NormPlacement::Sandwich, ..small() },
                "alibi",
            ),
            (Architecture { residual: Residual::Parallel, n_kv_heads: Some(1), ..small() }, "rope"),
            (
                Architecture {
                    residual: Residual::ParallelSharedNorm,
                    norm_placement: NormPlacement::Sandwich,
                    ..small()
                },
                "t5",
            ),
            (Architecture { mlp: Mlp::None, null_option: NullOption::Learned, ..small() }, "sinusoidal"),
            (Architecture { experts, embedding_norm: true, mlp: Mlp::Swiglu, ..rms }, "learned"),
            (Architecture { norm: Norm::None, ..small() }, "none"),
        ]
    }

    #[test]
    fn the_parts_of_a_logit_sum_to_it() {
        for (architecture, kind) in variants() {
            for (dtype, tolerance) in [(DType::F64, 1e-9), (DType::F32, 1e-4)] {
                let model = build_in(&config(architecture.clone(), kind), dtype);
                let text = input(3, 7);
                let logits = rows(&model.predict(&tokens(&text)).unwrap().squeeze(0).unwrap());
                for against in [Against::Nothing, Against::Token(6), Against::Mean] {
                    let found = attribute_logits(&model, &text, None, against).unwrap();
                    assert_eq!(found.len(), 6);
                    for (i, one) in found.iter().enumerate() {
                        let other = match against {
                            Against::Nothing => 0.0,
                            Against::Token(token) => logits[i][token as usize],
                            Against::Mean => logits[i].iter().sum::<f64>() / V as f64,
                        };
                        let token = text.tokens[i + 1];
                        assert_eq!((one.position, one.token, one.heads.len()), (i, token, 12));
                        let expected = logits[i][token as usize] - other;
                        assert!((one.logit - expected).abs() < tolerance, "{architecture:?}");
                        assert!((one.sum() - expected).abs() < tolerance, "{architecture:?} {one:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_heads_part_is_the_difference_its_output_makes_under_frozen_norms() {
        for norm_placement in [NormPlacement::Pre, NormPlacement::Sandwich] {
            let model = build(&config(Architecture { norm_placement, ..small() }, "rope"));
            let text = input(3, 7);
            let found = &attribute_logits(&model, &text, Some(&[4]), Against::Nothing).unwrap()[0];
            let token = text.tokens[5] as usize;
            let unembedding = rows(model.unembedding().unwrap().0);
            for (layer, head) in [(0, 1), (2, 3)] {
                // Materialised: W_O·z through hand-written LayerNorms whose scales are the run's.
                let z = activation(&model, &text, Point::block(Site::Z, layer));
                let out = |head: usize| {
                    let z = rows(&z.narrow(1, head, 1).unwrap().squeeze(1).unwrap()).swap_remove(4);
                    let o = rows(&model.head_weights(layer, head).unwrap().o);
                    o.iter().map(|row| row.iter().zip(&z).map(|(a, b)| a * b).sum()).collect::<Vec<f64>>()
                };
                let mut part = out(head);
                if norm_placement == NormPlacement::Sandwich {
                    let mut y =
                        rows(&model.attention_bias(layer).unwrap().unwrap().unsqueeze(0).unwrap()).remove(0);
                    for head in 0..4 {
                        y.iter_mut().zip(out(head)).for_each(|(y, out)| *y += out);
                    }
                    let name = |x: &[f64]| Tensor::new(x, &Device::Cpu).unwrap();
                    let norm =
                        model.frozen_norm_after_attention(layer, &name(&y).unsqueeze(0).unwrap()).unwrap();
                    let (with, without) = (name(&y), name(&y).sub(&name(&part)).unwrap());
                    let apply = |x: &Tensor| rows(&norm.apply(&x.unsqueeze(0).unwrap()).unwrap()).remove(0);
                    part = apply(&with).iter().zip(apply(&without)).map(|(a, b)| a - b).collect();
                }
                let last = rows(&activation(&model, &text, Point::block(Site::ResidPost, 2))).swap_remove(4);
                let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
                let m = mean(&last);
                let sigma = (last.iter().map(|x| (x - m).powi(2)).sum::<f64>() / 8.0 + 1e-5).sqrt();
                let weight = rows(&model.final_norm().unwrap().0.unsqueeze(0).unwrap()).remove(0);
                let p = mean(&part);
                let expected: f64 =
                    (0..8).map(|d| unembedding[token][d] * weight[d] * (part[d] - p) / sigma).sum();
                let value = found.heads.iter().find(|h| (h.layer, h.head) == (layer, head)).unwrap().value;
                assert!((value - expected).abs() < 1e-9, "{value} {expected}");
            }
        }
    }

    #[test]
    fn heads_are_sorted_by_size_and_averaged_over_positions() {
        let model = build(&config(small(), "rope"));
        let found = attribute_logits(&model, &input(3, 7), Some(&[4, 1, 4]), Against::Mean).unwrap();
        assert_eq!(found.iter().map(|one| one.position).collect::<Vec<_>>(), [1, 4, 4]);
        for one in &found {
            assert!(one.heads.windows(2).all(|pair| pair[0].value.abs() >= pair[1].value.abs()));
        }
        let means = mean_contributions(&found);
        assert_eq!(means.len(), 12);
        let of = |one: &LogitAttribution| {
            one.heads.iter().find(|h| (h.layer, h.head) == (means[0].layer, means[0].head)).unwrap().value
        };
        assert!((means[0].value - found.iter().map(of).sum::<f64>() / 3.0).abs() < 1e-12);
        let named = Input { targets: Targets::At(vec![(2, 1), (2, 5)]), ..input(3, 7) };
        let found = attribute_logits(&model, &named, None, Against::Mean).unwrap();
        assert_eq!(found.iter().map(|one| (one.position, one.token)).collect::<Vec<_>>(), [(2, 1), (2, 5)]);
    }

    #[test]
    fn models_whose_logits_are_no_such_sum_are_refused_with_the_reason() {
        for norm_placement in [NormPlacement::Post, NormPlacement::Normed] {
            let model = build(&config(Architecture { norm_placement, ..small() }, "rope"));
            let error = attribute_logits(&model, &input(3, 7), None, Against::Mean).unwrap_err().to_string();
            assert!(error.contains("passes a norm in every block"), "{error}");
        }
        let model = build(&config(Architecture { residual: Residual::None, ..small() }, "rope"));
        let error = attribute_logits(&model, &input(3, 7), None, Against::Mean).unwrap_err().to_string();
        assert!(error.contains("without skip connections"), "{error}");
        let model = build(&config(small(), "rope"));
        let error =
            attribute_logits(&model, &input(3, 7), Some(&[6]), Against::Mean).unwrap_err().to_string();
        assert!(error.contains("position 6 has no target"), "{error}");
        assert!(attribute_logits(&model, &input(3, 7), None, Against::Token(11)).is_err());
    }
}
