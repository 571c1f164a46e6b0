//! The comparison for programs.

use serde::Serialize;

use crate::controls::Controls;
use crate::ranking::Ranking;
use crate::read::Results;
use crate::record::Evaluation;
use crate::summary::Summary;
use crate::targets::Checked;
use crate::verdict::Verdict;

#[derive(Serialize)]
struct Comparison<'a> {
    name: &'a str,
    by: &'a [String],
    headline: &'a Option<String>,
    verdict: &'a Option<String>,
    tasks: Vec<Told<'a>>,
    controls: &'a Controls,
    ranking: &'a Ranking,
    #[serde(skip_serializing_if = "Option::is_none")]
    targets: Option<Checked>,
    evaluations: Vec<&'a Evaluation>,
}

#[derive(Serialize)]
struct Told<'a> {
    task: &'a str,
    verdict: &'a str,
}

/// One object: `headline` (null unless controls misbehave), `verdict` (the paragraph) and `tasks` (the sentences),
/// `controls`, `ranking` with every pair, `targets` if the grid has any, and the finished runs' `evaluations`, of controls
/// too. Scores are shares of one, targets percent.
pub fn comparison_json(results: &Results, summary: &Summary) -> Result<String, serde_json::Error> {
    let verdict = Verdict::of(summary);
    let targets = &results.grid.targets;
    serde_json::to_string_pretty(&Comparison {
        name: &results.grid.name,
        by: &summary.keys,
        headline: &verdict.headline,
        verdict: &verdict.overall,
        tasks: verdict.tasks.iter().map(|t| Told { task: &t.task, verdict: &t.text }).collect(),
        controls: &verdict.controls,
        ranking: &verdict.ranking,
        targets: (!targets.is_empty()).then(|| Checked::of(results)),
        evaluations: results.finished().map(|(_, evaluation)| evaluation).collect(),
    })
}
