//! Scaled rotations: what llama.cpp writes, as `rope_scaling` of a `config.json`.

use serde_json::{Value as Json, json};

use super::facts::Facts;
use crate::error::Result;

/// The value of `rope_scaling`: null, linear, yarn, longrope or llama3.
pub(super) fn scaling(facts: &Facts) -> Result<Json> {
    if let Some(factors) = facts.numbers("rope_freqs.weight")? {
        return llama3(facts, &factors);
    }
    if facts.has("rope_factors_long.weight") || facts.has("rope_factors_short.weight") {
        return longrope(facts);
    }
    for key in
        ["rope.scaling.yarn_log_multiplier", "rope.scaling.yarn_ext_factor", "rope.scaling.yarn_attn_factor"]
    {
        if let Some(value) = facts.optional_number(key)? {
            return Err(facts.unsupported(key, value, "files without it"));
        }
    }
    match facts.text("rope.scaling.type") {
        None | Some("none") => match facts.optional_number("rope.scale_linear")? {
            // The key of the first GGUF files.
            Some(factor) if factor != 1.0 && factor != 0.0 => {
                Ok(json!({"rope_type": "linear", "factor": factor}))
            }
            _ => Ok(Json::Null),
        },
        Some("linear") => Ok(json!({"rope_type": "linear", "factor": facts.number("rope.scaling.factor")?})),
        Some("yarn") => {
            if let Some(value) =
                facts.optional_number("rope.scaling.attn_factor")?.filter(|&value| value != 1.0)
            {
                return Err(facts.unsupported("rope.scaling.attn_factor", value, "1 with yarn"));
            }
            let mut scaling = json!({
                "rope_type": "yarn",
                "factor": facts.number("rope.scaling.factor")?,
                "original_max_position_embeddings": facts.size("rope.scaling.original_context_length")?,
            });
            for (key, name) in
                [("rope.scaling.yarn_beta_fast", "beta_fast"), ("rope.scaling.yarn_beta_slow", "beta_slow")]
            {
                if let Some(value) = facts.optional_number(key)? {
                    scaling[name] = json!(value);
                }
            }
            Ok(scaling)
        }
        Some(other) => Err(facts.unsupported(
            "rope.scaling.type",
            other,
            "none, linear, yarn, longrope with its factors",
        )),
    }
}

/// Phi-3's factors, which are tensors here and lists in the configuration.
fn longrope(facts: &Facts) -> Result<Json> {
    let factors = |name: &str| -> Result<Vec<f32>> {
        facts.rows(name, "scaled rotation").and(facts.numbers(name)).map(Option::unwrap_or_default)
    };
    Ok(json!({
        "rope_type": "longrope",
        "long_factor": factors("rope_factors_long.weight")?,
        "short_factor": factors("rope_factors_short.weight")?,
        "original_max_position_embeddings": facts.size("rope.scaling.original_context_length")?,
    }))
}

/// Llama 3's scaling is stored as the factors that follow from it. Those of the known settings are recognised.
fn llama3(facts: &Facts, factors: &[f32]) -> Result<Json> {
    let base = facts.optional_number("rope.freq_base")?.unwrap_or(10_000.0);
    let (low, high, original) = (1.0, 4.0, 8192.0);
    let factor = f64::from(factors.iter().copied().fold(1.0, f32::max)).round();
    #[expect(clippy::cast_precision_loss, reason = "a head has few frequencies")]
    let expected = (0..factors.len()).map(|i| {
        let wavelength = std::f64::consts::TAU * base.powf(i as f64 / factors.len() as f64);
        if wavelength < original / high {
            1.0
        } else if wavelength > original / low {
            factor
        } else {
            let smooth = (original / wavelength - low) / (high - low);
            1.0 / ((1.0 - smooth) / factor + smooth)
        }
    });
    let same =
        expected.zip(factors).all(|(expected, &found)| (expected / f64::from(found) - 1.0).abs() < 1e-3);
    if factor == 1.0 && same {
        return Ok(Json::Null);
    }
    if !same {
        let supported = "those of Llama 3 (low_freq_factor 1, high_freq_factor 4, 8192 original positions)";
        return Err(facts.unsupported("rope_freqs.weight", format!("{factors:?}"), supported));
    }
    Ok(json!({
        "rope_type": "llama3",
        "factor": factor,
        "low_freq_factor": low,
        "high_freq_factor": high,
        "original_max_position_embeddings": 8192,
    }))
}
