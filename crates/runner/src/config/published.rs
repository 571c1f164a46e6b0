//! Published numbers to hold results against: they must be about runs of the grid, or nobody would miss them.

use attnlab_report::record::{Grid, PlannedRun, Published};
use toml::de::DeValue;

use super::message::{problem, unknown};
use super::resolve::Resolver;
use super::run::RunConfig;
use super::source::{Problem, Sources};
use super::tree::{Node, Tree, find};

/// The published numbers, which must be about runs of this grid.
pub(crate) fn published(
    tree: &Tree<'_>,
    grid: &Grid,
    runs: &[RunConfig],
    is_whole: bool,
    resolver: &Resolver<'_>,
    sources: &Sources,
) -> Result<Vec<Published>, Vec<Problem>> {
    let Some(node) = tree.get("published") else {
        return Ok(Vec::new());
    };
    let DeValue::Array(items) = node.get_ref() else {
        let message = "`published` should be a list of tables, one [[published]] each".to_string();
        return Err(vec![problem(sources, Some(node.span()), message, Vec::new())]);
    };
    let mut listed = Vec::new();
    let mut problems = Vec::new();
    for (i, item) in items.iter().enumerate() {
        let entry = match resolver.read::<Published>(tree, &format!("published.{i}"), item.clone(), &[]) {
            Ok(entry) => entry,
            Err(found) => {
                problems.push(found);
                continue;
            }
        };
        let key = |name: &str| find(tree, &format!("published.{i}.{name}")).map_or(item.span(), Node::span);
        if let Some(odd) = entry.percent.iter().find(|p| !(0.0..=100.0).contains(*p)) {
            let message = format!("`percent` holds {odd}, but should be percentages, 0 to 100");
            problems.push(problem(sources, Some(key("percent")), message, Vec::new()));
        }
        // A grid cut down by --set need not hold what the numbers are about.
        if is_whole && let Some((name, found, labels)) = unmatched(&entry, grid) {
            let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
            let (message, notes) =
                unknown(&format!("no run's {name} is called \"{found}\""), found, &labels, "names");
            problems.push(problem(sources, Some(key(name)), message, notes));
        }
        let about =
            grid.runs.iter().zip(runs).find(|(planned, run)| {
                is_about(&entry, planned) && run.eval.bins.len() != entry.percent.len()
            });
        if let Some((_, run)) = about {
            let (given, bins) = (entry.percent.len(), run.eval.bins.len());
            let message =
                format!("`percent` has {given} numbers for the {bins} bins of the runs it is about");
            problems.push(problem(sources, Some(key("percent")), message, Vec::new()));
        }
        listed.push(entry);
    }
    if problems.is_empty() { Ok(listed) } else { Err(problems) }
}

fn is_about(entry: &Published, run: &PlannedRun) -> bool {
    entry.task.as_ref().is_none_or(|task| *task == run.task)
        && entry.position.as_ref().is_none_or(|position| *position == run.position)
}

/// The key of `entry` that fits no run, what it says, and what the runs are called.
fn unmatched<'a>(entry: &'a Published, grid: &Grid) -> Option<(&'static str, &'a str, Vec<String>)> {
    if grid.runs.iter().any(|run| is_about(entry, run)) {
        return None;
    }
    let names = |of: fn(&PlannedRun) -> &String| {
        let mut names: Vec<String> = grid.runs.iter().map(|run| of(run).clone()).collect();
        names.sort();
        names.dedup();
        names
    };
    let tasks = names(|run| &run.task);
    match (&entry.task, &entry.position) {
        (Some(task), _) if !tasks.contains(task) => Some(("task", task, tasks)),
        (_, Some(position)) => Some(("position", position, names(|run| &run.position))),
        (Some(task), None) => Some(("task", task, tasks)),
        (None, None) => None,
    }
}
