//! Mixtral (Jiang et al. 2024, arXiv 2401.04088): Mistral with a mixture of experts in place of the MLP.

use attnlab_model::Experts;

use super::llama::{self, Defaults, IGNORED};
use super::rope::RopeDefaults;
use super::{Blueprint, Context, Family, windows};
use crate::error::Result;
use crate::recipe::{Names, Recipe};

pub(super) const FAMILY: Family =
    Family { title: "Mixtral", model_types: &["mixtral"], prefix: "model.", ignored: IGNORED, translate };

fn translate(cx: &Context<'_>) -> Result<Blueprint> {
    let c = cx.config;
    let defaults = Defaults {
        kv_heads: Some(8),
        eps: ("rms_norm_eps", 1e-5),
        rope: RopeDefaults::whole(1e6),
        max_len: 131_072,
        ..Defaults::default()
    };
    let mut blueprint = llama::body(cx, &defaults)?;
    let a = &mut blueprint.config.architecture;
    let experts = Experts {
        count: c.count_or("num_local_experts|num_experts", 8)?,
        per_token: c.count_or("num_experts_per_tok", 2)?,
        router_bias: false,
    };
    a.experts = Some(experts);
    let (d, f) = (a.d_model, a.mlp_width());
    blueprint.config.details.layers =
        windows::everywhere(a.n_layers, c.count_or_null("sliding_window", None)?);
    for l in 0..a.n_layers {
        let (ours, theirs) = (format!("blocks.{l}.mlp"), format!("model.layers.{l}"));
        if cx.has(&format!("{theirs}.mlp.experts.gate_up_proj")) {
            fused(cx, &mut blueprint.names, (&ours, &format!("{theirs}.mlp")), (experts.count, d, f))?;
        } else {
            let theirs = format!("{theirs}.block_sparse_moe");
            one_by_one(cx, &mut blueprint.names, (&ours, &theirs), experts.count)?;
        }
    }
    Ok(blueprint)
}

/// Each expert with tensors of its own, as on the Hub.
fn one_by_one(cx: &Context<'_>, names: &mut Names, (ours, theirs): (&str, &str), count: usize) -> Result<()> {
    // Before a recipe is made for each of as many as a configuration may claim.
    let last = format!("{theirs}.experts.{}.w1.weight", count.saturating_sub(1));
    cx.need(&last, "the last of `num_local_experts` experts")?;
    names.pair(&format!("{ours}.router"), &format!("{theirs}.gate"));
    for e in 0..count {
        for (our, their) in [("gate", "w1"), ("up", "w3"), ("down", "w2")] {
            names.pair(&format!("{ours}.experts.{e}.{our}"), &format!("{theirs}.experts.{e}.{their}"));
        }
    }
    Ok(())
}

/// All experts in one tensor, as transformers 5 holds them: gate and up are (E, 2F, D), down is (E, D, F).
fn fused(
    cx: &Context<'_>,
    names: &mut Names,
    (ours, theirs): (&str, &str),
    (count, d, f): (usize, usize, usize),
) -> Result<()> {
    let (gate_up, down) = (format!("{theirs}.experts.gate_up_proj"), format!("{theirs}.experts.down_proj"));
    cx.need_shape(&gate_up, "the experts", &[count, 2 * f, d])?;
    cx.need_shape(&down, "the experts", &[count, d, f])?;
    names.pair(&format!("{ours}.router"), &format!("{theirs}.gate"));
    for e in 0..count {
        for (our, start) in [("gate", 0), ("up", f)] {
            let part = Recipe::tensor(&gate_up).row(e).then(move |x| x.narrow(0, start, f)?.contiguous());
            names.add(format!("{ours}.experts.{e}.{our}.weight"), part);
        }
        names.add(format!("{ours}.experts.{e}.down.weight"), Recipe::tensor(&down).row(e));
    }
    Ok(())
}
