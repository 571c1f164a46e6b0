//! How many runs ended how, and what that says together.

use crate::read::RunState;
use crate::record::Outcome;

/// How many runs ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All.
    pub planned: usize,
    /// Not begun.
    pub waiting: usize,
    /// Begun and not ended.
    pub running: usize,
    /// Damaged.
    pub unreadable: usize,
    /// Learned the training lengths and hold beyond.
    pub generalise: usize,
    /// Learned the training lengths and were not tested beyond.
    pub fits: usize,
    /// Learned the training lengths and break beyond.
    pub fail_to_generalise: usize,
    /// Never learned the training lengths.
    pub fail_to_train: usize,
    /// Passed or not, a trivial predictor passes as well.
    pub trivial: usize,
    /// Loss or gradient not finite.
    pub diverged: usize,
    /// Without a verdict, as on text.
    pub measured: usize,
}

impl Counts {
    /// Runs that have ended.
    pub fn done(&self) -> usize {
        self.judged() + self.measured + self.trivial
    }

    /// Runs that ended with a verdict: neither on a text nor where a trivial predictor passes.
    pub fn judged(&self) -> usize {
        self.fit() + self.fail_to_train + self.diverged
    }

    /// Runs that learned the training lengths.
    pub fn fit(&self) -> usize {
        self.tested() + self.fits
    }

    /// Runs that learned the training lengths and were tested beyond.
    pub fn tested(&self) -> usize {
        self.generalise + self.fail_to_generalise
    }

    pub(crate) fn add(&mut self, state: &RunState) {
        self.planned += 1;
        let which = match state {
            RunState::Waiting => &mut self.waiting,
            RunState::Running { .. } => &mut self.running,
            RunState::Unreadable { .. } => &mut self.unreadable,
            RunState::Done(evaluation) => match evaluation.outcome {
                Outcome::Generalises => &mut self.generalise,
                Outcome::Fits => &mut self.fits,
                Outcome::FailsToGeneralise { .. } => &mut self.fail_to_generalise,
                Outcome::FailsToTrain => &mut self.fail_to_train,
                Outcome::Trivial => &mut self.trivial,
                Outcome::Diverged { .. } => &mut self.diverged,
                Outcome::Measured => &mut self.measured,
            },
        };
        *which += 1;
    }
}

/// What the runs of a cell say together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Finding {
    /// No run has ended.
    Unfinished,
    /// There is no right answer to judge by.
    Measured,
    /// A trivial predictor passes the bar: passing it shows nothing.
    Trivial,
    /// Every judged run diverged.
    Diverged,
    /// No run learned the training lengths: says nothing about generalisation.
    FailsToTrain,
    /// Every run that was tested beyond the training lengths breaks there, from this length on in the median.
    FailsToGeneralise(f64),
    /// Some runs that were tested beyond the training lengths break there, others hold.
    Mixed(f64),
    /// Runs learned the training lengths, and none was tested beyond.
    Fits,
    /// Every run that was tested beyond the training lengths holds there.
    Generalises,
}

impl Finding {
    /// What these runs say; `breaks_at` is the median length at which those that break do.
    pub(crate) fn of(counts: &Counts, breaks_at: Option<f64>) -> Finding {
        match (counts.judged(), counts.fit(), breaks_at) {
            // Runs on a text that diverged beside others that did not: what there is to say is the others' loss.
            (judged, _, _) if counts.measured > 0 && judged == counts.diverged => Finding::Measured,
            (judged, _, _) if counts.trivial > 0 && judged == counts.diverged => Finding::Trivial,
            (0, _, _) => Finding::Unfinished,
            (_, 0, _) if counts.fail_to_train == 0 => Finding::Diverged,
            (_, 0, _) => Finding::FailsToTrain,
            (_, _, None) if counts.tested() == 0 => Finding::Fits,
            (_, _, None) => Finding::Generalises,
            (_, _, Some(at)) if counts.generalise == 0 => Finding::FailsToGeneralise(at),
            (_, _, Some(at)) => Finding::Mixed(at),
        }
    }
}
