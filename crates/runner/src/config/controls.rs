//! `[controls]`: runs beside the grid's that are no results but must come out as foretold, or the grid shows nothing.
//!
//! ```toml
//! [controls]                      # one set for each task of the grid
//! shuffled_labels = true          # trained on the labels of other strings: must stay at chance
//! frozen = true                   # only the head is trained, on random features
//! positive = { position = { kind = "sinusoidal" }, "model.n_layers" = 4 }   # must solve the task; keys as in a case
//! seeds = [0]                     # default: the grid's first
//! position = "rope"               # of the first two; default: the grid's first
//! ```
//!
//! A control is the grid's first run of its task, its *sibling*, but for what the control says; early stopping and the
//! strings scored are the sibling's. It is scored on true labels, whatever it was trained on. What solves one task need not
//! solve another: the table may also stand in a case, `[[grid.cases]] controls = { positive = { … } }`, and is merged into
//! the file's; a table is taken back by `positive = false`.
//!
//! **Frozen.** Only `head.*` has gradients and is trained; dropout, if any, stays. A head that shares its weights with the
//! embeddings cannot be trained alone, so a frozen run has one of its own: `model.tie_embeddings = false`.

use std::borrow::Cow;
use std::ops::Range;

use attnlab_report::record::{ControlKind, Grid, PlannedRun};
use toml::Spanned;
use toml::de::DeValue;

use super::experiment::told_apart;
use super::grid::{Planned, read_seeds};
use super::message::{problem, unknown};
use super::overrides::{Assignment, flattened, split_key};
use super::resolve::Resolver;
use super::run::RunConfig;
use super::source::{Problem, Sources};
use super::tree::{Node, Tree, in_order, show};

/// The keys of the table.
const KEYS: [&str; 5] = ["shuffled_labels", "frozen", "positive", "seeds", "position"];

/// The name of a control in configurations.
pub(crate) fn name_of(control: ControlKind) -> &'static str {
    match control {
        ControlKind::ShuffledLabels => "shuffled_labels",
        ControlKind::Frozen => "frozen",
        ControlKind::Positive => "positive",
    }
}

/// A mistake: what, where, and what would be right.
type Mistake = (String, Range<usize>, Vec<String>);

/// One control of a task.
struct Control<'t> {
    kind: ControlKind,
    span: Range<usize>,
    /// What it changes of its sibling.
    changes: Vec<Assignment<'t>>,
}

