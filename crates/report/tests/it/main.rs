//! Fake grids in temporary folders, read and rendered.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod browser;
mod chromium;
mod fixture;
mod losses;
mod page;
mod reading;
mod summing;
mod synthetic;
mod wording;
