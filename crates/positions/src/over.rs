//! Encodings that change another one, which stands in their table as `over`.

use crate::PositionConfig;
use crate::error::ConfigError;
use crate::registry::{Encoding, Shape};

/// Refuses what `outer` cannot change: an encoding that is none for this model, and one of its own kind.
pub(crate) fn validate<E: Encoding>(outer: &E, shape: &Shape) -> Result<(), ConfigError> {
    let Some(over) = outer.over() else { return Ok(()) };
    let kind = E::INFO.kind;
    let mut below = Some(over);
    while let Some(inner) = below {
        if inner.kind() == kind {
            let problem = format!("{kind} over {kind} would be the same change twice; keep one of them");
            return Err(ConfigError::new("over", problem));
        }
        below = inner.over();
    }
    over.validate(&outer.shape_over(shape)).map_err(|error| error.below("over"))
}

/// Refuses an encoding that says itself where tokens stand.
pub(crate) fn refuse_places<E: Encoding>(outer: &E) -> Result<(), ConfigError> {
    match outer.over() {
        Some(over) if over.places_tokens() => {
            let (kind, label) = (E::INFO.kind, over.label());
            let problem = format!(
                "{label} and {kind} both say where training's tokens stand; leave one of them out, or use {label} alone"
            );
            Err(ConfigError::new("over", problem))
        }
        _ => Ok(()),
    }
}

/// `kind (notes) label of the other encoding`.
pub(crate) fn label<E: Encoding>(outer: &E, notes: &[String]) -> String {
    let mut words = vec![E::INFO.kind.to_owned()];
    if !notes.is_empty() {
        words.push(format!("({})", notes.join(", ")));
    }
    words.extend(outer.over().map(PositionConfig::label));
    words.join(" ")
}
