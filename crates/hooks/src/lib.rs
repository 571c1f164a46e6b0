//! Typed hook points: where a transformer's activations can be read and changed.
//!
//! A model names each of its activations by a [`Point`] and calls [`observe`] there. An [`Observer`] says, before
//! anything is computed, what it wants of a point: nothing, a look at a [`Scope`] of it, or the right to edit it.
//! [`NoHooks`] wants nothing and compiles to nothing.
//!
//! Names are TransformerLens's (`blocks.3.attn.hook_pattern`). Hooks fail loudly: a [`HookSpec`] is resolved against
//! the model's [`Anatomy`] before the run, so an unknown point, layer or head is an error, and [`Plan::finish`]
//! is an error after the run for a point that was asked for and never fired.
//!
//! ```
//! use attnlab_hooks::{Anatomy, HookSpec, Plan};
//!
//! let anatomy = Anatomy { n_layers: 2, n_heads: 4, n_kv_heads: 4, absent: vec![], absent_points: vec![] };
//! let plan = Plan::resolve(&[HookSpec::capture("blocks.*.attn.hook_pattern").heads([0, 3])], &anatomy)?;
//! assert_eq!(plan.capture().points().count(), 2);
//! assert!(plan.finish().is_err(), "no model has run");
//! assert!(Plan::resolve(&[HookSpec::capture("blocks.*.attn.hook_patern")], &anatomy).is_err());
//! # Ok::<(), attnlab_hooks::HookError>(())
//! ```

mod capture;
mod edits;
mod error;
mod observer;
mod pattern;
mod plan;
mod scope;
mod site;

pub use capture::Capture;
pub use edits::{Change, Edits};
pub use error::{HookError, Result};
pub use observer::{Both, NoHooks, Observer, Want, observe, wants_maps};
pub use pattern::PointPattern;
pub use plan::{Action, Anatomy, HookSpec, Plan};
pub use scope::{Scope, Select};
pub use site::{Axes, Heads, Point, Site};
