//! The program as people use it: arguments in, files, text and an exit code out.
// A test that is skipped says so.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod bad_input;
mod bench;
mod cost;
mod damage;
mod doctor;
mod inspect;
mod jobs;
mod kill;
mod lab;
mod learning;
mod parity;
mod pipes;
mod real;
mod refusals;
mod tensors;
mod verbs;
