//! What attention costs against the length of the input: tables, figures and a page.
//!
//! ```text
//! record   what was measured, as types; the JSON is theirs
//! table    terminal
//! figure   time, memory and operations against length, on logarithmic axes
//! page     one HTML file that opens offline
//! saved    a trained model that sees less: its loss, and what that saves
//! ```

mod figure;
mod page;
mod record;
mod saved;
mod table;

pub use page::cost_html;
pub use record::{
    Cache, CostReport, Crossover, Estimated, Exponents, Fit, Form, Level, Panel, Pass, Point, Series,
    Setting, Skipped, Spread,
};
pub use saved::{EQUAL, HeadShare, Saved, Trial, saved_table};
pub use table::cost_table;
