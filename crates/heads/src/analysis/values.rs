//! What moves along an edge: weights times the length of the values they carry (Kobayashi et al. 2020).
//!
//! Attention weights alone overstate keys whose values are short: a sink's often are. Key j brings to query i the vector
//! A_ij·W_O,h·v_j; its length is what counts. ‖W_O,h·v‖² = vᵀ(W_O,hᵀW_O,h)v, so that no vector of width D is formed.
//! A norm between attention and the stream (Gemma 2, OLMo 2) comes after all this and is left out.

use attnlab_hooks::{Capture, NoHooks, Point, Scope, Site};
use attnlab_model::Transformer;
use attnlab_ops as ops;
use candle_core::{D, Device, Tensor};
use serde::Serialize;

use super::error::{AnalysisError, Result};
use super::input::{Input, positions_or_all};
use super::numbers::{exact, on_host};

/// ‖W_O,h·v_j‖ for every query head and key: values (B, T, G, K) as `attn.hook_v` shows them → (B, H, T), in their type.
///
/// Under grouped-query attention heads that share values still differ in W_O.
pub fn value_norms(model: &Transformer, layer: usize, values: &Tensor) -> Result<Tensor> {
    let a = &model.config().architecture;
    let (groups, width) = (a.kv_heads(), a.head_width());
    let (batch, time) = match values.dims() {
        &[batch, time, g, k] if g == groups && k == width => (batch, time),
        found => {
            let expected = format!("(batch, positions, {groups} key/value heads, {width})");
            return Err(AnalysisError::Shape { what: "the values", found: found.to_vec(), expected });
        }
    };
    let mut norms = Vec::with_capacity(a.n_heads);
    for head in 0..a.n_heads {
        let v =
            values.narrow(2, head / (a.n_heads / groups), 1)?.contiguous()?.reshape((batch * time, width))?;
        norms.push(written_norms(model, layer, head, &v)?.reshape((batch, 1, time))?);
    }
    Ok(Tensor::cat(&norms, 1)?)
}

/// ‖W_O,h·x‖ of each row: (N, K) → (N).
fn written_norms(model: &Transformer, layer: usize, head: usize, x: &Tensor) -> Result<Tensor> {
    let o = model.head_output_weight(layer, head)?.to_dtype(x.dtype())?.to_device(x.device())?; // (D, K)
    let gram = o.t()?.contiguous()?.matmul(&o)?; // (K, K)
    // Rounding may leave a square below 0 where it should be 0.
    Ok((x.matmul(&gram)? * x)?.sum(D::Minus1)?.relu()?.sqrt()?)
}

/// A head's map weighted by what its values write.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WeightedMap {
    /// The block.
    pub layer: usize,
    /// The query head.
    pub head: usize,
    /// The query rows.
    pub rows: Vec<usize>,
    /// ‖A_ij·W_O,h·v_j‖ for each of those rows and all keys.
    pub values: Vec<Vec<f64>>,
}

/// The value-weighted maps of some heads of a block, in the order given, at all query rows or those given, which come in
/// ascending order.
///
/// Memory: heads × rows × T.
pub fn weighted_map(
    model: &Transformer,
    input: &Input,
    layer: usize,
    heads: &[usize],
    rows: Option<&[usize]>,
) -> Result<Vec<WeightedMap>> {
    let a = &model.config().architecture;
    let mut rows = positions_or_all(rows, input.len())?;
    rows.sort_unstable();
    rows.dedup();
    for &head in heads {
        model.head_weights(layer, head)?; // that both exist
    }
    if heads.is_empty() {
        return Err(AnalysisError::Empty { what: "heads" });
    }
    let mut all = heads.to_vec();
    all.sort_unstable();
    all.dedup();
    let (pattern, values) = (Point::block(Site::Pattern, layer), Point::block(Site::V, layer));
    let mut seen = Capture::new();
    let scope =
        Scope { rows: rows.iter().copied().into(), heads: all.iter().copied().into(), ..Scope::default() };
    seen.add(pattern, scope)?;
    seen.add(values, Scope::default())?;
    let loaded = input.load(model)?;
    ops::without_gradients(|| {
        let stream = model.enter(&loaded.pass(), &mut NoHooks)?;
        model.through(0..layer + 1, &stream, &loaded.tokens, &mut seen)
    })?;
    let pattern = on_host(seen.get(pattern)?)?.squeeze(0)?; // (H', R, T)
    let values = on_host(seen.get(values)?)?.squeeze(0)?; // (T, G, K)
    let group = a.n_heads / a.kv_heads();
    heads
        .iter()
        .map(|&head| {
            let v = values.narrow(1, head / group, 1)?.squeeze(1)?.contiguous()?;
            let norms = written_norms(model, layer, head, &v)?; // (T)
            let at = all.binary_search(&head).unwrap_or_default();
            let map = pattern.narrow(0, at, 1)?.squeeze(0)?.broadcast_mul(&norms)?;
            Ok(WeightedMap { layer, head, rows: rows.clone(), values: map.to_vec2()? })
        })
        .collect()
}

