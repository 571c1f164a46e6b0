//! A file, its `--set` changes and its grid, expanded into runs.

use std::collections::HashMap;
use std::path::Path;

use attnlab_report::record::{Axis, Grid, PlannedRun, Targets};
use toml::de::DeValue;

use super::controls::controls;
use super::grid::{Plan, Planned};
use super::kind::spelled_out;
use super::message::{problem, unknown};
use super::overrides::{Assignment, KIND_SECTIONS, SECTIONS, flattened, parse_argument};
use super::resolve::Resolver;
use super::run::RunConfig;
use super::source::{ConfigError, Problem, Sources};
use super::targets::{misfits, named, targets};
use super::tree::{Node, Tree, assign, first_impossible, in_order, parse_document, path_of, show};

/// Enough to mend a file by; a grid can break one rule in every run.
const MOST_PROBLEMS: usize = 32;
/// A longer name would leave too little of a path for the files below it.
const LONGEST_NAME: usize = 64;

/// A configuration file with its grid expanded.
#[derive(Clone, Debug, PartialEq)]
pub struct Experiment {
    /// The name, which is also the folder's. Default: the file's, without its ending.
    pub name: String,
    /// One sentence of what is asked; may be empty.
    pub description: String,
    /// Every run, in the order of `grid.runs`: the grid's, then its controls.
    pub runs: Vec<RunConfig>,
    /// The plan as the results folder keeps it.
    pub grid: Grid,
}

impl Experiment {
    /// Reads a file, changed by `sets` (`KEY=VALUE` each; VALUE is TOML, and a bare word is a string).
    pub fn load(path: &Path, sets: &[String]) -> Result<Self, ConfigError> {
        let text = read(path).map_err(|reason| ConfigError::Read { path: path.to_path_buf(), reason })?;
        Self::from_text(&path.display().to_string(), &text, sets)
    }

    /// The same for a text; `source` is what messages call it.
    pub fn from_text(source: &str, text: &str, sets: &[String]) -> Result<Self, ConfigError> {
        let mut sources = Sources::default();
        let base = sources.add_file(source, text);
        let parsed = parse_document(text, base);
        let mut assignments = Vec::new();
        let mut problems = Vec::new();
        let arguments: Vec<_> = sets.iter().map(|argument| parse_argument(argument, &mut sources)).collect();
        for argument in arguments {
            match argument {
                Ok(assignment) => assignments.push(assignment),
                Err((message, span)) => problems.push(problem(&sources, Some(span), message, Vec::new())),
            }
        }
        let tree = match parsed {
            Ok(tree) => tree,
            Err((message, span)) => {
                problems.insert(0, problem(&sources, Some(span), message, Vec::new()));
                return Err(ConfigError::Invalid(problems));
            }
        };
        if !problems.is_empty() {
            return Err(ConfigError::Invalid(problems));
        }
        let file = named(&tree, source, &sources).map_err(ConfigError::Invalid)?;
        let Some((path, span)) = file else {
            return expanded(tree, assignments, None, &sources).map_err(ConfigError::Invalid);
        };
        let beside = read(&path).map_err(|reason| {
            let message = format!("cannot read the targets {}: {reason}", path.display());
            ConfigError::Invalid(vec![problem(&sources, Some(span), message, Vec::new())])
        })?;
        let base = sources.add_file(&path.display().to_string(), &beside);
        let beside = parse_document(&beside, base).map_err(|(message, span)| {
            ConfigError::Invalid(vec![problem(&sources, Some(span), message, Vec::new())])
        })?;
        expanded(tree, assignments, Some(beside), &sources).map_err(ConfigError::Invalid)
    }
}

/// A file's text; the error of one that is not UTF-8 says in which line.
pub(super) fn read(path: &Path) -> std::io::Result<String> {
    String::from_utf8(std::fs::read(path)?).map_err(|e| {
        let line = 1 + e.as_bytes()[..e.utf8_error().valid_up_to()].iter().filter(|&&b| b == b'\n').count();
        std::io::Error::new(std::io::ErrorKind::InvalidData, format!("line {line} is not UTF-8 text"))
    })
}

