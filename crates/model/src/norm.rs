//! Normalisation over the last dimension.

use attnlab_ops as ops;
use candle_core::Tensor;
use candle_nn::{Init, VarBuilder};

use crate::config::{Architecture, Norm, Over};
use crate::error::Result;

/// One of the kinds of [`Norm`], with its parameters.
pub(crate) enum Normalise {
    Nothing,
    Layer { weight: Tensor, bias: Option<Tensor>, eps: f64 },
    Rms { weight: Tensor, eps: f64 },
}

impl Normalise {
    /// That of the architecture.
    pub(crate) fn new(width: usize, architecture: &Architecture, vb: VarBuilder) -> Result<Self> {
        Self::of_kind(architecture.norm, width, architecture.norm_bias, architecture.norm_eps, vb)
    }

    fn of_kind(norm: Norm, width: usize, bias: bool, eps: f64, vb: VarBuilder) -> Result<Self> {
        if norm == Norm::None {
            return Ok(Self::Nothing);
        }
        let weight = vb.get_with_hints(width, "weight", Init::Const(1.0))?;
        if norm == Norm::Rms {
            return Ok(Self::Rms { weight, eps });
        }
        let bias = if bias { Some(vb.get_with_hints(width, "bias", Init::Const(0.0))?) } else { None };
        Ok(Self::Layer { weight, bias, eps })
    }

    /// The weight, and whether the mean is subtracted.
    pub(crate) fn weight(&self) -> Option<(&Tensor, bool)> {
        match self {
            Self::Nothing => None,
            Self::Layer { weight, .. } => Some((weight, true)),
            Self::Rms { weight, .. } => Some((weight, false)),
        }
    }

    /// (…, width) → the same shape.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Nothing => Ok(x.clone()),
            Self::Layer { weight, bias, eps } => Ok(ops::layer_norm(x, weight, bias.as_ref(), *eps)?),
            Self::Rms { weight, eps } => Ok(ops::rms_norm(x, weight, *eps)?),
        }
    }
}

/// The normalisation of queries or keys.
pub(crate) enum HeadNorm {
    /// Over each head, with one weight for all.
    Head(Normalise),
    /// Over each head, with a weight of its own.
    EachHead(Vec<Normalise>),
    /// Over all heads together.
    AllHeads(Normalise),
}

impl HeadNorm {
    /// For `heads` heads of `width` dimensions.
    pub(crate) fn new(
        (heads, width): (usize, usize),
        architecture: &Architecture,
        vb: VarBuilder,
    ) -> Result<Self> {
        let form = architecture.qk_norm_form;
        let norm = |width, vb| Normalise::of_kind(form.norm, width, form.bias, architecture.norm_eps, vb);
        Ok(match form.over {
            Over::Head => Self::Head(norm(width, vb)?),
            Over::EachHead => {
                Self::EachHead((0..heads).map(|h| norm(width, vb.pp(h))).collect::<Result<_>>()?)
            }
            Over::AllHeads => Self::AllHeads(norm(heads * width, vb)?),
        })
    }

    /// (B, T, heads, K) → the same shape.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Head(norm) => norm.forward(x),
            Self::EachHead(norms) => {
                let head = |(h, norm): (usize, &Normalise)| norm.forward(&x.narrow(2, h, 1)?.contiguous()?);
                Ok(Tensor::cat(&norms.iter().enumerate().map(head).collect::<Result<Vec<_>>>()?, 2)?)
            }
            Self::AllHeads(norm) => {
                let (b, t, heads, width) = x.dims4()?;
                let all = ops::reshape(x, (b, t, heads * width))?;
                Ok(ops::reshape(&norm.forward(&all)?, (b, t, heads, width))?)
            }
        }
    }
}
