//! From the folders that runs leave behind to tables, figures and one self-contained HTML page.
//!
//! ```text
//! record      what a run folder holds, as types
//! read        a grid folder → Results, whatever state its runs are in
//! statistics  bootstrap over seeds, Wilson interval
//! summary     Results → one cell per task × encoding (or any other axis)
//! verdict     Summary → sentences
//! table       Summary → terminal
//! loss        the same for tasks without a right answer, whose scores are losses
//! csv         Results → one row a run
//! html        Results + Summary → a page that opens offline
//! inspect     the heads of a model → a page and pictures
//! ```
//! Nothing here computes with a model: the crate compiles without Candle, and the same folder gives the same bytes.

mod counts;
mod csv;
mod html;
pub mod inspect;
mod loss;
mod maps;
mod read;
pub mod record;
pub mod statistics;
mod summary;
mod table;
mod verdict;

pub use crate::csv::{CsvError, results_csv};
pub use counts::{Counts, Finding};
pub use html::{HtmlError, figure_svg, html};
pub use maps::{Example, MapFile, Maps};
pub use read::{ReadError, Results, Run, RunState};
pub use summary::{BinSummary, Cell, Estimate, LengthSummary, PublishedBins, Scores, Summary};
pub use table::{TableStyle, terminal_table};
pub use verdict::{Control, TaskVerdict, Verdict, verdict};
