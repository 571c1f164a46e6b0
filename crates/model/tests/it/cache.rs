//! With a cache, one more token costs one token and gives what the whole sequence would.

use attnlab_hooks::NoHooks;
use attnlab_model::{Architecture, Cache, Details, Layer, Mask, ModelConfig, NullOption, Pass};
use candle_core::{DType, Tensor};

use crate::{build, config, largest_difference, positions, small, tokens};

#[test]
fn token_after_token_gives_what_the_whole_sequence_does() {
    let layer = |window| Layer { window, ..Layer::default() };
    let details = Details { layers: vec![layer(Some(3)), layer(None)], ..Details::default() };
    let architecture = Architecture { n_kv_heads: Some(2), null_option: NullOption::Learned, ..small() };
    let mut checked = 0;
    for position in positions() {
        let config =
            ModelConfig { details: details.clone(), ..config(architecture.clone(), position, Mask::Causal) };
        let (model, _) = build(&config, DType::F32);
        if !model.is_incremental() {
            continue;
        }
        let batch = tokens(2, 9);
        let whole = model.predict(&batch).unwrap();
        let mut cache = Cache::new();
        let mut parts = Vec::new();
        for (start, len) in [(0, 4), (4, 1), (5, 1), (6, 3)] {
            let part = batch.narrow(1, start, len).unwrap();
            let pass = Pass { cache: Some(&mut cache), ..Pass::new(&part) };
            parts.push(model.logits(&model.run(pass, &mut NoHooks).unwrap()).unwrap());
        }
        assert_eq!(cache.len(), 9);
        let parts = Tensor::cat(&parts, 1).unwrap();
        assert!(largest_difference(&whole, &parts) < 1e-5, "{config:?}");
        checked += 1;
    }
    assert!(checked >= 6);
}
