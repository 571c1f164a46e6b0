//! Blocks without skip connections, and what pure attention does to its tokens.

use attnlab_hooks::{Capture, Point, Scope, Site};
use attnlab_model::{Architecture, Mask, Mlp, Norm, NormPlacement, Pass, Residual};
use candle_core::{DType, Tensor};

use crate::{bits, build, config, position, small, tokens};

#[test]
fn without_skip_connections_the_stream_is_what_the_last_sublayer_wrote() {
    for norm_placement in [NormPlacement::Pre, NormPlacement::Sandwich, NormPlacement::Normed] {
        let architecture = Architecture { residual: Residual::None, norm_placement, ..small() };
        let (model, _) = build(&config(architecture, position("learned"), Mask::Causal), DType::F32);
        let mut seen = Capture::new();
        let sites = [Site::AttnOut, Site::ResidMid, Site::MlpOut, Site::ResidPost];
        sites.iter().for_each(|&site| seen.add(Point::block(site, 1), Scope::default()).unwrap());
        model.forward(&tokens(2, 7), &mut seen).unwrap();
        let [attention, middle, mlp, after] =
            sites.map(|site| bits(seen.get(Point::block(site, 1)).unwrap()));
        assert_eq!(attention, middle);
        assert_eq!(mlp, after);
        assert_ne!(attention, mlp);
    }
}

/// ‖X − 1x̄ᵀ‖ / ‖X‖ of each sequence of (B, T, D), in the Frobenius norm: 0 if all tokens are the same. Their mean.
fn rank_residual(x: &Tensor) -> f64 {
    let rows = x.to_vec3::<f64>().unwrap();
    let of = |sequence: &Vec<Vec<f64>>| {
        let (mut rest, mut all) = (0.0, 0.0);
        for d in 0..sequence[0].len() {
            let mean = sequence.iter().map(|token| token[d]).sum::<f64>() / sequence.len() as f64;
            rest += sequence.iter().map(|token| (token[d] - mean).powi(2)).sum::<f64>();
            all += sequence.iter().map(|token| token[d].powi(2)).sum::<f64>();
        }
        (rest / all).sqrt()
    };
    rows.iter().map(of).sum::<f64>() / rows.len() as f64
}

#[test]
fn the_tokens_of_pure_attention_become_one_another_and_skip_connections_keep_them_apart() {
    let after = |residual, n_layers| {
        let architecture = Architecture { n_layers, residual, mlp: Mlp::None, norm: Norm::None, ..small() };
        let (model, _) = build(&config(architecture, position("learned"), Mask::Bidirectional), DType::F64);
        let mut seen = Capture::new();
        seen.add(Point::block(Site::ResidPost, n_layers - 1), Scope::default()).unwrap();
        model.run(Pass::new(&tokens(4, 12)), &mut seen).unwrap();
        rank_residual(seen.get(Point::block(Site::ResidPost, n_layers - 1)).unwrap())
    };
    let pure = [1, 2, 4].map(|n_layers| after(Residual::None, n_layers));
    assert!(pure.windows(2).all(|pair| pair[1] < pair[0]), "{pure:?}");
    let (collapsed, kept) = (pure[2], after(Residual::Sequential, 4));
    assert!(collapsed < 0.01 && kept > 0.5, "{collapsed} and {kept}");
}
