//! Analyses of heads that need the model and not only its maps.
//!
//! | question | function |
//! |---|---|
//! | What changes if this is edited? | [`effect()`], with [`cut_edge`], [`hide_key`] and any hook spec |
//! | Which heads matter for the loss? | [`ablate_all`]: zero, mean or resample, every head in turn |
//! | Where does the difference of two prompts lie? | [`patch()`], [`patch_residual`], [`patch_heads`] |
//! | What would the model say after this layer? | [`logit_lens`] |
//! | Which heads write this logit? | [`attribute_logits`] |
//! | How much does a head move along an edge? | [`weighted_map`], [`head_writes`], [`value_norms`] |
//! | What do the weights alone say? | [`head_circuits`], [`compositions`] |
//! | Where does a position's information come from? | [`rollout()`], [`rollout_rows`] |
//!
//! All take an [`Input`], one sequence, and give plain structs that serialise. Numbers are computed in f64 from the
//! model's own activations. Nothing records gradients. No result depends on the number of threads.

mod attribution;
mod circuits;
mod effect;
mod eigen;
mod error;
mod input;
mod lens;
mod numbers;
mod outcome;
mod patch;
mod rollout;
mod sweep;
mod values;

pub use attribution::{Against, HeadContribution, LogitAttribution, attribute_logits, mean_contributions};
pub use circuits::{
    Circuit, CircuitOptions, Composition, Compositions, HeadCircuit, Through, compositions, head_circuits,
};
pub use effect::{AnswerEffect, Effect, cut_edge, effect, hide_key};
pub use error::{AnalysisError, Result};
pub use input::{Answer, Input, Targets};
pub use lens::{LensLayer, LensPosition, LensTarget, LensToken, logit_lens};
pub(crate) use outcome::Outcome;
pub use patch::{HeadPatch, Patch, ResidualPatch, patch, patch_heads, patch_residual, patch_specs};
pub use rollout::{Rollout, rollout, rollout_rows};
pub use sweep::{HeadAblation, Method, Progress, Sweep, ablate_all};
pub use values::{HeadWrite, WeightedMap, head_writes, value_norms, weighted_map};

#[cfg(test)]
pub(crate) mod testing;