/// A configuration of exactly one run.
pub(crate) fn load_single(source: &str, text: &str) -> Result<RunConfig, ConfigError> {
    let experiment = Experiment::from_text(source, text, &[])?;
    let count = experiment.runs.len();
    match <[RunConfig; 1]>::try_from(experiment.runs) {
        Ok([run]) => Ok(run),
        Err(_) => {
            let message = format!("this configuration stands for {count} runs, but a single one is wanted");
            let notes = vec!["remove `[grid]`, or name one run's own config.toml".to_string()];
            Err(ConfigError::Invalid(vec![Problem {
                place: None,
                source: source.to_string(),
                message,
                notes,
            }]))
        }
    }
}

fn expanded<'t>(
    mut tree: Tree<'t>,
    sets: Vec<Assignment<'t>>,
    beside: Option<Tree<'_>>,
    sources: &Sources,
) -> Result<Experiment, Vec<Problem>> {
    let fail = |(message, span)| vec![problem(sources, Some(span), message, Vec::new())];
    refuse_unknown(&tree, sources)?;
    for section in KIND_SECTIONS {
        if let Some((key, value)) = tree.remove_entry(section) {
            tree.insert(key, spelled_out(value));
        }
    }
    let held = beside.as_ref().map_or_else(|| Ok(Targets::default()), |tree| targets(tree, sources))?;
    // Any change may leave out runs that targets are about.
    let is_whole = sets.is_empty();
    let decided = applied(&mut tree, sets, sources)?;
    if let Some((span, what)) = tree.values().find_map(first_impossible) {
        let key = path_of(&tree, &span).unwrap_or_default();
        return Err(fail((format!("`{key}` {what}"), span)));
    }

    let grid = table_of(&tree, "grid", sources)?;
    let mut plan = Plan::read(&grid, tree.get("seed")).map_err(fail)?;
    for assignment in &decided {
        plan.yield_to(assignment).map_err(|message| fail((message, assignment.key_span.clone())))?;
    }
    let planned = plan.product().map_err(fail)?;

    let name = name_of(&tree, sources)?;
    let description = string_of(&tree, "description", sources)?.unwrap_or_default();
    let mut resolver = Resolver::new(sources);
    let mut base = tree.clone();
    // Keys of the grid would be found there and not where they were carried to.
    base.remove("grid");
    let mut runs = resolved(&base, &planned, &name, &mut resolver, sources)?;

    let axes = plan.axes.iter().map(|axis| Axis {
        key: axis.key.clone(),
        values: axis.entries.iter().map(|entry| entry.shown.clone()).collect(),
    });
    let mut grid = Grid {
        name: name.clone(),
        description: description.clone(),
        axes: axes.collect(),
        runs: listed(&runs, &planned, &mut resolver),
        targets: held,
    };
    refuse_equal_runs(&grid, sources)?;
    if let Some(beside) = beside.filter(|_| is_whole) {
        let problems = misfits(&grid.targets, &beside, &grid, &runs, sources);
        if !problems.is_empty() {
            return Err(problems);
        }
    }
    for (run, planned) in controls(&base, &planned, (&grid, &runs), &mut resolver, sources)? {
        runs.push(run);
        grid.runs.push(planned);
    }
    Ok(Experiment { name, description, runs, grid })
}

