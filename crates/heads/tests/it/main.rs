//! Streamed statistics against goldens and against plain computations in f64 from whole maps.
#![allow(clippy::unwrap_used)]

mod golden;
mod reference;
mod survey;
