//! Looking at a model's heads: one HTML file that opens offline, and pictures of single maps.
//!
//! ```text
//! page        what the page shows, as plain data
//! pack        one map, row by row → bytes; long maps are pooled on the way
//! packed      those bytes: how they are laid out, and back to numbers
//! top         the exact largest keys of each row
//! curve       distance, sink and mass curves of a head
//! label       a token's text as a label
//! write       Page → HTML
//! picture     one map or the survey → scene
//! scene       shapes → SVG or PNG
//! palette, png, font   what a picture is drawn with
//! ```
//! Nothing here computes with a model; whoever has rows of weights can pack them.

mod curve;
mod error;
mod font;
mod label;
mod pack;
mod packed;
mod page;
mod palette;
mod picture;
mod png;
mod scene;
mod top;
mod write;

pub use curve::{CurveInfo, Profile, Thin};
pub use error::InspectError;
pub use label::token_label;
pub use pack::{MOST_CELLS, MapPacker, THUMBNAIL, TOP_POOLED, TOP_WHOLE};
pub use packed::{PackedMap, Quantity, Unpacked};
pub use page::{Map, Model, Page, Reading, Statistic};
pub use picture::{map_png, map_svg, survey_png, survey_svg};