/// Refuses keys at the top that mean nothing.
fn refuse_unknown(tree: &Tree<'_>, sources: &Sources) -> Result<(), Vec<Problem>> {
    let allowed: Vec<&str> =
        ["name", "description", "seed"].into_iter().chain(SECTIONS).chain(["grid", "targets"]).collect();
    // Written into the config.toml of a control, and of no use to people: not among what is offered.
    if let Some(node) = tree.get("control")
        && let Some(other) = ["grid", "controls"].into_iter().find(|key| tree.contains_key(*key))
    {
        let message =
            format!("`control` marks the configuration of a single run, but there is a `{other}` beside it");
        let notes = vec!["runs that are controls are asked for in the table [controls]".to_string()];
        return Err(vec![problem(sources, Some(node.span()), message, notes)]);
    }
    let problems: Vec<Problem> = in_order(tree)
        .into_iter()
        .filter(|(key, _)| !allowed.contains(&key.get_ref().as_ref()) && key.get_ref() != "control")
        .map(|(key, _)| {
            let (message, notes) =
                unknown(&format!("unknown key `{}`", key.get_ref()), key.get_ref(), &allowed, "keys");
            problem(sources, Some(key.span()), message, notes)
        })
        .collect();
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// Carries `sets` out on the file's tree; returns those that decide keys of a run, which the grid must yield to.
fn applied<'t>(
    tree: &mut Tree<'t>,
    sets: Vec<Assignment<'t>>,
    sources: &Sources,
) -> Result<Vec<Assignment<'t>>, Vec<Problem>> {
    let mut decided = Vec::new();
    let blocked = |key: &str, above: &str, span| {
        vec![problem(
            sources,
            Some(span),
            format!("`{key}` cannot be set: `{above}` is not a table"),
            Vec::new(),
        )]
    };
    for set in sets {
        let key = set.key();
        match set.path.first().map(String::as_str) {
            Some("grid") if set.path.len() > 1 => {
                // An axis is one key of the grid's table, dots and all.
                let path = vec!["grid".to_string(), set.path.get(1..).unwrap_or_default().join(".")];
                assign(tree, &path, set.key_span.clone(), set.value)
                    .map_err(|above| blocked(&key, &above, set.key_span))?;
            }
            Some(section) if SECTIONS.contains(&section) => {
                for assignment in flattened(set.path, set.key_span, set.value) {
                    let span = assignment.key_span.clone();
                    assignment.apply(tree).map_err(|above| blocked(&assignment.key(), &above, span))?;
                    decided.push(assignment);
                }
            }
            first => {
                if first == Some("seed")
                    && let Some(DeValue::Table(grid)) = tree.get_mut("grid").map(toml::Spanned::get_mut)
                {
                    grid.remove("seeds");
                }
                set.apply(tree).map_err(|above| blocked(&key, &above, set.key_span.clone()))?;
            }
        }
    }
    Ok(decided)
}

fn table_of<'t>(tree: &Tree<'t>, key: &str, sources: &Sources) -> Result<Tree<'t>, Vec<Problem>> {
    match tree.get(key).map(|node| (node.get_ref(), node.span())) {
        None => Ok(Tree::new()),
        Some((DeValue::Table(table), _)) => Ok(table.clone()),
        Some((other, span)) => {
            let message = format!("`{key}` should be a table, not {}", show(other));
            Err(vec![problem(sources, Some(span), message, Vec::new())])
        }
    }
}

fn string_of(tree: &Tree<'_>, key: &str, sources: &Sources) -> Result<Option<String>, Vec<Problem>> {
    match tree.get(key).map(|node| (node.get_ref(), node.span())) {
        None => Ok(None),
        Some((DeValue::String(text), _)) => Ok(Some(text.to_string())),
        Some((other, span)) => {
            let message = format!("`{key}` should be a text in quotes, not {}", show(other));
            Err(vec![problem(sources, Some(span), message, Vec::new())])
        }
    }
}

/// The experiment's name, which becomes a folder: letters, digits and `._-`, beginning with a letter or digit.
fn name_of(tree: &Tree<'_>, sources: &Sources) -> Result<String, Vec<Problem>> {
    let is_fit = |name: &str| {
        name.len() <= LONGEST_NAME
            && name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
            && !name.ends_with('.')
    };
    if let Some(name) = string_of(tree, "name", sources)? {
        if is_fit(&name) {
            return Ok(name);
        }
        let span = tree.get("name").map(Node::span);
        let message = format!("`name` is \"{name}\", but it names a folder");
        let notes = vec![format!(
            "use letters, digits, `.`, `_` and `-`, at most {LONGEST_NAME}, a letter or digit first"
        )];
        return Err(vec![problem(sources, span, message, notes)]);
    }
    let file = sources.main_name();
    let stem = Path::new(&file).file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(if is_fit(&stem) { stem } else { "experiment".to_string() })
}

