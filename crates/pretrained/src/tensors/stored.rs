//! How a file stores numbers.

use std::fmt;

use candle_core::quantized::GgmlDType;

/// The type of a stored tensor's numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stored {
    /// 64-bit floating point.
    F64,
    /// 32-bit floating point.
    F32,
    /// IEEE half precision.
    F16,
    /// The upper half of an `F32`.
    BF16,
    /// Blocks of a GGUF quantisation.
    Quantised(GgmlDType),
    /// Anything else, such as the integers and booleans of a mask: listed, but not read as a weight.
    Other(String),
}

impl Stored {
    /// Numbers in a block, and bytes of a block; nothing for types that are not read.
    pub(crate) fn block(&self) -> Option<(usize, usize)> {
        match self {
            Self::F64 => Some((1, 8)),
            Self::F32 => Some((1, 4)),
            Self::F16 | Self::BF16 => Some((1, 2)),
            Self::Quantised(kind) => Some((kind.block_size(), kind.type_size())),
            Self::Other(_) => None,
        }
    }
}

impl fmt::Display for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::F64 => f.write_str("F64"),
            Self::F32 => f.write_str("F32"),
            Self::F16 => f.write_str("F16"),
            Self::BF16 => f.write_str("BF16"),
            Self::Quantised(kind) => match kind {
                GgmlDType::Q2K => f.write_str("Q2_K"),
                GgmlDType::Q3K => f.write_str("Q3_K"),
                GgmlDType::Q4K => f.write_str("Q4_K"),
                GgmlDType::Q5K => f.write_str("Q5_K"),
                GgmlDType::Q6K => f.write_str("Q6_K"),
                GgmlDType::Q8K => f.write_str("Q8_K"),
                other => write!(f, "{other:?}"),
            },
            Self::Other(name) => f.write_str(name),
        }
    }
}