/// The controls of every task, in the order of the grid.
pub(crate) fn controls<'t>(
    tree: &Tree<'t>,
    planned: &[Planned<'t>],
    (grid, siblings): (&Grid, &[RunConfig]),
    resolver: &mut Resolver<'_>,
    sources: &Sources,
) -> Result<Vec<(RunConfig, PlannedRun)>, Vec<Problem>> {
    let mut found = Vec::new();
    let mut problems: Vec<Problem> = Vec::new();
    for (i, (plan, listed)) in planned.iter().zip(&grid.runs).enumerate() {
        if grid.runs[..i].iter().any(|earlier| earlier.task == listed.task) {
            continue;
        }
        match of_sibling(tree, plan, listed, &grid.name, resolver, sources) {
            Ok(controls) => found.extend(controls),
            Err(new) => {
                let is_new =
                    |p: &Problem| !problems.iter().any(|q| q.place == p.place && q.message == p.message);
                let new: Vec<Problem> = new.into_iter().filter(is_new).collect();
                problems.extend(new);
            }
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    name_positions(&mut found, grid, siblings);
    Ok(found)
}

/// The controls of one task, whose first run is `plan`.
fn of_sibling<'t>(
    tree: &Tree<'t>,
    plan: &Planned<'t>,
    listed: &PlannedRun,
    name: &str,
    resolver: &mut Resolver<'_>,
    sources: &Sources,
) -> Result<Vec<(RunConfig, PlannedRun)>, Vec<Problem>> {
    let say = |(message, span, notes): Mistake| vec![problem(sources, Some(span), message, notes)];
    let mut sibling = tree.clone();
    for assignment in &plan.assignments {
        // The sibling has been resolved, so every assignment fits.
        let _ = assignment.apply(&mut sibling);
    }
    let (controls, seeds) = match sibling.get("controls").map(|node| (node.get_ref(), node.span())) {
        None => return Ok(Vec::new()),
        Some((DeValue::Table(table), _)) => read(table, plan.seed).map_err(say)?,
        Some((other, span)) => {
            return Err(say((
                format!("`controls` should be a table, not {}", show(other)),
                span,
                Vec::new(),
            )));
        }
    };
    let mut found = Vec::new();
    for control in &controls {
        let mut own = sibling.clone();
        for change in &control.changes {
            change.apply(&mut own).map_err(|above| {
                let message = format!("`{}` cannot be set: `{above}` is not a table", change.key());
                say((message, change.key_span.clone(), Vec::new()))
            })?;
        }
        let kind = Spanned::new(control.span.clone(), DeValue::String(Cow::Borrowed(name_of(control.kind))));
        own.insert(Spanned::new(control.span.clone(), Cow::Borrowed("control")), kind);
        for &seed in &seeds {
            let run = resolver.run(&own, name, seed).map_err(|mut problems| {
                let whose = format!("in the control `{}` of the task {}", name_of(control.kind), listed.task);
                problems.iter_mut().for_each(|problem| problem.notes.push(whose.clone()));
                problems
            })?;
            let mut settings = listed.settings.clone();
            for change in &control.changes {
                settings.retain(|axis, _| *axis == change.key() || !is_related(axis, &change.path));
                if let Some(shown) = settings.get_mut(&change.key()) {
                    *shown = show(change.value.get_ref());
                }
            }
            let planned = PlannedRun {
                id: run.id(),
                settings,
                position: run.position.label(),
                seed,
                control: Some(control.kind),
                ..listed.clone()
            };
            found.push((run, planned));
        }
    }
    Ok(found)
}

/// Whether an axis varies something within `path`, or something that `path` is within.
fn is_related(axis: &str, path: &[String]) -> bool {
    axis.split('.').zip(path).all(|(a, b)| a == b)
}

/// Names the encodings of controls as the grid's runs are named where they are the same; others are told apart from
/// the grid's, whose names do not change.
fn name_positions(found: &mut [(RunConfig, PlannedRun)], grid: &Grid, siblings: &[RunConfig]) {
    let all = siblings.iter().chain(found.iter().map(|(run, _)| run));
    let labelled: Vec<_> = all
        .map(|run| {
            (run.position.label(), run.position_table().map(|table| table.options()).unwrap_or_default())
        })
        .collect();
    let names = told_apart(&labelled).into_iter().skip(siblings.len());
    for ((run, planned), name) in found.iter_mut().zip(names) {
        let same = siblings.iter().position(|sibling| sibling.position == run.position);
        let same = same.and_then(|i| grid.runs.get(i)).map(|listed| listed.position.clone());
        planned.position = same.unwrap_or(name);
    }
}

/// The controls that a table asks for, and their seeds.
fn read<'t>(table: &Tree<'t>, seed: u64) -> Result<(Vec<Control<'t>>, Vec<u64>), Mistake> {
    for (key, _) in in_order(table) {
        if !KEYS.contains(&key.get_ref().as_ref()) {
            let (message, notes) =
                unknown(&format!("unknown key `controls.{}`", key.get_ref()), key.get_ref(), &KEYS, "keys");
            return Err((message, key.span(), notes));
        }
    }
    let seeds = match table.get("seeds") {
        Some(seeds) => {
            read_seeds("controls.seeds", seeds).map_err(|(message, span)| (message, span, vec![]))?
        }
        None => vec![seed],
    };
    let position = match table.get("position") {
        Some(node) => flattened(vec!["position".to_string()], node.span(), node.clone()),
        None => Vec::new(),
    };
    let mut controls = Vec::new();
    for kind in [ControlKind::ShuffledLabels, ControlKind::Frozen] {
        if let Some(span) = asked_for(table, name_of(kind))? {
            let mut changes = position.clone();
            if kind == ControlKind::Frozen {
                let path = ["model", "tie_embeddings"].map(String::from).to_vec();
                let value = Spanned::new(span.clone(), DeValue::Boolean(false));
                changes.push(Assignment { path, key_span: span.clone(), value });
            }
            controls.push(Control { kind, span, changes });
        }
    }
    if let Some(node) = table.get("positive") {
        controls.extend(positive(node)?);
    }
    Ok((controls, seeds))
}

/// Where a control is asked for, if it is.
fn asked_for(table: &Tree<'_>, key: &str) -> Result<Option<Range<usize>>, Mistake> {
    match table.get(key).map(|node| (node.get_ref(), node.span())) {
        None | Some((DeValue::Boolean(false), _)) => Ok(None),
        Some((DeValue::Boolean(true), span)) => Ok(Some(span)),
        Some((other, span)) => {
            Err((format!("`controls.{key}` should be true or false, not {}", show(other)), span, Vec::new()))
        }
    }
}

fn positive<'t>(node: &Node<'t>) -> Result<Option<Control<'t>>, Mistake> {
    let table = match node.get_ref() {
        DeValue::Boolean(false) => return Ok(None),
        DeValue::Table(table) => table,
        other => {
            let message = format!(
                "`controls.positive` should be a table of what makes a run solve the task, or false, not {}",
                show(other)
            );
            return Err((message, node.span(), Vec::new()));
        }
    };
    let mut changes = Vec::new();
    for (key, value) in in_order(table) {
        let path = split_key(key.get_ref(), &[]).map_err(|message| (message, key.span(), Vec::new()))?;
        if path.first().is_some_and(|first| first == "task" || first == "controls") {
            let message = format!(
                "`controls.positive` cannot change `{}`: it must solve the task of the others",
                key.get_ref()
            );
            return Err((message, key.span(), Vec::new()));
        }
        changes.extend(flattened(path, key.span(), value.clone()));
    }
    if changes.is_empty() {
        let message = "`controls.positive` changes nothing: say what makes a run solve the task".to_string();
        return Err((message, node.span(), Vec::new()));
    }
    // A whole table first, then keys inside it.
    changes.sort_by_key(|change| change.path.len());
    Ok(Some(Control { kind: ControlKind::Positive, span: node.span(), changes }))
}
