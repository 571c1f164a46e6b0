//! The language aⁿbⁿ, labelled with what may come next. Example: a a b b → a or b, a or b, b, the end.

use serde::{Deserialize, Serialize};

use crate::block_language::Blocks;
use crate::registry::{Class, Info, Kind, Setting};
use crate::{Protocol, Task, TaskError};

/// Options of `a_n_b_n`: none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {}

impl Kind for Config {
    const INFO: Info = Info {
        kind: "a_n_b_n",
        title: "aⁿbⁿ",
        class: Class::Counter,
        protocols: &[Protocol::Prefix],
        definition: "aⁿbⁿ → after every symbol the set of what may come next, of the letters and `<end>`: a and b after \
                     an a, then the one letter (or the end) that the count leaves. The length is that of the whole \
                     string, a multiple of 2. There is one string of each length, so the number of independent test \
                     strings is the number of lengths.",
        expected: "Expected to pass without an encoding, as one head compares two counts, and to decay beyond the \
                   training lengths with absolute positions.",
        source: "Bhattamishra et al. 2020 (arXiv 2009.11264)",
        example: "kind = \"a_n_b_n\"\nprotocol = \"prefix\"\n",
    };

    fn build(&self, setting: &Setting<'_>) -> Result<Box<dyn Task>, TaskError> {
        Ok(setting.pose(Blocks { letters: 2 }))
    }
}
