//! Positional encodings: one file each, one registry.
//!
//! An encoding acts at three moments, and does nothing where it has nothing to do: on the embeddings
//! ([`Position::embed`]), on queries and keys ([`Position::rotate`], [`Position::scale_queries`]), on the attention
//! scores ([`Position::bias`], [`Position::content_bias`]). It may also say where tokens stand ([`Position::places`]).
//! A model calls all and never asks which encoding it has.
//!
//! To add one: a file with a `Config` that implements [`Encoding`], and a line in the registry below.

mod error;
mod memo;
mod over;
mod pairs;
mod places;
mod position;
mod registry;
#[cfg(test)]
mod testing;

pub use error::{ConfigError, PositionError, Result};
pub use places::Places;
pub use position::{Bias, Content, Position, Sequences};
pub use registry::{Encoding, Enters, Info, Part, Shape};

registry::registry! {
    none => None,
    learned => Learned,
    sinusoidal => Sinusoidal,
    scaled => Scaled,
    periodic => Periodic,
    rope => Rope,
    alibi => Alibi,
    hard_alibi => HardAlibi,
    t5 => T5,
    kerple => Kerple,
    fire => Fire,
    shaw => Shaw,
    transformer_xl => TransformerXl,
    disentangled => Disentangled,
    cope => Cope,
    path => Path,
    randomised => Randomised,
    pose => Pose,
    offset => Offset,
    windowed => Windowed,
    log_n => LogN,
    abacus => Abacus,
}