/// What one head writes to the stream.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HeadWrite {
    /// The block.
    pub layer: usize,
    /// The query head.
    pub head: usize,
    /// ‖z‖, mean over the positions.
    pub z_norm: f64,
    /// ‖W_O,h·z‖, mean over the positions.
    pub norm: f64,
    /// ‖W_O,h·z‖ over the length of the stream it is added to, mean over the positions.
    pub share_of_stream: f64,
    /// How much of the sum of the block's heads points its way: W_O,h·z·y/‖y‖², y = Σ_h W_O,h·z_h, mean over the
    /// positions. Those of a block sum to 1.
    pub share_of_attention: f64,
    /// ‖W_O,h·z‖ at each position.
    pub norms: Vec<f64>,
}

/// What every head writes, at all positions or those given: by layer and head.
///
/// One block at a time: memory is that of a pass.
pub fn head_writes(
    model: &Transformer,
    input: &Input,
    positions: Option<&[usize]>,
) -> Result<Vec<HeadWrite>> {
    let positions = positions_or_all(positions, input.len())?;
    let rows = Tensor::from_iter(positions.iter().map(|&at| at as u32), &Device::Cpu)?;
    let chosen =
        |x: &Tensor| -> Result<Tensor> { Ok(on_host(x)?.squeeze(0)?.contiguous()?.index_select(&rows, 0)?) };
    let a = &model.config().architecture;
    let loaded = input.load(model)?;
    let mut stream = ops::without_gradients(|| model.enter(&loaded.pass(), &mut NoHooks))?;
    let mut all = Vec::with_capacity(a.n_layers * a.n_heads);
    for layer in 0..a.n_layers {
        let mut seen = Capture::new();
        seen.add(Point::block(Site::Z, layer), Scope::default())?;
        let next =
            ops::without_gradients(|| model.through(layer..layer + 1, &stream, &loaded.tokens, &mut seen))?;
        let z = chosen(seen.get(Point::block(Site::Z, layer))?)?; // (R, H, K)
        let before = exact(&chosen(&stream)?.sqr()?.sum(D::Minus1)?.sqrt()?)?;
        stream = next;
        let mut outputs = Vec::with_capacity(a.n_heads);
        for head in 0..a.n_heads {
            let o = on_host(&model.head_weights(layer, head)?.o)?;
            outputs.push(z.narrow(1, head, 1)?.squeeze(1)?.contiguous()?.matmul(&o.t()?)?); // (R, D)
        }
        let mut y = outputs[0].clone();
        for output in &outputs[1..] {
            y = (y + output)?;
        }
        let squares = exact(&y.sqr()?.sum(D::Minus1)?)?;
        for (head, output) in outputs.iter().enumerate() {
            let norms = exact(&output.sqr()?.sum(D::Minus1)?.sqrt()?)?;
            let along = exact(&(output * &y)?.sum(D::Minus1)?)?;
            let z_norms = exact(&z.narrow(1, head, 1)?.sqr()?.sum(D::Minus1)?.sqrt()?)?;
            all.push(HeadWrite {
                layer,
                head,
                z_norm: mean(z_norms.iter().copied()),
                norm: mean(norms.iter().copied()),
                share_of_stream: mean(norms.iter().zip(&before).map(ratio)),
                share_of_attention: mean(along.iter().zip(&squares).map(ratio)),
                norms,
            });
        }
    }
    Ok(all)
}

