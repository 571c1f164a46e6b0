//! Experiments as TOML files: what is run, over which grid, and messages that point at what is wrong.
//!
//! ```toml
//! name = "quickstart"
//! [task]
//! kind = "aa_star"
//! [position]
//! kind = "rope"
//! [train]
//! lengths = [1, 32]
//! [grid]                                            # every combination, for every seed
//! seeds = 3                                         # 0, 1, 2; or a list
//! position = ["none", { kind = "rope", base = 500 }]
//! "train.learning_rate" = [1e-3, 3e-3]
//! [[grid.cases]]                                    # keys that change together
//! "model.d_model" = 64
//! "model.n_heads" = 2
//! [controls]                                        # runs beside the grid's that must come out as foretold
//! shuffled_labels = true
//! ```
//!
//! **Precedence.** `--set KEY=VALUE` changes the file; then each entry of the grid changes the result. Setting a key
//! that the grid varies replaces that axis: the grid no longer varies it. Setting a key inside a table that the grid
//! replaces as a whole would do nothing and is refused. `--set seed=N` replaces `grid.seeds`, and
//! `--set grid.KEY=[…]` replaces or adds an axis.
//!
//! A table is merged key by key into the section it is for; a table with a `kind` replaces the section. A bare
//! string for `task` or `position` is its kind.
//!
//! | file | idea |
//! |---|---|
//! | `source`, `message`, `hint` | where a setting was written; messages that point there; "did you mean" |
//! | `tree`, `kind`, `overrides` | tables with spans; tables that name their kind; assignments to dotted keys |
//! | `lengths`, `train`, `eval` | the tables' types, with defaults |
//! | `resolve`, `check`, `size` | from tables to a run; rules beyond types; runs that no machine could hold |
//! | `grid`, `experiment` | which keys vary; a file with its grid expanded |
//! | `controls` | runs beside the grid's that must come out as foretold |
//! | `plants` | what the doctor must find in a run |
//! | `targets` | numbers of papers and findings, in a file of their own |
//! | `run` | one resolved run with its name and hash |

mod check;
mod controls;
mod eval;
mod experiment;
mod grid;
mod hint;
mod kind;
mod lengths;
mod message;
mod overrides;
mod plants;
mod resolve;
mod run;
mod size;
mod source;
mod targets;
mod train;
mod tree;

#[cfg(test)]
mod tests;

pub use eval::EvalConfig;
pub use experiment::Experiment;
pub use lengths::{LONGEST, Lengths};
pub use plants::Plants;
pub use run::RunConfig;
pub use source::{ConfigError, Place, Problem};
pub use targets::load_targets;
pub use train::{Curriculum, SetLoss, Share, TrainConfig};
