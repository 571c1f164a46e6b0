//! Fake grids in temporary folders, read and rendered.
// A test that measures or is skipped says so.
#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs, unreachable_pub)]

mod browser;
mod chromium;
mod controls;
mod cost;
mod fixture;
mod losses;
mod page;
mod ranking;
mod reading;
mod summing;
mod synthetic;
mod targets;
mod wording;
