//! Published numbers and findings in a file of their own, which an experiment names: `targets = "targets.toml"`, relative
//! to its file. What the file may hold is said at [`attnlab_report::record::Targets`].
//!
//! One file may serve several experiments, so an entry about runs that a grid does not have is no mistake; a file without
//! an entry about any of its runs is.

use std::path::{Path, PathBuf};

use attnlab_report::record::{Claim, Grid, PlannedRun, Target, Targets};
use serde::de::DeserializeOwned;
use toml::de::{DeValue, ValueDeserializer};

use super::message::{explained, problem, unknown};
use super::run::RunConfig;
use super::source::{ConfigError, Problem, Sources};
use super::tree::{Node, Tree, find, in_order, parse_document, show};

const KEYS: [&str; 2] = ["target", "finding"];

/// Reads a targets file by itself, as `attnlab compare DIR --targets FILE` does.
pub fn load_targets(path: &Path) -> Result<Targets, ConfigError> {
    let text = super::experiment::read(path)
        .map_err(|reason| ConfigError::Read { path: path.to_path_buf(), reason })?;
    parse_targets(&path.display().to_string(), &text)
}

/// The same for a text; `name` is what messages call it.
pub(super) fn parse_targets(name: &str, text: &str) -> Result<Targets, ConfigError> {
    let mut sources = Sources::default();
    let base = sources.add_file(name, text);
    let tree = parse_document(text, base).map_err(|(message, span)| {
        ConfigError::Invalid(vec![problem(&sources, Some(span), message, Vec::new())])
    })?;
    targets(&tree, &sources).map_err(ConfigError::Invalid)
}

/// The path that an experiment's `targets` names, and where that stands.
pub(super) fn named(
    tree: &Tree<'_>,
    config: &str,
    sources: &Sources,
) -> Result<Option<(PathBuf, std::ops::Range<usize>)>, Vec<Problem>> {
    match tree.get("targets").map(|node| (node.get_ref(), node.span())) {
        None => Ok(None),
        Some((DeValue::String(name), span)) => {
            let folder = Path::new(config).parent().unwrap_or(Path::new(""));
            Ok(Some((folder.join(name.as_ref()), span)))
        }
        Some((other, span)) => {
            let message = format!("`targets` should be the path of a file in quotes, not {}", show(other));
            Err(vec![problem(sources, Some(span), message, Vec::new())])
        }
    }
}

/// What a targets file holds, or everything wrong with it.
pub(super) fn targets(tree: &Tree<'_>, sources: &Sources) -> Result<Targets, Vec<Problem>> {
    let mut problems: Vec<Problem> = in_order(tree)
        .into_iter()
        .filter(|(key, _)| !KEYS.contains(&key.get_ref().as_ref()))
        .map(|(key, _)| {
            let name = key.get_ref();
            let (message, notes) = unknown(&format!("unknown key `{name}`"), name, &KEYS, "keys");
            problem(sources, Some(key.span()), message, notes)
        })
        .collect();
    let target = entries(tree, "target", sources, &mut problems, &faults_of_target);
    let finding = entries(tree, "finding", sources, &mut problems, &faults_of_claim);
    if problems.is_empty() { Ok(Targets { target, finding }) } else { Err(problems) }
}

