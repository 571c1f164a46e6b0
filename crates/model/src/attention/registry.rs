//! What a form of attention says of itself, and the list of all.

use super::{extra_key, gate, null_option, registers, ssmax, weights};
use crate::projection;

/// What a reader wants to know of a form of attention.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// Its name.
    pub name: &'static str,
    /// A title of a few words.
    pub title: &'static str,
    /// The equation.
    pub formula: &'static str,
    /// What it costs beside softmax attention.
    pub cost: &'static str,
    /// What it is expected to do.
    pub effect: &'static str,
    /// The paper.
    pub source: &'static str,
    /// The lines of a `[model]` table that ask for it, in TOML.
    pub example: &'static str,
    /// Whether the fused kernel computes it, so that no T×T map is held.
    pub fused: bool,
}

/// Every form there is: the ways to weigh, then what stands around them.
pub fn registry() -> impl Iterator<Item = &'static Form> {
    const AROUND: &[Form] = &[
        null_option::ZERO,
        null_option::LEARNED,
        extra_key::KEY,
        extra_key::KEY_VALUE,
        registers::FORM,
        gate::HEAD,
        gate::ELEMENT,
        ssmax::FORM,
        projection::SIGMA_REPARAM,
        QK_NORM,
    ];
    weights::FORMS.iter().chain(AROUND)
}

const QK_NORM: Form = Form {
    name: "qk_norm",
    title: "normalised queries and keys",
    formula: "s = scale·norm(q)·norm(k)",
    cost: "two norms a layer",
    effect: "bounds the range of scores, and with it the length at which a key can still have half the weight",
    source: "Henry et al. 2020 (arXiv 2010.04245)",
    example: "qk_norm = true\n",
    fused: true,
};
