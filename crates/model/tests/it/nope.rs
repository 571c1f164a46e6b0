//! What a model without positional encoding cannot see, as facts about its states: experiments rest on them.

use attnlab_hooks::NoHooks;
use attnlab_model::{Architecture, Mask, Pass, Transformer};
use candle_core::{DType, Device, Tensor};

use crate::{build, config, largest_difference, position, small};

const CAUSAL: Mask = Mask::Causal;
/// Of f32, whose sums depend on their order.
const NOTHING: f32 = 1e-5;

fn model(kind: &str, n_layers: usize, mask: Mask) -> Transformer {
    let architecture = Architecture { n_layers, ..small() };
    build(&config(architecture, position(kind), mask), DType::F32).0
}

/// The state of every token, (T, D).
fn states(model: &Transformer, ids: &[u32]) -> Tensor {
    let tokens = Tensor::from_slice(ids, (1, ids.len()), &Device::Cpu).unwrap();
    model.run(Pass::new(&tokens), &mut NoHooks).unwrap().squeeze(0).unwrap()
}

fn state(model: &Transformer, ids: &[u32], at: usize) -> Tensor {
    states(model, ids).get(at).unwrap()
}

/// Every order of the symbols, repeated symbols counted apart.
fn orders(symbols: &[u32]) -> Vec<Vec<u32>> {
    if symbols.is_empty() {
        return vec![Vec::new()];
    }
    let first = |i: usize| {
        let rest = [&symbols[..i], &symbols[i + 1..]].concat();
        orders(&rest).into_iter().map(move |order| [vec![symbols[i]], order].concat())
    };
    (0..symbols.len()).flat_map(first).collect()
}

/// How far the last token's state is from that of the sorted prefix, at most over all orders of it; `<bos>` is 0.
fn furthest(model: &Transformer, bos: bool) -> f32 {
    let prefix = [1, 2, 2, 5, 9];
    let last = |order: &[u32]| {
        let ids = [&[0][..usize::from(bos)], order, &[7]].concat();
        state(model, &ids, ids.len() - 1)
    };
    let sorted = last(&prefix);
    let orders = orders(&prefix);
    assert_eq!(orders.len(), 120);
    orders.iter().map(|order| largest_difference(&last(order), &sorted)).fold(0.0, f32::max)
}

#[test]
fn one_causal_layer_gives_the_last_token_one_state_for_every_order_of_what_comes_before() {
    for bos in [false, true] {
        assert!(furthest(&model("none", 1, CAUSAL), bos) < NOTHING, "bos: {bos}");
    }
    // It is the missing encoding and the single layer that do it.
    for (kind, n_layers) in [("none", 2), ("rope", 1), ("sinusoidal", 1), ("alibi", 1)] {
        let found = furthest(&model(kind, n_layers, CAUSAL), true);
        assert!(found > 100.0 * NOTHING, "{kind}, {n_layers} layers: {found}");
    }
}

#[test]
fn without_bos_every_token_of_a_repeated_symbol_has_one_state_at_any_depth() {
    for n_layers in 1..=4 {
        let states = states(&model("none", n_layers, CAUSAL), &[3; 16]);
        let first = states.narrow(0, 0, 1).unwrap().broadcast_as(states.shape()).unwrap();
        let found = largest_difference(&states, &first);
        assert!(found < NOTHING, "{n_layers} layers: {found}");
    }
}

#[test]
fn with_bos_the_tokens_of_a_repeated_symbol_differ_from_one_another() {
    for n_layers in 1..=4 {
        let mut ids = [3; 16];
        ids[0] = 0;
        let states = states(&model("none", n_layers, CAUSAL), &ids);
        let state = |i| states.get(i).unwrap();
        for i in 1..16 {
            for j in 1..i {
                let found = largest_difference(&state(i), &state(j));
                assert!(found > NOTHING, "{n_layers} layers, {j} and {i}: {found}");
            }
        }
    }
}

#[test]
fn an_encoder_permutes_its_states_as_its_input_is_permuted() {
    let ids = [4, 1, 1, 8, 2, 6];
    let moved = |model: &Transformer| {
        let before = states(model, &ids);
        let furthest = |order: &Vec<u32>| {
            let shown: Vec<u32> = order.iter().map(|&i| ids[i as usize]).collect();
            let order = Tensor::from_slice(order, order.len(), &Device::Cpu).unwrap();
            largest_difference(&states(model, &shown), &before.index_select(&order, 0).unwrap())
        };
        orders(&[0, 1, 2, 3, 4, 5]).iter().step_by(7).map(furthest).fold(0.0, f32::max)
    };
    for n_layers in [1, 3] {
        let found = moved(&model("none", n_layers, Mask::Bidirectional));
        assert!(found < NOTHING, "{n_layers} layers: {found}");
    }
    for (kind, mask) in [("none", CAUSAL), ("rope", Mask::Bidirectional), ("learned", Mask::Bidirectional)] {
        let found = moved(&model(kind, 3, mask));
        assert!(found > 100.0 * NOTHING, "{kind}: {found}");
    }
}
