//! Hooks see what the model computes, change it where they should, and cost no bit where they only look.

use attnlab_hooks::{Capture, Change, HookSpec, NoHooks, Plan, Point, Scope, Site};
use attnlab_model::{Architecture, Mask, Residual};
use candle_core::{DType, Tensor};

use crate::{bits, build, config, largest_difference, masks, position, positions, small, tokens};

fn plan(specs: &[HookSpec], model: &attnlab_model::Transformer) -> Plan {
    Plan::resolve(specs, &model.anatomy()).unwrap()
}

#[test]
fn looking_at_everything_changes_no_bit() {
    for position in positions() {
        for mask in masks(&position) {
            let (model, _) = build(&config(small(), position.clone(), mask), DType::F32);
            let mut everything = Capture::new();
            let anatomy = model.anatomy();
            for site in Site::ALL.into_iter().filter(|site| !anatomy.absent.contains(site)) {
                let layers = if site.in_block() {
                    vec![Point::block(site, 0), Point::block(site, 1)]
                } else {
                    vec![Point::model(site)]
                };
                for point in layers {
                    everything.add(point, Scope::default()).unwrap();
                }
            }
            let batch = tokens(2, 7);
            let seen = model.forward(&batch, &mut everything).unwrap();
            assert_eq!(bits(&seen), bits(&model.forward(&batch, &mut NoHooks).unwrap()));
            assert_eq!(everything.never_fired().count(), 0);
        }
    }
}

#[test]
fn a_map_computed_on_the_side_is_the_one_that_makes_z() {
    for position in positions() {
        for mask in masks(&position) {
            let architecture = Architecture { n_kv_heads: Some(2), ..small() };
            let (model, _) = build(&config(architecture, position.clone(), mask), DType::F32);
            let names =
                ["pattern", "v", "z"].map(|name| HookSpec::capture(format!("blocks.1.attn.hook_{name}")));
            let mut plan = plan(&names, &model);
            model.forward(&tokens(2, 7), &mut plan).unwrap();
            plan.finish().unwrap();
            let get = |site| plan.capture().get(Point::block(site, 1)).unwrap().clone();
            let (pattern, v, z) = (get(Site::Pattern), get(Site::V), get(Site::Z)); // (B,H,T,T), (B,T,G,K), (B,T,H,K)
            let rows = pattern.sum(3).unwrap();
            assert!(largest_difference(&rows, &rows.ones_like().unwrap()) < 1e-6);
            for h in 0..4 {
                let weights = pattern.narrow(1, h, 1).unwrap().squeeze(1).unwrap().contiguous().unwrap();
                let values = v.narrow(2, h / 2, 1).unwrap().squeeze(2).unwrap().contiguous().unwrap();
                let expected = weights.matmul(&values).unwrap();
                let found = z.narrow(2, h, 1).unwrap().squeeze(2).unwrap();
                assert!(largest_difference(&expected, &found) < 1e-6);
            }
        }
    }
}

#[test]
fn a_scoped_map_is_the_cut_of_the_whole_one() {
    for position in positions() {
        let architecture = Architecture { n_kv_heads: Some(2), ..small() };
        let (model, _) = build(&config(architecture, position, Mask::Causal), DType::F32);
        for name in ["attn_scores_raw", "attn_scores", "pattern"] {
            let name = format!("blocks.0.attn.hook_{name}");
            let scope = HookSpec::capture(name.clone()).heads([1, 3]).rows([0, 4, 6]).batch([1]);
            let (mut whole, mut part) =
                (plan(&[HookSpec::capture(name)], &model), plan(std::slice::from_ref(&scope), &model));
            model.forward(&tokens(2, 7), &mut whole).unwrap();
            model.forward(&tokens(2, 7), &mut part).unwrap();
            let point = part.capture().points().next().unwrap();
            let expected = scope.scope.cut(point.site, whole.capture().get(point).unwrap()).unwrap();
            let found = part.capture().get(point).unwrap();
            assert_eq!(found.dims(), [1, 2, 3, 7]);
            assert_eq!(found.to_string(), expected.to_string());
        }
    }
}

#[test]
fn an_edit_that_changes_nothing_takes_the_other_route_to_the_same_values() {
    for position in positions() {
        let (model, _) = build(&config(small(), position, Mask::Causal), DType::F32);
        for site in ["attn_scores_raw", "attn_scores", "pattern"] {
            let edit = HookSpec::edit(format!("blocks.*.attn.hook_{site}"), Change::Scale(1.0));
            let mut plan = plan(&[edit], &model);
            let edited = model.forward(&tokens(2, 7), &mut plan).unwrap();
            plan.finish().unwrap();
            let plain = model.predict(&tokens(2, 7)).unwrap();
            assert!(largest_difference(&edited, &plain) < 1e-5);
        }
    }
}

#[test]
fn zeroing_a_heads_z_and_its_output_are_the_same_ablation() {
    let (model, _) = build(&config(small(), position("rope"), Mask::Causal), DType::F32);
    let run = |name: &str| {
        let edit = HookSpec::edit(format!("blocks.0.attn.hook_{name}"), Change::Zero).heads([2]);
        let mut plan = plan(&[edit], &model);
        let logits = model.forward(&tokens(2, 7), &mut plan).unwrap();
        plan.finish().unwrap();
        logits
    };
    let (z, result) = (run("z"), run("result"));
    assert!(largest_difference(&z, &result) < 1e-6);
    assert!(largest_difference(&z, &model.predict(&tokens(2, 7)).unwrap()) > 1e-7);
}

#[test]
fn a_knocked_out_edge_carries_nothing() {
    let (model, _) =
        build(&config(Architecture { n_layers: 1, ..small() }, position("none"), Mask::Causal), DType::F32);
    let edit = HookSpec::edit("blocks.0.attn.hook_attn_scores", Change::KnockOut { query: 3, key: 1 });
    let run = |batch: &Tensor| {
        let mut plan = plan(std::slice::from_ref(&edit), &model);
        let logits = model.forward(batch, &mut plan).unwrap();
        (logits.narrow(1, 3, 1).unwrap(), model.predict(batch).unwrap().narrow(1, 3, 1).unwrap())
    };
    let device = candle_core::Device::Cpu;
    let (cut, whole) = run(&Tensor::new(&[[1u32, 2, 3, 4]], &device).unwrap());
    let (cut_other, whole_other) = run(&Tensor::new(&[[1u32, 9, 3, 4]], &device).unwrap());
    assert_eq!(bits(&cut), bits(&cut_other));
    assert!(largest_difference(&whole, &whole_other) > 1e-7);
}

#[test]
fn a_point_that_a_model_lacks_is_refused_before_the_run() {
    let (model, _) = build(&config(small(), position("none"), Mask::Causal), DType::F32);
    let parallel = Architecture { residual: Residual::Parallel, ..small() };
    let (parallel, _) = build(&config(parallel, position("rope"), Mask::Causal), DType::F32);
    for (model, name) in [
        (&model, "blocks.0.attn.hook_rot_q"),
        (&model, "hook_pos_embed"),
        (&model, "blocks.2.attn.hook_q"),
        (&parallel, "blocks.0.hook_resid_mid"),
    ] {
        assert!(Plan::resolve(&[HookSpec::capture(name)], &model.anatomy()).is_err(), "{name}");
    }
    assert!(
        Plan::resolve(&[HookSpec::capture("blocks.0.attn.hook_q").heads([4])], &model.anatomy()).is_err()
    );
}
