//! One row a run, for a spreadsheet or a data frame.

use crate::read::{Results, RunState};
use crate::record::{ControlKind, Metric, Outcome};

/// Why no table could be written.
#[derive(Debug, thiserror::Error)]
pub enum CsvError {
    /// The writer refused a row.
    #[error("writing the table of runs: {0}")]
    Row(#[from] csv::Error),
    /// The writer could not finish.
    #[error("finishing the table of runs: {0}")]
    Finish(String),
}

/// A row for each planned run: `id, task, position`, `control` if some run is one, every other axis, `seed, outcome, breaks_at, steps, parameters,
/// metric`, and for each bin its lengths, sequences, loss, accuracies and chance. Runs without scores have the state as outcome
/// (`waiting`, `running`, `unreadable`) and empty scores. Accuracies are shares, not percent.
pub fn results_csv(results: &Results) -> Result<String, CsvError> {
    let axes: Vec<&str> = results
        .grid
        .axes
        .iter()
        .map(|axis| axis.key.as_str())
        .filter(|key| !matches!(*key, "task" | "position" | "seed"))
        .collect();
    let bins = results.finished().map(|(_, e)| e.bins.len()).max().unwrap_or(0);
    let mut header: Vec<String> = ["id", "task", "position"].map(str::to_owned).into();
    let controls = results.runs.iter().any(|run| run.planned.control.is_some());
    header.extend(controls.then(|| "control".to_owned()));
    header.extend(axes.iter().map(|key| (*key).to_owned()));
    header.extend(["seed", "outcome", "breaks_at", "steps", "parameters", "metric"].map(str::to_owned));
    for bin in 0..bins {
        for column in BIN_COLUMNS {
            header.push(format!("bin{bin}_{column}"));
        }
    }
    let width = header.len();
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(&header)?;
    for run in &results.runs {
        let planned = &run.planned;
        let mut row = vec![planned.id.clone(), planned.task.clone(), planned.position.clone()];
        row.extend(controls.then(|| planned.control.map_or("", control_word).to_owned()));
        row.extend(axes.iter().map(|key| planned.setting(key).unwrap_or_default()));
        row.push(planned.seed.to_string());
        row.extend(ending(&run.state));
        if let RunState::Done(evaluation) = &run.state {
            for bin in &evaluation.bins {
                row.extend([
                    format!("{}-{}", bin.from, bin.to),
                    bin.sequences.to_string(),
                    bin.distinct.to_string(),
                    finite(bin.loss),
                    finite(bin.accuracy.token),
                    finite(bin.accuracy.exact),
                    finite(bin.chance.token),
                    finite(bin.chance.exact),
                ]);
            }
        }
        row.resize(width, String::new());
        writer.write_record(&row)?;
    }
    let bytes = writer.into_inner().map_err(|e| CsvError::Finish(e.to_string()))?;
    String::from_utf8(bytes).map_err(|e| CsvError::Finish(e.to_string()))
}

const BIN_COLUMNS: [&str; 8] =
    ["lengths", "sequences", "distinct", "loss", "token", "exact", "chance_token", "chance_exact"];

/// outcome, breaks_at, steps, parameters, metric.
fn ending(state: &RunState) -> [String; 5] {
    let none = String::new;
    match state {
        RunState::Waiting => ["waiting".into(), none(), none(), none(), none()],
        RunState::Running { step } => ["running".into(), none(), step.to_string(), none(), none()],
        RunState::Unreadable { .. } => ["unreadable".into(), none(), none(), none(), none()],
        RunState::Done(evaluation) => {
            let breaks = match evaluation.outcome {
                Outcome::FailsToGeneralise { breaks_at } => breaks_at.to_string(),
                _ => none(),
            };
            let metric = match evaluation.metric {
                Metric::Exact => "exact",
                Metric::Token => "token",
            };
            [
                outcome_word(&evaluation.outcome).into(),
                breaks,
                evaluation.steps.to_string(),
                evaluation.parameters.to_string(),
                metric.into(),
            ]
        }
    }
}

/// As `eval.json` names it.
fn outcome_word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Generalises => "generalises",
        Outcome::Fits => "fits",
        Outcome::FailsToGeneralise { .. } => "fails_to_generalise",
        Outcome::FailsToTrain => "fails_to_train",
        Outcome::Trivial => "trivial",
        Outcome::Diverged { .. } => "diverged",
        Outcome::Measured => "measured",
    }
}

/// As `grid.json` names it.
fn control_word(control: ControlKind) -> &'static str {
    match control {
        ControlKind::ShuffledLabels => "shuffled_labels",
        ControlKind::Frozen => "frozen",
        ControlKind::Positive => "positive",
    }
}

fn finite(value: f64) -> String {
    if value.is_finite() { value.to_string() } else { String::new() }
}
