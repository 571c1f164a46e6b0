//! Every operation against its composed reference and against finite differences, and the
//! optimizer against the published formula.
#![allow(clippy::unwrap_used, unreachable_pub)]

mod attention;
mod check;
mod losses;
mod optimizer;
mod parameters;
mod pointwise;
mod rows;
mod tape;
mod threads;
mod watched;