/// a/b; nothing of nothing is nothing.
fn ratio((a, b): (&f64, &f64)) -> f64 {
    if *a == 0.0 { 0.0 } else { a / b }
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    values.sum::<f64>() / count
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use attnlab_model::{Architecture, Details, Layer, ModelConfig, NullOption};
    use candle_core::DType;

    use super::super::testing::{activation, build, config, input, rows, small};
    use super::*;

    /// W_O,h·x as a vector.
    fn written(model: &Transformer, layer: usize, head: usize, x: &[f64]) -> Vec<f64> {
        let o = rows(&model.head_weights(layer, head).unwrap().o);
        o.iter().map(|row| row.iter().zip(x).map(|(a, b)| a * b).sum()).collect()
    }

    fn length(x: &[f64]) -> f64 {
        x.iter().map(|x| x * x).sum::<f64>().sqrt()
    }

    fn variants() -> Vec<ModelConfig> {
        let windowed = Details {
            layers: (0..3).map(|_| Layer { window: Some(3), ..Layer::default() }).collect(),
            ..Details::default()
        };
        vec![
            config(small(), "rope"),
            config(Architecture { n_kv_heads: Some(1), ..small() }, "alibi"),
            config(Architecture { null_option: NullOption::Learned, n_kv_heads: None, ..small() }, "t5"),
            ModelConfig { details: windowed, ..config(small(), "rope") },
        ]
    }

    #[test]
    fn a_weighted_map_has_the_length_of_what_each_key_brings() {
        for config in variants() {
            let model = build(&config);
            let a = &config.architecture;
            let text = input(3, 6);
            let maps = weighted_map(&model, &text, 1, &[3, 0], Some(&[5, 2])).unwrap();
            let values = activation(&model, &text, Point::block(Site::V, 1)); // (T, G, K)
            let pattern = activation(&model, &text, Point::block(Site::Pattern, 1)); // (H, T, T)
            let norms = value_norms(&model, 1, &values.unsqueeze(0).unwrap()).unwrap().squeeze(0).unwrap();
            let norms = rows(&norms);
            for (map, head) in maps.iter().zip([3, 0]) {
                assert_eq!((map.layer, map.head, map.rows.as_slice()), (1, head, [2, 5].as_slice()));
                let kv = head / (a.n_heads / a.kv_heads());
                let v = rows(&values.narrow(1, kv, 1).unwrap().squeeze(1).unwrap());
                let pattern = rows(&pattern.narrow(0, head, 1).unwrap().squeeze(0).unwrap());
                for (row, found) in map.rows.iter().zip(&map.values) {
                    for j in 0..6 {
                        let carried: Vec<f64> =
                            written(&model, 1, head, &v[j]).iter().map(|x| x * pattern[*row][j]).collect();
                        assert!((found[j] - length(&carried)).abs() < 1e-9);
                        assert!((norms[head][j] - length(&written(&model, 1, head, &v[j]))).abs() < 1e-9);
                    }
                }
            }
        }
    }

    #[test]
    fn what_heads_write_is_measured_against_the_stream_and_their_sum() {
        for config in variants() {
            let model = build(&config);
            let text = input(3, 6);
            let found = head_writes(&model, &text, Some(&[1, 4])).unwrap();
            assert_eq!(found.len(), 12);
            for layer in 0..3 {
                let heads = &found[layer * 4..layer * 4 + 4];
                let z = activation(&model, &text, Point::block(Site::Z, layer));
                let stream = rows(&activation(&model, &text, Point::block(Site::ResidPre, layer)));
                let out = |head: usize, at: usize| {
                    let z = rows(&z.narrow(1, head, 1).unwrap().squeeze(1).unwrap());
                    written(&model, layer, head, &z[at])
                };
                let total: f64 = heads.iter().map(|head| head.share_of_attention).sum();
                assert!((total - 1.0).abs() < 1e-9);
                for (head, write) in heads.iter().enumerate() {
                    assert_eq!((write.layer, write.head), (layer, head));
                    let lengths = [1, 4].map(|at| length(&out(head, at)));
                    assert!((write.norms[0] - lengths[0]).abs() < 1e-9);
                    assert!((write.norm - (lengths[0] + lengths[1]) / 2.0).abs() < 1e-9);
                    let share = (lengths[0] / length(&stream[1]) + lengths[1] / length(&stream[4])) / 2.0;
                    assert!((write.share_of_stream - share).abs() < 1e-9);
                }
            }
        }
    }

    #[test]
    fn heads_rows_and_values_that_do_not_exist_are_refused() {
        let model = build(&config(small(), "rope"));
        let text = input(3, 6);
        assert!(weighted_map(&model, &text, 1, &[4], None).unwrap_err().to_string().contains("head 4"));
        assert!(weighted_map(&model, &text, 3, &[0], None).unwrap_err().to_string().contains("layer 3"));
        assert!(
            weighted_map(&model, &text, 0, &[0], Some(&[6])).unwrap_err().to_string().contains("position 6")
        );
        assert!(weighted_map(&model, &text, 0, &[], None).is_err());
        let wrong = Tensor::zeros((1, 6, 4, 2), DType::F64, &Device::Cpu).unwrap();
        assert!(value_norms(&model, 0, &wrong).unwrap_err().to_string().contains("2 key/value heads"));
    }
}