/// A key of an entry, and what is wrong with it.
type Fault = (&'static str, String);

fn entries<T: DeserializeOwned>(
    tree: &Tree<'_>,
    list: &str,
    sources: &Sources,
    problems: &mut Vec<Problem>,
    faults: &dyn Fn(&T) -> Vec<Fault>,
) -> Vec<T> {
    let Some(node) = tree.get(list) else {
        return Vec::new();
    };
    let DeValue::Array(items) = node.get_ref() else {
        let message = format!("`{list}` should be a list of tables, one [[{list}]] each");
        problems.push(problem(sources, Some(node.span()), message, Vec::new()));
        return Vec::new();
    };
    let mut entries = Vec::new();
    for (i, item) in items.iter().enumerate() {
        let section = format!("{list}.{i}");
        match T::deserialize(ValueDeserializer::from(item.clone())) {
            Ok(entry) => {
                for (key, message) in faults(&entry) {
                    let span = find(tree, &format!("{section}.{key}")).map_or(item.span(), Node::span);
                    problems.push(problem(sources, Some(span), message, Vec::new()));
                }
                entries.push(entry);
            }
            Err(error) => problems.push(explained(&error, &section, tree, &[], sources)),
        }
    }
    entries
}

fn faults_of_target(target: &Target) -> Vec<Fault> {
    let mut faults = Vec::new();
    let bins = target.percent.len();
    if bins == 0 {
        faults.push(("percent", "`percent` is empty; give one number for each bin".to_string()));
    }
    if let Some(odd) = target.percent.iter().find(|p| !(0.0..=100.0).contains(*p)) {
        faults.push(("percent", format!("`percent` holds {odd}, but should be percentages, 0 to 100")));
    }
    let tolerance = &target.tolerance.0;
    if let Some(odd) = tolerance.iter().find(|points| !(0.0..=100.0).contains(*points)) {
        faults.push(("tolerance", format!("`tolerance` holds {odd}, but should be points, 0 to 100")));
    }
    if tolerance.len() != 1 && tolerance.len() != bins {
        let given = tolerance.len();
        let message =
            format!("`tolerance` has {given} numbers for the {bins} of `percent`; give one, or one for each");
        faults.push(("tolerance", message));
    }
    if let Some(lengths) = target.bins.as_ref().filter(|lengths| lengths.len() != bins) {
        let message = format!("`bins` has {} bins for the {bins} numbers of `percent`", lengths.len());
        faults.push(("bins", message));
    }
    if target.source.trim().is_empty() {
        faults.push(("source", "`source` is empty; name the paper and the table".to_string()));
    }
    faults
}

fn faults_of_claim(claim: &Claim) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut wrong = |key, message: &str| faults.push((key, message.to_string()));
    let pairs = [
        ("better", "worse", &claim.better, &claim.worse),
        ("easier", "harder", &claim.easier, &claim.harder),
    ];
    for (one, other, a, b) in pairs {
        match (a, b) {
            (Some(_), None) => wrong(one, &format!("`{one}` is given without `{other}`")),
            (None, Some(_)) => wrong(other, &format!("`{other}` is given without `{one}`")),
            (Some(a), Some(b)) if a == b => wrong(one, &format!("`{one}` and `{other}` are the same")),
            _ => {}
        }
    }
    let bound = claim.below.is_some() || claim.above.is_some();
    let [by_position, by_task] = pairs.map(|(_, _, a, b)| a.is_some() || b.is_some());
    let forms =
        [by_position, by_task, claim.drop.is_some(), bound].into_iter().filter(|given| *given).count();
    if forms != 1 {
        let found = if forms == 0 { "nothing" } else { "several things" };
        wrong(
            "says",
            &format!(
                "the finding claims {found}; give `better` and `worse`, or `easier` and `harder`, or `drop`, or \
                 `below` and/or `above`"
            ),
        );
    }
    if by_position && claim.position.is_some() {
        wrong("position", "`position` says nothing beside `better` and `worse`; remove it");
    }
    if by_task && claim.task.is_some() {
        wrong("task", "`task` says nothing beside `easier` and `harder`; remove it");
    }
    if claim.by.is_some() && !by_position && !by_task {
        wrong("by", "`by` needs two things to compare: `better` and `worse`, or `easier` and `harder`");
    }
    for (key, points) in
        [("by", claim.by), ("drop", claim.drop), ("below", claim.below), ("above", claim.above)]
    {
        if let Some(odd) = points.filter(|points| !(0.0..=100.0).contains(points)) {
            wrong(key, &format!("`{key}` is {odd}, but should be 0 to 100"));
        }
    }
    if let (Some(below), Some(above)) = (claim.below, claim.above)
        && below < above
    {
        wrong("below", &format!("nothing is at most {below} and at least {above}"));
    }
    if claim.bin == Some(0) {
        wrong("bin", "`bin` counts from 1, which holds the training lengths");
    }
    if claim.bin == Some(1) && claim.drop.is_some() {
        wrong("bin", "`drop` is measured from bin 1; name a later one");
    }
    faults
}