/// Every planned run, or everything wrong with them, each thing once.
fn resolved<'t>(
    tree: &Tree<'t>,
    planned: &[Planned<'t>],
    name: &str,
    resolver: &mut Resolver<'_>,
    sources: &Sources,
) -> Result<Vec<RunConfig>, Vec<Problem>> {
    let mut runs = Vec::new();
    let mut problems: Vec<Problem> = Vec::new();
    for plan in planned {
        let mut own = tree.clone();
        let outcome = plan.assignments.iter().try_for_each(|a| {
            a.apply(&mut own).map_err(|above| {
                let message = format!("`{}` cannot be varied: `{above}` is not a table", a.key());
                vec![problem(sources, Some(a.key_span.clone()), message, Vec::new())]
            })
        });
        match outcome.and_then(|()| resolver.run(&own, name, plan.seed)) {
            Ok(run) => runs.push(run),
            Err(found) => {
                for mut problem in found {
                    if problems.iter().any(|p| p.place == problem.place && p.message == problem.message) {
                        continue;
                    }
                    if !plan.settings.is_empty() {
                        let settings: Vec<String> =
                            plan.settings.iter().map(|(k, v)| format!("{k} = {v}")).collect();
                        problem.notes.push(format!("first in the run with {}", settings.join(", ")));
                    }
                    problems.push(problem);
                }
            }
        }
        if problems.len() >= MOST_PROBLEMS {
            break;
        }
    }
    if problems.is_empty() { Ok(runs) } else { Err(problems) }
}

/// The runs as the results folder lists them.
fn listed(runs: &[RunConfig], planned: &[Planned<'_>], resolver: &mut Resolver<'_>) -> Vec<PlannedRun> {
    let tasks = runs.iter().map(|run| {
        let (_, task) = resolver.tasks().of(&run.task);
        let label = task.as_ref().as_ref().map_or_else(|_| run.task.kind().to_string(), |task| task.label());
        let mut options = run.task_table().map(|table| table.options()).unwrap_or_default();
        // It follows from a text's path, which tells two texts apart more readably.
        options.retain(|(key, _)| key != "digest");
        (label, options)
    });
    let tasks = told_apart(&tasks.collect::<Vec<_>>());
    let positions = runs.iter().map(|run| {
        (run.position.label(), run.position_table().map(|table| table.options()).unwrap_or_default())
    });
    let positions = told_apart(&positions.collect::<Vec<_>>());
    let named = runs.iter().zip(planned).zip(tasks.into_iter().zip(positions));
    named
        .map(|((run, plan), (task, position))| PlannedRun {
            id: run.id(),
            settings: plan.settings.clone(),
            task,
            position,
            seed: run.seed,
            control: run.control,
            class: class_of(run),
            protocol: Some(run.task.protocol().to_string()),
        })
        .collect()
}

/// What makes a run's task hard, in the word that the registry lists it by.
fn class_of(run: &RunConfig) -> Option<String> {
    serde_json::to_value(run.task.problem.info().class).ok()?.as_str().map(str::to_owned)
}

/// Labels, each with its options. Equal labels of unequal options get those options that differ: whoever groups
/// runs by label must not pool two variants.
pub(super) fn told_apart(labelled: &[(String, Vec<(String, String)>)]) -> Vec<String> {
    let mut groups: HashMap<&str, Vec<&Vec<(String, String)>>> = HashMap::new();
    for (label, options) in labelled {
        groups.entry(label).or_default().push(options);
    }
    let named = labelled.iter().map(|(label, options)| {
        let group = groups.get(label.as_str()).map(Vec::as_slice).unwrap_or_default();
        let differing = options.iter().filter(|option| group.iter().any(|other| !other.contains(option)));
        let differing: Vec<String> = differing.map(|(key, value)| format!("{key}={value}")).collect();
        if differing.is_empty() { label.clone() } else { format!("{label} [{}]", differing.join(", ")) }
    });
    named.collect()
}

/// Two entries that come to one configuration would write into one folder.
fn refuse_equal_runs(grid: &Grid, sources: &Sources) -> Result<(), Vec<Problem>> {
    let mut seen: HashMap<&str, &PlannedRun> = HashMap::new();
    for run in &grid.runs {
        if let Some(first) = seen.insert(&run.id, run) {
            let settings = |run: &PlannedRun| -> String {
                let words: Vec<String> = run.settings.iter().map(|(k, v)| format!("{k} = {v}")).collect();
                words.join(", ")
            };
            let message =
                format!("the grid has the same run twice: {{{}}} and {{{}}}", settings(first), settings(run));
            let notes = vec!["remove one of the two entries".to_string()];
            return Err(vec![problem(sources, None, message, notes)]);
        }
    }
    Ok(())
}
