//! The program as people use it: arguments in, files, text and an exit code out.
#![allow(clippy::unwrap_used)]

mod bad_input;
mod bench;
mod damage;
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
