//! Activations by the names that configurations give them.

use attnlab_model::Mlp;

use crate::config::Config;
use crate::error::Result;

/// An activation that both a plain and a gated MLP can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activation {
    Gelu,
    GeluErf,
    Silu,
    Relu,
    QuickGelu,
    ReluSquared,
    Tanh,
}

impl Activation {
    /// That of `key`, or of `default` where it is absent.
    pub(crate) fn read(config: &Config, key: &str, default: &str) -> Result<Self> {
        let name = config.maybe_text(key)?.unwrap_or_else(|| default.to_owned());
        Self::named(&name).ok_or_else(|| {
            config.unsupported(key, "gelu, gelu_new, gelu_pytorch_tanh, silu, relu, quick_gelu, relu2, tanh")
        })
    }

    /// The one of this name, if there is one.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "gelu" | "gelu_python" => Self::GeluErf,
            "gelu_new" | "gelu_pytorch_tanh" | "gelu_python_tanh" | "gelu_accurate" | "gelu_fast" => {
                Self::Gelu
            }
            "silu" | "swish" => Self::Silu,
            "relu" => Self::Relu,
            "quick_gelu" => Self::QuickGelu,
            "relu2" => Self::ReluSquared,
            "tanh" => Self::Tanh,
            _ => return None,
        })
    }

    /// The MLP down(f(up(x))).
    pub(crate) fn plain(self) -> Mlp {
        match self {
            Self::Gelu => Mlp::Gelu,
            Self::GeluErf => Mlp::GeluErf,
            Self::Silu => Mlp::Silu,
            Self::Relu => Mlp::Relu,
            Self::QuickGelu => Mlp::QuickGelu,
            Self::ReluSquared => Mlp::ReluSquared,
            Self::Tanh => Mlp::Tanh,
        }
    }

    /// The MLP down(f(gate(x)) · up(x)); an error that names `key` where there is none.
    pub(crate) fn gated(self, config: &Config, key: &str) -> Result<Mlp> {
        match self {
            Self::Gelu => Ok(Mlp::Geglu),
            Self::GeluErf => Ok(Mlp::GegluErf),
            Self::Silu => Ok(Mlp::Swiglu),
            Self::Relu => Ok(Mlp::Reglu),
            Self::QuickGelu | Self::ReluSquared | Self::Tanh => {
                Err(config.unsupported(key, "in a gated MLP: gelu, gelu_new, gelu_pytorch_tanh, silu, relu"))
            }
        }
    }
}
