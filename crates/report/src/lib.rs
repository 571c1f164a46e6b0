//! From the folders that runs leave behind to tables, figures and one self-contained HTML page.
//!
//! ```text
//! record      what a run folder holds, as types
//! read        a grid folder → Results, whatever state its runs are in
//! statistics  bootstrap over seeds, Wilson interval
//! significance  two sets of runs: bootstrap of the difference, permutation test, Holm's correction
//! summary     Results → one cell per task × encoding (or any other axis)
//! controls    Summary → what had to come out as foretold
//! ranking     Summary → which column is better where
//! targets     Results → published numbers and findings: reproduced or not
//! verdict     Summary → sentences; overall: the whole in one paragraph
//! table       one task → terminal; terminal: the whole
//! loss        the same for tasks without a right answer, whose scores are losses
//! csv         Results → one row a run
//! html        Results + Summary → a page that opens offline
//! inspect     the heads of a model → a page and pictures
//! doctor      what is wrong with a model → a page
//! cost        time, memory and operations against length → a table and a page
//! ```
//! Nothing here computes with a model: the crate compiles without Candle, and the same folder gives the same bytes.

pub mod controls;
pub mod cost;
mod counts;
mod csv;
pub mod doctor;
mod estimate;
mod html;
pub mod inspect;
mod json;
mod loss;
mod maps;
mod overall;
mod published;
mod ranking;
mod read;
pub mod record;
pub mod significance;
pub mod statistics;
mod summary;
mod table;
pub mod targets;
mod terminal;
mod verdict;

pub use crate::csv::{CsvError, results_csv};
pub use controls::Controls;
pub use counts::{Counts, Finding};
pub use estimate::{Estimate, Scores};
pub use html::{HtmlError, figure_svg, html};
pub use json::comparison_json;
pub use maps::{Example, MapFile, Maps};
pub use published::PublishedBins;
pub use ranking::{MeanRank, Pair, Ranked, Ranking, TaskRanking, Unranked};
pub use read::{ReadError, Results, Run, RunState};
pub use summary::{BinSummary, Cell, LengthSummary, RunScore, Summary};
pub use table::TableStyle;
pub use targets::Checked;
pub use terminal::{targets_table, terminal_table};
pub use verdict::{Control, TaskVerdict, Verdict, verdict};
