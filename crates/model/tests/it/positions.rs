//! What encodings that change others do to a whole model.

use attnlab_hooks::NoHooks;
use attnlab_model::{Cache, Mask, Pass};
use attnlab_ops::Streams;
use attnlab_positions::{Places, PositionConfig, Sequences};
use candle_core::{DType, Device, Tensor};

use crate::{bits, build, config, largest_difference, position, small, tokens};

fn over(kind: &str, options: &str, below: &str) -> PositionConfig {
    serde_json::from_str(&format!(r#"{{"{kind}":{{{options}"over":{below}}}}}"#)).unwrap()
}

fn predicted(position: PositionConfig, mask: Mask, ids: &[u32]) -> Tensor {
    let (model, _) = build(&config(small(), position, mask), DType::F32);
    let batch = Tensor::from_slice(ids, (1, ids.len()), &Device::Cpu).unwrap();
    model.predict(&batch).unwrap().squeeze(0).unwrap() // (T, outputs)
}

#[test]
fn two_blocks_reach_twice_as_far_as_the_window_and_no_farther() {
    for mask in [Mask::Causal, Mask::Bidirectional] {
        for below in [r#"{"rope":{}}"#, r#"{"t5":{}}"#, r#"{"none":{}}"#] {
            let position = || over("windowed", r#""window":2,"#, below);
            let mut ids = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 1, 2];
            let before = predicted(position(), mask, &ids);
            ids[5] = 0;
            let after = predicted(position(), mask, &ids);
            for i in 0..12 {
                let reached = if mask == Mask::Causal { (5..=9).contains(&i) } else { (1..=9).contains(&i) };
                let same = bits(&before.get(i).unwrap()) == bits(&after.get(i).unwrap());
                assert_eq!(same, !reached, "token {i} under {below}, {mask:?}");
            }
        }
    }
}

#[test]
fn a_window_as_an_encoding_is_the_window_of_a_block() {
    let mut block = config(small(), position("alibi"), Mask::Causal);
    let layer = attnlab_model::Layer { window: Some(4), ..attnlab_model::Layer::default() };
    block.details.layers = vec![layer.clone(), layer];
    let batch = tokens(2, 12);
    let expected = build(&block, DType::F32).0.predict(&batch).unwrap();
    let position = over("windowed", r#""window":3,"#, r#"{"alibi":{}}"#);
    let found = build(&config(small(), position, Mask::Causal), DType::F32).0.predict(&batch).unwrap();
    assert!(largest_difference(&expected, &found) < 1e-6);
}

#[test]
fn scores_times_log_n_are_those_of_queries_that_are_so_much_longer() {
    // Of a model that sees all keys the factor is one number, which the scale can hold as well.
    let log_n = over("log_n", "", r#"{"rope":{}}"#);
    let batch = tokens(2, 9);
    let found = build(&config(small(), log_n, Mask::Bidirectional), DType::F32).0.predict(&batch).unwrap();
    let scale = 9f64.ln() / 2f64.sqrt(); // head width 2
    let architecture = attnlab_model::Architecture { attention_scale: Some(scale), ..small() };
    let plain = config(architecture, position("rope"), Mask::Bidirectional);
    let expected = build(&plain, DType::F32).0.predict(&batch).unwrap();
    assert!(largest_difference(&expected, &found) < 1e-5);
}

#[test]
fn with_a_cache_the_scaled_scores_are_those_of_the_whole_sequence() {
    let position = over("log_n", "", r#"{"windowed":{"window":3,"over":{"rope":{}}}}"#);
    let (model, _) = build(&config(small(), position, Mask::Causal), DType::F32);
    assert!(model.is_incremental());
    let batch = tokens(2, 9);
    let (whole, mut cache) = (model.predict(&batch).unwrap(), Cache::new());
    let parts: Vec<Tensor> = [(0, 5), (5, 1), (6, 3)]
        .into_iter()
        .map(|(start, len)| {
            let part = batch.narrow(1, start, len).unwrap();
            let pass = Pass { cache: Some(&mut cache), ..Pass::new(&part) };
            model.logits(&model.run(pass, &mut NoHooks).unwrap()).unwrap()
        })
        .collect();
    assert!(largest_difference(&whole, &Tensor::cat(&parts, 1).unwrap()) < 1e-5);
}

#[test]
fn where_tokens_stand_is_a_function_of_the_tokens_and_training_draws_it_from_its_stream() {
    let position = over("randomised", r#""length":500,"#, r#"{"sinusoidal":{}}"#);
    let (model, _) = build(&config(small(), position, Mask::Causal), DType::F32);
    let batch = tokens(3, 9);
    assert!(!model.is_incremental());
    let places = model.places(&batch, 0).unwrap();
    assert_eq!(places, model.places(&batch, 0).unwrap());
    assert_ne!(places, Places::range(0, 9));
    assert_eq!(bits(&model.predict(&batch).unwrap()), bits(&model.predict(&batch).unwrap()));
    let ids = batch.flatten_all().unwrap().to_vec1().unwrap();
    let of = Sequences { tokens: &ids, rows: 3, len: 9 };
    let drawn = |step| model.position().training_places(&of, &mut Streams::new(1).rng("places", step));
    assert_eq!(drawn(0), drawn(0));
    assert_ne!(drawn(0), drawn(1));
}

#[test]
fn a_digits_place_follows_from_the_tokens_before_it() {
    let position = || over("abacus", r#""digits":[5,9],"#, r#"{"none":{}}"#);
    let (model, _) = build(&config(small(), position(), Mask::Bidirectional), DType::F32);
    // Without positions of its own and without a mask, a model of places within numbers cannot tell where a number
    // stands, but can tell its digits apart.
    let row = |ids: &[u32], i: usize| {
        let batch = Tensor::from_slice(ids, (1, ids.len()), &Device::Cpu).unwrap();
        model.predict(&batch).unwrap().get(0).unwrap().get(i).unwrap()
    };
    let (a, b, c) = (row(&[5, 6, 1, 2], 1), row(&[2, 1, 5, 6], 3), row(&[6, 5, 1, 2], 0));
    assert!(largest_difference(&a, &b) < 1e-6);
    assert!(largest_difference(&a, &c) > 1e-4);
}

#[test]
fn an_encoding_of_every_block_has_its_parameters_there_and_the_embeddings_part_is_the_models() {
    let names = |position: PositionConfig| -> Vec<String> {
        let (_, parameters) = build(&config(small(), position, Mask::Causal), DType::F32);
        let names = parameters.vars().into_iter().map(|(name, _)| name);
        names.filter(|name| name.contains("position")).collect()
    };
    assert_eq!(names(position("shaw")), ["blocks.0.position.weight", "blocks.1.position.weight"]);
    assert_eq!(names(position("t5")), ["position.weight"]);
    let over_shaw = over("abacus", "", r#"{"windowed":{"over":{"shaw":{}}}}"#);
    // A table in a table adds its name once more.
    let expected =
        ["blocks.0.position.over.over.weight", "blocks.1.position.over.over.weight", "position.weight"];
    assert_eq!(names(over_shaw), expected);
}