/// Everything in a file that cannot be about this grid: numbers for another count of bins, names that are one of the grid's
/// but for spelling, and a file about none of its runs.
pub(super) fn misfits(
    targets: &Targets,
    tree: &Tree<'_>,
    grid: &Grid,
    runs: &[RunConfig],
    sources: &Sources,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut is_any = false;
    let mut say = |section: &str, key: &str, message: String, notes| {
        let span = find(tree, &format!("{section}.{key}")).or(find(tree, section)).map(Node::span);
        problems.push(problem(sources, span, message, notes));
    };
    let results = || grid.runs.iter().zip(runs).filter(|(planned, _)| planned.control.is_none());
    for (i, target) in targets.target.iter().enumerate() {
        let about = || results().filter(|(planned, _)| target.is_about(&planned.task, &planned.position));
        is_any |= about().next().is_some();
        let given = target.percent.len();
        // With lengths of its own a target picks its runs by them.
        if let Some((_, run)) = about().find(|(_, run)| run.eval.bins.len() != given)
            && target.bins.is_none()
        {
            let bins = run.eval.bins.len();
            let message =
                format!("`percent` has {given} numbers for the {bins} bins of the runs it is about");
            say(&format!("target.{i}"), "percent", message, Vec::new());
        }
    }
    let has = |of: fn(&PlannedRun) -> &String, name: &Option<String>| {
        name.as_ref().is_none_or(|name| name == "*" || results().any(|(planned, _)| of(planned) == name))
    };
    for claim in &targets.finding {
        let tasks =
            [&claim.task, &claim.easier, &claim.harder].into_iter().all(|name| has(|r| &r.task, name));
        let positions =
            [&claim.position, &claim.better, &claim.worse].into_iter().all(|name| has(|r| &r.position, name));
        is_any |= tasks && positions;
    }
    for (section, key, name) in names(targets) {
        let of: fn(&PlannedRun) -> &String = match key {
            "task" | "easier" | "harder" => |run| &run.task,
            _ => |run| &run.position,
        };
        let meant =
            results().map(|(run, _)| of(run)).find(|known| *known != name && plain(known) == plain(name));
        let is_known = results().any(|(run, _)| of(run) == name);
        if let Some(meant) = meant.filter(|_| !is_known) {
            let message = format!("no run's {} is called \"{name}\"; did you mean `{meant}`?", kind(key));
            say(&section, key, message, Vec::new());
        }
    }
    if problems.is_empty() && !is_any && !targets.is_empty() {
        let span = tree.values().next().map(Node::span);
        let mut tasks: Vec<&str> = grid.runs.iter().map(|run| run.task.as_str()).collect();
        let mut positions: Vec<&str> = grid.runs.iter().map(|run| run.position.as_str()).collect();
        for list in [&mut tasks, &mut positions] {
            list.sort_unstable();
            list.dedup();
        }
        let notes =
            vec![format!("tasks: {}", tasks.join(", ")), format!("encodings: {}", positions.join(", "))];
        let message = "nothing in this file is about a run of the grid".to_string();
        problems.push(problem(sources, span, message, notes));
    }
    problems
}

/// Every name of a task or an encoding, with its entry and key.
fn names(targets: &Targets) -> Vec<(String, &'static str, &String)> {
    let of_targets = targets.target.iter().enumerate().flat_map(|(i, target)| {
        [("task", &target.task), ("position", &target.position)]
            .map(|(key, name)| (format!("target.{i}"), key, name))
    });
    let of_findings = targets.finding.iter().enumerate().flat_map(|(i, claim)| {
        [
            ("task", &claim.task),
            ("position", &claim.position),
            ("better", &claim.better),
            ("worse", &claim.worse),
            ("easier", &claim.easier),
            ("harder", &claim.harder),
        ]
        .map(|(key, name)| (format!("finding.{i}"), key, name))
    });
    let all = of_targets.chain(of_findings);
    all.filter_map(|(section, key, name)| Some((section, key, name.as_ref()?))).collect()
}

fn kind(key: &str) -> &'static str {
    match key {
        "task" | "easier" | "harder" => "task",
        _ => "encoding",
    }
}

/// A name without what people leave out or write otherwise.
fn plain(name: &str) -> String {
    let kept = name.chars().filter(|c| c.is_alphanumeric() || "*+".contains(*c));
    kept.flat_map(char::to_lowercase).collect()
}
