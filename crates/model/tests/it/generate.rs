//! Text, token after token.

use attnlab_model::{Mask, ModelConfig, Sampling};
use candle_core::{DType, Device, Tensor};

use crate::{build, config, positions, small};

#[test]
fn the_most_likely_continuation_is_that_of_whole_sequences() {
    for position in positions() {
        let mut config: ModelConfig = config(small(), position, Mask::Causal);
        config.n_outputs = config.vocab_size;
        let (model, _) = build(&config, DType::F32);
        let found = model.generate(&[3, 1, 4], 6, &Sampling::default(), |_| true).unwrap();
        let mut tokens = vec![3u32, 1, 4];
        for _ in 0..6 {
            let input = Tensor::from_slice(&tokens, (1, tokens.len()), &Device::Cpu).unwrap();
            let logits = model.predict(&input).unwrap().get(0).unwrap();
            let last: Vec<f32> = logits.get(tokens.len() - 1).unwrap().to_vec1().unwrap();
            let best = (0..last.len()).reduce(|a, b| if last[b] > last[a] { b } else { a }).unwrap();
            tokens.push(best as u32);
        }
        assert_eq!(found, tokens[3..], "{config:?}");
    }
}

#[test]
fn whoever_sees_a_token_can_end_it_and_a_model_that_sees_ahead_cannot_begin() {
    let mut causal = config(small(), crate::position("rope"), Mask::Causal);
    causal.n_outputs = causal.vocab_size;
    let (model, _) = build(&causal, DType::F32);
    assert_eq!(model.generate(&[1], 9, &Sampling::default(), |_| false).unwrap().len(), 1);
    assert!(model.generate(&[], 9, &Sampling::default(), |_| true).is_err());
    let (ahead, _) = build(&ModelConfig { mask: Mask::Bidirectional, ..causal }, DType::F32);
    assert!(ahead.generate(&[1], 9, &Sampling::default(), |_| true).is_err());
}
