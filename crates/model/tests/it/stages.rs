//! The pass in stages, and the weights behind it.

use attnlab_hooks::{Capture, NoHooks, Point, Scope, Site};
use attnlab_model::{Architecture, Mask, Norm, NormPlacement, Pass, Residual};
use candle_core::{D, DType};

use crate::{bits, build, config, largest_difference, position, positions, small, tokens};

#[test]
fn a_pass_resumed_from_any_block_is_the_whole_pass_to_the_last_bit() {
    let placements =
        [NormPlacement::Pre, NormPlacement::Post, NormPlacement::Sandwich, NormPlacement::Normed];
    for (position, norm_placement) in positions().into_iter().zip(placements.into_iter().cycle()) {
        let architecture = Architecture {
            n_layers: 3,
            n_kv_heads: Some(2),
            norm_placement,
            embedding_norm: true,
            ..small()
        };
        let (model, _) = build(&config(architecture, position, Mask::Causal), DType::F32);
        let batch = tokens(2, 7);
        let mut streams = Capture::new();
        let entering = |layer| Point::block(Site::ResidPre, layer);
        (0..3).for_each(|layer| streams.add(entering(layer), Scope::default()).unwrap());
        let whole = model.run(Pass::new(&batch), &mut streams).unwrap();
        let mut x = model.enter(&Pass::new(&batch), &mut NoHooks).unwrap();
        for layer in 0..3 {
            let stream = streams.get(entering(layer)).unwrap();
            assert_eq!(bits(&x), bits(stream));
            let resumed = model.resume(layer, stream, &batch, &mut NoHooks).unwrap();
            assert_eq!(bits(&resumed), bits(&whole));
            x = model.through(layer..layer + 1, &x, &batch, &mut NoHooks).unwrap();
        }
        assert_eq!(bits(&model.resume(3, &x, &batch, &mut NoHooks).unwrap()), bits(&whole));
        let logits = model.predict(&batch).unwrap();
        assert_eq!(bits(&model.logits_of_residual(&x).unwrap()), bits(&logits));
    }
}

#[test]
fn blocks_and_streams_that_are_not_the_models_are_refused() {
    let (model, _) = build(&config(small(), position("none"), Mask::Causal), DType::F32);
    let batch = tokens(1, 4);
    let x = model.enter(&Pass::new(&batch), &mut NoHooks).unwrap();
    assert!(model.resume(2, &x, &batch, &mut NoHooks).is_ok());
    let error = model.resume(3, &x, &batch, &mut NoHooks).unwrap_err().to_string();
    assert!(error.contains("the model has 2"), "{error}");
    let error = model.resume(0, &x, &tokens(1, 5), &mut NoHooks).unwrap_err().to_string();
    assert!(error.contains("[1, 4, 8]") && error.contains("[1, 5, 8]"), "{error}");
    for (layer, head) in [(2, 0), (0, 4)] {
        let error = model.head_weights(layer, head).unwrap_err().to_string();
        assert!(error.contains("does not exist; the model has 2 layers of 4 heads"), "{error}");
    }
}

#[test]
fn the_weights_of_a_head_are_those_that_compute_it() {
    let architecture = Architecture { n_kv_heads: Some(2), ..small() };
    let (model, _) = build(&config(architecture, position("alibi"), Mask::Causal), DType::F64);
    let mut seen = Capture::new();
    for site in [Site::ResidPre, Site::Q, Site::K, Site::V, Site::Z, Site::HeadOut, Site::AttnOut] {
        seen.add(Point::block(site, 1), Scope::default()).unwrap();
    }
    model.forward(&tokens(1, 6), &mut seen).unwrap();
    let get = |site| seen.get(Point::block(site, 1)).unwrap().squeeze(0).unwrap();
    let x = model.frozen_norm_before_attention(1, &get(Site::ResidPre)).unwrap();
    let read = x.apply(&get(Site::ResidPre)).unwrap().broadcast_add(x.bias().unwrap()).unwrap();
    let close = |a: &candle_core::Tensor, b: &candle_core::Tensor| {
        let difference = (a - b).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap();
        assert!(difference.to_scalar::<f64>().unwrap() < 1e-12);
    };
    let mut sum = get(Site::AttnOut).zeros_like().unwrap();
    for head in 0..4 {
        let w = model.head_weights(1, head).unwrap();
        for (site, weight, bias, at) in [
            (Site::Q, &w.q, &w.q_bias, head),
            (Site::K, &w.k, &w.k_bias, head / 2),
            (Site::V, &w.v, &w.v_bias, head / 2),
        ] {
            let y = read.matmul(&weight.t().unwrap()).unwrap();
            let y = y.broadcast_add(bias.as_ref().unwrap()).unwrap();
            close(&y, &get(site).narrow(1, at, 1).unwrap().squeeze(1).unwrap());
        }
        let z = get(Site::Z).narrow(1, head, 1).unwrap().squeeze(1).unwrap().contiguous().unwrap();
        let out = z.matmul(&w.o.t().unwrap()).unwrap();
        close(&out, &get(Site::HeadOut).narrow(1, head, 1).unwrap().squeeze(1).unwrap());
        sum = (sum + out).unwrap();
    }
    let bias = model.attention_bias(1).unwrap().unwrap();
    close(&sum.broadcast_add(bias).unwrap(), &get(Site::AttnOut));
}

#[test]
fn a_frozen_norm_is_the_norm_at_its_states_and_its_transposition_has_the_same_products() {
    for norm in [Norm::None, Norm::Layer, Norm::Rms] {
        for residual in [Residual::Sequential, Residual::Parallel] {
            let architecture =
                Architecture { norm, residual, norm_placement: NormPlacement::Sandwich, ..small() };
            let (model, _) = build(&config(architecture, position("rope"), Mask::Causal), DType::F32);
            let mut seen = Capture::new();
            let points = [Point::block(Site::ResidPost, 1), Point::block(Site::AttnOut, 0)];
            points.iter().for_each(|&point| seen.add(point, Scope::default()).unwrap());
            let hidden = model.run(Pass::new(&tokens(1, 5)), &mut seen).unwrap();
            let x = seen.get(points[0]).unwrap().to_dtype(DType::F64).unwrap();
            let frozen = model.frozen_final_norm(&x).unwrap();
            let mut y = frozen.apply(&x).unwrap();
            if let Some(bias) = frozen.bias() {
                y = y.broadcast_add(bias).unwrap();
            }
            assert!(largest_difference(&y.to_dtype(DType::F32).unwrap(), &hidden) < 1e-5);
            let u = (x.flip(&[2]).unwrap() + 0.5).unwrap();
            let dot = |a: &candle_core::Tensor, b: &candle_core::Tensor| {
                (a * b).unwrap().sum(D::Minus1).unwrap().to_dtype(DType::F32).unwrap()
            };
            let (forth, back) =
                (dot(&u, &frozen.apply(&x).unwrap()), dot(&frozen.transposed(&u).unwrap(), &x));
            assert!(largest_difference(&forth, &back) < 1e-5);
        }
    }
}
