//! The language aⁿbⁿcⁿ, labelled with what may come next. Example: a b c → a or b, c, the end.

use serde::{Deserialize, Serialize};

use crate::block_language::Blocks;
use crate::registry::{Class, Info, Kind, Setting};
use crate::{Protocol, Task, TaskError};

/// Options of `a_n_b_n_c_n`: none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {}

impl Kind for Config {
    const INFO: Info = Info {
        kind: "a_n_b_n_c_n",
        title: "aⁿbⁿcⁿ",
        class: Class::Counter,
        protocols: &[Protocol::Prefix],
        definition: "aⁿbⁿcⁿ → after every symbol the set of what may come next, of the letters and `<end>`: a and b after \
                     an a, then the one letter (or the end) that the count leaves. The length is that of the whole \
                     string, a multiple of 3. There is one string of each length, so the number of independent test \
                     strings is the number of lengths.",
        expected: "Published within the training lengths and in two bins beyond: no encoding 100/100/100 % of whole \
                   strings, learned with random offsets 100/91.2/87.4.",
        source: "Bhattamishra et al. 2020 (arXiv 2009.11264); Huang et al. 2024 (arXiv 2410.02140)",
        example: "kind = \"a_n_b_n_c_n\"\nprotocol = \"prefix\"\n",
    };

    fn build(&self, setting: &Setting<'_>) -> Result<Box<dyn Task>, TaskError> {
        Ok(setting.pose(Blocks { letters: 3 }))
    }
}
