//! Runs that are controls: shuffled labels, frozen features, a model known to solve the task.

use super::{Behaviour, Case, Check, ControlRun, Kind, check as combined};
use crate::record::{ControlKind, Evaluation, Outcome};
use crate::statistics::wilson_share;
use crate::summary::{Summary, fits};

/// Standard deviations of a 99.9 % interval: a grid has many shuffled runs, and a false alarm discredits all of it.
const Z: f64 = 3.29;
/// What chance, which is estimated from samples itself, may be off by.
const SLACK: f64 = 0.01;

/// All control runs of a kind; `None` where none is planned.
pub(super) fn check(summary: &Summary, kind: ControlKind) -> Option<Check> {
    let runs = summary.controls.iter().filter(|run| run.kind == kind);
    let cases: Vec<Case> = runs.map(|run| case(summary, run)).collect();
    match kind {
        ControlKind::ShuffledLabels => combined(
            Kind::ShuffledLabels,
            cases,
            [
                &|who| format!("Trained on the labels of other strings, models stay at chance: {who}."),
                &|who| format!("Shuffled labels say nothing yet of {who}."),
                &|who| {
                    format!(
                        "Trained on the labels of other strings, models still score above chance: {who}. Something \
                         other than the rule leads from input to label."
                    )
                },
            ],
        ),
        ControlKind::Frozen => combined(
            Kind::Frozen,
            cases,
            [
                &|who| format!("A trained head on random features does as it should: {who}."),
                &|who| format!("Frozen features say nothing yet of {who}."),
                &|who| {
                    format!(
                        "A trained head on random features solves {who}: the task needs no learned attention, so \
                         solving it shows none."
                    )
                },
            ],
        ),
        ControlKind::Positive => combined(
            Kind::Positive,
            cases,
            [
                &|who| format!("The positive control holds: {who}."),
                &|who| format!("The positive control says nothing yet of {who}."),
                &|who| {
                    format!(
                        "The positive control fails: {who}. It is known to solve the task, so look at the setup \
                         before blaming an encoding."
                    )
                },
            ],
        ),
    }
}

fn case(summary: &Summary, run: &ControlRun) -> Case {
    let (behaviour, found) = match &run.evaluation {
        None => (Behaviour::Open, "not finished".to_owned()),
        Some(evaluation) => match run.kind {
            ControlKind::ShuffledLabels => shuffled(evaluation),
            ControlKind::Frozen => frozen(evaluation, summary.is_order_free(&run.planned.task)),
            ControlKind::Positive => positive(evaluation),
        },
    };
    Case { task: run.planned.task.clone(), column: run.planned.position.clone(), behaviour, found }
}

/// Must stay at chance on the training lengths.
fn shuffled(evaluation: &Evaluation) -> (Behaviour, String) {
    let Some(first) = evaluation.bins.first() else {
        return (Behaviour::Open, "nothing scored".to_owned());
    };
    let (score, chance) = (first.accuracy.of(evaluation.metric), first.chance.of(evaluation.metric));
    let lengths = evaluation.curve.iter().filter(|point| point.length <= first.to).count();
    if first.distinct <= lengths {
        let found = "one string a length, so the labels of another are its own";
        return (Behaviour::Open, found.to_owned());
    }
    let found = format!("{:.1} % against a chance of {:.1} %", score * 100.0, chance * 100.0);
    let interval = wilson_share(score, first.distinct.min(first.sequences), Z);
    let above = interval.is_some_and(|i| i.low > chance + SLACK);
    (if above { Behaviour::Misbehaves } else { Behaviour::Holds }, found)
}

/// Must not learn the training lengths, unless the task is order-free: averaging is what random attention does.
fn frozen(evaluation: &Evaluation, order_free: bool) -> (Behaviour, String) {
    match &evaluation.outcome {
        Outcome::Trivial => (Behaviour::Open, "a constant answer passes the bar".to_owned()),
        Outcome::Measured => (Behaviour::Open, "nothing to solve".to_owned()),
        outcome if fits(evaluation) && order_free => {
            (Behaviour::Holds, format!("{outcome}; order-free, so averaging is enough"))
        }
        outcome if fits(evaluation) => (Behaviour::Misbehaves, outcome.to_string()),
        outcome => (Behaviour::Holds, outcome.to_string()),
    }
}

/// Must hold wherever it was tested.
fn positive(evaluation: &Evaluation) -> (Behaviour, String) {
    let behaviour = match &evaluation.outcome {
        Outcome::Generalises => Behaviour::Holds,
        Outcome::Fits | Outcome::Trivial | Outcome::Measured => Behaviour::Open,
        Outcome::FailsToTrain | Outcome::FailsToGeneralise { .. } | Outcome::Diverged { .. } => {
            Behaviour::Misbehaves
        }
    };
    (behaviour, evaluation.outcome.to_string())
}
