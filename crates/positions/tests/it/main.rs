//! One test binary: golden values, and a walk over the registry.

mod golden;
mod registry;
