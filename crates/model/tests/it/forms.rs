//! Every form of attention, as an architecture of four heads of four dimensions, two of them to a key/value head.

use attnlab_model::{Architecture, registry};

use crate::small;

/// What takes another path than the examples of the registry do.
const VARIANTS: [&str; 12] = [
    "attention.weights = { kind = \"elastic\", tau = -0.7 }",
    "attention.weights = { kind = \"lazy\", tau = -0.6, reach = 3 }",
    "attention.weights = { kind = \"clipped\", low = -0.2, high = 1.1 }",
    "attention.weights = { kind = \"top_k\", k = 2 }",
    "attention.score_scale = { kind = \"ssmax\", length = 3 }",
    "attention.extra_key = \"key_value\"\nnull_option = \"learned\"\nattention_softcap = 2.0",
    "attention.extra_key = \"key_value\"\nattention.weights = \"relu\"",
    "attention.extra_key = \"key\"\nattention.weights = \"differential\"\nattention_dropout = 0.2",
    "attention.extra_key = \"key_value\"\nattention.weights = { kind = \"lazy\", reach = 2, tau = -0.5 }",
    "attention.weights = \"differential\"\nattention.score_scale = \"ssmax\"\nqk_norm = true",
    "attention.gate = { kind = \"element\", bias = 2.0 }\nattention.extra_key = \"key_value\"\nregisters = 2",
    "attention.sigma_reparam = true\nattention.weights = \"sigmoid\"\nregisters = 1\nmlp = \"swiglu\"",
];

/// Text of a `[model]` table and what it makes of [`small`].
pub(crate) fn forms() -> Vec<(&'static str, Architecture)> {
    let texts = registry().map(|form| form.example).chain(VARIANTS);
    texts.map(|text| (text, architecture(text))).collect()
}

pub(crate) fn architecture(text: &str) -> Architecture {
    let base = Architecture { head_dim: Some(4), n_kv_heads: Some(2), ..small() };
    let mut table = toml::Table::try_from(base).unwrap();
    table.extend(text.parse::<toml::Table>().unwrap());
    table.try_into().unwrap()
}
