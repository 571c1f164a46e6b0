//! What a run tells while it goes on. This crate prints nothing; whoever runs it may.

use attnlab_report::record::{Accuracy, Outcome};

/// Something that happened to a run.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// It began, at a step above 0 if it was resumed.
    Started {
        /// Steps done before.
        step: u64,
        /// Steps it will do at most.
        steps: u64,
    },
    /// A step was logged.
    Stepped {
        /// Steps done.
        step: u64,
        /// Mean loss per label, in nats.
        loss: f64,
        /// In-distribution accuracy, when it was measured.
        accuracy: Option<Accuracy>,
    },
    /// It is being evaluated.
    Evaluating,
    /// It came to its end.
    Ended {
        /// What it came to.
        outcome: &'a Outcome,
        /// It had been done before.
        already: bool,
    },
    /// It could not be done.
    Failed {
        /// Why.
        error: &'a str,
    },
}

/// Told of every event, from any thread.
pub trait Progress: Sync {
    /// `run` is the run's id.
    fn tell(&self, run: &str, event: &Event<'_>);
}

/// Tells nobody.
pub struct Silent;

impl Progress for Silent {
    fn tell(&self, _: &str, _: &Event<'_>) {}
}
