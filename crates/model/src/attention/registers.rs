//! Learned tokens in front of every sequence.
//!
//! A register is a token like any other, but nobody writes it: registers stand at the positions 0, …, n − 1 and the text's
//! tokens from n on. Hooks see them: from the first block on every point has n rows more, and every map n rows and columns
//! more, the first ones. What leaves the model has none of them: hidden states and logits are the text's.
//!
//! Whoever watches rows ([`attnlab_ops::WatchRows`]) sees the text alone: rows of its tokens, weights of its tokens, and
//! what goes to registers as the weight of the option to attend to nothing. So statistics mean the same with registers and
//! without: a sink that has moved to a register is mass that has left the text.

use attnlab_positions::Places;
use candle_core::Tensor;
use candle_nn::VarBuilder;

use super::registry::Form;
use crate::config::ModelConfig;
use crate::error::Result;
use crate::projection::embedding_init;

pub(super) const FORM: Form = Form {
    name: "registers",
    title: "learned tokens in front of every sequence",
    formula: "x = [r_1, …, r_n, x_1, …, x_T], r learned; the text's positions begin at n",
    cost: "n tokens",
    effect: "the sink moves to a register; its large activations stay",
    source: "Xiao et al. 2024 (arXiv 2309.17453), sink tokens; Darcet et al. 2024 (arXiv 2309.16588)",
    example: "registers = 4\n",
    fused: true,
};

/// The registers of a model.
pub(crate) struct Registers(Tensor); // (n, D)

impl Registers {
    pub(crate) fn new(config: &ModelConfig, vb: VarBuilder) -> Result<Option<Self>> {
        let a = &config.architecture;
        if a.registers == 0 {
            return Ok(None);
        }
        let shape = (a.registers, config.position_shape().d_model);
        Ok(Some(Self(vb.pp("registers").get_with_hints(shape, "weight", embedding_init(a.init))?)))
    }

    /// Embeddings (B, T, D) with the registers in front, (B, n + T, D).
    pub(crate) fn prepend(&self, x: &Tensor) -> Result<Tensor> {
        let (b, _, width) = x.dims3()?;
        let n = self.0.dim(0)?;
        Ok(Tensor::cat(&[&self.0.unsqueeze(0)?.broadcast_as((b, n, width))?, x], 1)?)
    }
}

/// Where the tokens of a pass stand behind `n` registers, whose own places come first unless a cache holds them.
pub(crate) fn behind(n: usize, places: &Places, held: bool) -> Result<Places> {
    let front: Vec<u32> = if held { Vec::new() } else { (0..n as u32).collect() };
    let row = |row: usize| {
        let text = places.row(row).iter().map(|&place| place.saturating_add(n as u32));
        front.iter().copied().chain(text).collect()
    };
    Ok(Places::rows((0..places.n_rows()).map(row).collect())?)
}
