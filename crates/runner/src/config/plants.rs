//! The `[plants]` table: what the doctor must find in a run and what it must not, so that it can be held against runs
//! whose condition is known.

use serde::{Deserialize, Serialize};

/// Failure modes by the names that the doctor calls them. What is in neither list is not asked about: a model that is
/// made to have one failure may well have others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Plants {
    /// Those that the run is made to have: `[]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub present: Vec<String>,
    /// Those that it has not, of which each one found is a false alarm: `[]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub absent: Vec<String>,
    /// Length of the sequences that the doctor reads: the longest that was trained on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<usize>,
}

impl Plants {
    /// Whether nothing is said of the run.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
