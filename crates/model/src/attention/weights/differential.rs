//! The difference of two softmaxes: what both attend to cancels.

use attnlab_ops as ops;
use candle_core::Tensor;
use candle_nn::{Init, VarBuilder};
use serde::{Deserialize, Serialize};

use super::{Form, Kind, Mass, Place, Rows, Softmax, Weights, refuse};
use crate::config::{Architecture, ConfigError};
use crate::error::Result;

/// No options.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {}

impl Kind for Config {
    const FORM: Form = Form {
        name: "differential",
        title: "differential attention",
        formula: "A = softmax(q₁k₁ᵀ/√(K/2)) − λ·softmax(q₂k₂ᵀ/√(K/2)), halves of each head's queries and keys, which an \
                  encoding turns apart; λ = exp(λ_q1·λ_k1) − exp(λ_q2·λ_k2) + λ₀, λ₀ = 0.8 − 0.6·exp(−0.3·l) in block l = 0, \
                  1, …; each head's z is RMS-normalised and multiplied by 1 − λ₀",
        cost: "3K numbers a layer; two passes of the kernel at full width",
        effect: "less weight on what is irrelevant, smaller outliers; the pattern has weights below 0, of which \
                 statistics see the size",
        source: "Ye et al. 2024 (arXiv 2410.05258)",
        example: "attention.weights = \"differential\"\n",
        fused: true,
    };

    fn parts(&self) -> usize {
        2
    }

    fn parameter_count(&self, a: &Architecture) -> usize {
        3 * a.head_width()
    }

    fn validate(&self, a: &Architecture) -> std::result::Result<(), ConfigError> {
        if !a.head_width().is_multiple_of(2) {
            return refuse(format!(
                "heads of {} dimensions have no halves; set an even head_dim",
                a.head_width()
            ));
        }
        Ok(())
    }

    fn build(&self, place: &Place<'_>, vb: VarBuilder) -> Result<Box<dyn Weights>> {
        let vb = vb.pp("weights");
        let width = place.architecture.head_width();
        // The authors' standard deviation.
        let lambda = |name| vb.get_with_hints(width / 2, name, Init::Randn { mean: 0.0, stdev: 0.1 });
        Ok(Box::new(Differential {
            first: (lambda("lambda_q1")?, lambda("lambda_k1")?),
            second: (lambda("lambda_q2")?, lambda("lambda_k2")?),
            norm: vb.get_with_hints(width, "norm", Init::Const(1.0))?,
            start: 0.8 - 0.6 * (-0.3 * place.layer as f64).exp(),
        }))
    }
}

/// ε of the norm of each head, the authors'.
const EPSILON: f64 = 1e-5;

struct Differential {
    first: (Tensor, Tensor),  // (K/2) each
    second: (Tensor, Tensor), // (K/2) each
    norm: Tensor,             // (K)
    /// λ₀.
    start: f64,
}

impl Differential {
    /// λ, a number.
    fn lambda(&self) -> Result<Tensor> {
        let term = |(q, k): &(Tensor, Tensor)| (q * k)?.sum_all()?.exp();
        Ok(((term(&self.first)? - term(&self.second)?)? + self.start)?)
    }
}

impl Weights for Differential {
    fn weigh(&self, scores: &[Tensor], _: &Rows<'_>) -> Result<Tensor> {
        let noise = ops::softmax(&scores[1])?.broadcast_mul(&self.lambda()?)?;
        Ok((ops::softmax(&scores[0])? - noise)?)
    }

    fn softmaxes(&self) -> Result<Option<Vec<Softmax<'_>>>> {
        let plain = Softmax { factor: None, null: None };
        let noise = Softmax { factor: Some(self.lambda()?.neg()?), null: None };
        Ok(Some(vec![plain, noise]))
    }

    fn mass(&self) -> Mass {
        Mass::Signed
    }

    fn finish(&self, z: Tensor) -> Result<Tensor> {
        Ok((ops::rms_norm(&z, &self.norm, EPSILON)? * (1.0 - self.start))?)
    }
}
