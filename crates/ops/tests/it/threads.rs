//! One sequence on several threads.

use attnlab_ops::{
    Activation, AttentionSpec, Extras, Result, RotaryLayout, Threads, activate, add, attention, gated,
    layer_norm, linear, linear_activation, on_threads, rms_norm, rotate, softmax,
};
use candle_core::{DType, Tensor};

use crate::check::{bits, random};

/// Every operation that shares its work, at sizes that are shared, with edges.
fn everything() -> Result<Vec<Tensor>> {
    let single = |name: &str, dims: &[usize]| random(name, dims).to_dtype(DType::F32);
    let x = single("x", &[1, 301, 96])?;
    let (w, b) = (single("w", &[130, 96])?, single("b", &[130])?);
    let (scale, shift) = (single("scale", &[96])?, single("shift", &[96])?);
    let heads = x.reshape((1, 301, 6, 16))?;
    let angles = single("angles", &[1, 301, 8])?;
    let spec = AttentionSpec { scale: 0.3, causal: true, window: None, softcap: None };
    let windowed = AttentionSpec { causal: false, window: Some(40), ..spec };
    let keys = heads.narrow(2, 0, 2)?;
    // Wide enough for its weight to be laid out in several parts.
    let (long, wide) = (single("long", &[9, 2048])?, single("wide", &[2100, 2048])?);
    Ok(vec![
        linear(&x, &w, None)?,
        linear(&x, &w, Some(&b))?,
        linear_activation(&x, &w, Some(&b), Activation::Gelu)?,
        linear(&long, &wide, None)?,
        layer_norm(&x, &scale, Some(&shift), 1e-5)?,
        layer_norm(&x, &scale, None, 1e-5)?,
        rms_norm(&x, &scale, 1e-5)?,
        softmax(&x)?,
        activate(&x, Activation::Silu)?,
        gated(&x, &(&x * 2.0)?, Activation::Silu)?,
        add(&x, &x)?,
        rotate(&heads, &angles.cos()?, &angles.sin()?, RotaryLayout::HalfSplit)?,
        attention(&heads, &keys, &keys, &Extras::default(), &spec)?,
        attention(&heads, &keys, &keys, &Extras::default(), &windowed)?,
    ])
}

#[test]
fn no_bit_depends_on_the_number_of_threads() {
    let alone = everything().unwrap();
    for count in [1, 2, 3, 7] {
        let shared = on_threads(&Threads::new(count).unwrap(), everything).unwrap();
        for (at, (alone, shared)) in alone.iter().zip(&shared).enumerate() {
            assert_eq!(bits(alone), bits(shared), "operation {at} on {count} threads");
        }
    }
}
