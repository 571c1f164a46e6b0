//! One test binary: golden values, gradients, and a walk over the registry.

mod golden;
mod gradients;
mod registry;
