//! What attention can and cannot know of order.

use attnlab_model::{Architecture, Mask};
use candle_core::{DType, Device, Tensor};

use crate::{bits, build, config, largest_difference, position, positions, small};

fn logits(architecture: &Architecture, kind: &str, mask: Mask, ids: &[u32]) -> Tensor {
    let (model, _) = build(&config(architecture.clone(), position(kind), mask), DType::F32);
    let batch = Tensor::from_slice(ids, (1, ids.len()), &Device::Cpu).unwrap();
    model.predict(&batch).unwrap().squeeze(0).unwrap() // (T, outputs)
}

fn row(logits: &Tensor, i: usize) -> Tensor {
    logits.get(i).unwrap()
}

#[test]
fn a_causal_model_does_not_see_what_comes() {
    for position in positions() {
        // Aligned at the end, a position is a distance to the end, so what comes is visible through it.
        if position.label().contains("end") {
            continue;
        }
        let (model, _) = build(&config(small(), position, Mask::Causal), DType::F32);
        let run = |ids: &[u32]| {
            let batch = Tensor::from_slice(ids, (1, ids.len()), &Device::Cpu).unwrap();
            model.predict(&batch).unwrap().squeeze(0).unwrap()
        };
        let (a, b) = (run(&[1, 2, 3, 4, 5]), run(&[1, 2, 3, 9, 9]));
        for i in 0..3 {
            assert_eq!(bits(&row(&a, i)), bits(&row(&b, i)));
        }
        assert_ne!(bits(&row(&a, 3)), bits(&row(&b, 3)));
    }
}

#[test]
fn without_positions_and_mask_the_order_of_the_tokens_cannot_matter() {
    let (a, b) = (
        logits(&small(), "none", Mask::Bidirectional, &[1, 2, 3, 4, 5]),
        logits(&small(), "none", Mask::Bidirectional, &[4, 2, 1, 3, 5]),
    );
    assert!(largest_difference(&row(&a, 4), &row(&b, 4)) < 1e-6);
    for kind in ["learned", "sinusoidal", "rope", "alibi"] {
        let (a, b) = (
            logits(&small(), kind, Mask::Bidirectional, &[1, 2, 3, 4, 5]),
            logits(&small(), kind, Mask::Bidirectional, &[4, 2, 1, 3, 5]),
        );
        assert!(largest_difference(&row(&a, 4), &row(&b, 4)) > 1e-7, "{kind}");
    }
}
