//! A grid: which keys vary, over which values, in which order.
//!
//! Axes multiply in the order of the file, the first slowest, seeds fastest. `[[grid.cases]]` is one axis whose
//! entries set several keys at once.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::de::DeValue;

use super::overrides::{Assignment, CONTROLS, flattened, split_key};
use super::tree::{Key, Node, Tree, in_order, show};

/// A mistake in a grid: what, and where.
pub(crate) type GridError = (String, Range<usize>);

/// More runs than this are a slip, and would take longer to plan than to notice.
const MOST_RUNS: usize = 10_000;

/// The keys that vary and the seeds.
#[derive(Debug, Default)]
pub(crate) struct Plan<'t> {
    pub(crate) axes: Vec<Axis<'t>>,
    pub(crate) seeds: Vec<u64>,
}

/// A key that varies.
#[derive(Debug)]
pub(crate) struct Axis<'t> {
    /// The dotted key, or `cases`.
    pub(crate) key: String,
    pub(crate) span: Range<usize>,
    pub(crate) entries: Vec<Entry<'t>>,
}

/// One value of an axis.
#[derive(Clone, Debug)]
pub(crate) struct Entry<'t> {
    /// As people read it.
    pub(crate) shown: String,
    pub(crate) assignments: Vec<Assignment<'t>>,
}

/// One combination, for one seed.
#[derive(Debug)]
pub(crate) struct Planned<'t> {
    /// Axis key → value as people read it.
    pub(crate) settings: BTreeMap<String, String>,
    /// In the order in which they are to be applied.
    pub(crate) assignments: Vec<Assignment<'t>>,
    pub(crate) seed: u64,
}

impl<'t> Plan<'t> {
    /// Reads a `[grid]` table; `seed` is the file's own, which a grid's `seeds` excludes.
    pub(crate) fn read(grid: &Tree<'t>, seed: Option<&Node<'t>>) -> Result<Self, GridError> {
        let mut plan = Plan::default();
        plan.read_axes(grid, &[])?;
        plan.seeds = match (grid.get("seeds"), seed) {
            (Some(seeds), None) => read_seeds("grid.seeds", seeds)?,
            (Some(seeds), Some(_)) => {
                return Err(("`seed` and `grid.seeds` are both given; remove one".to_string(), seeds.span()));
            }
            (None, Some(seed)) => vec![one_seed("seed", seed)?],
            (None, None) => vec![0],
        };
        plan.refuse_overlaps()?;
        Ok(plan)
    }

    fn read_axes(&mut self, table: &Tree<'t>, above: &[String]) -> Result<(), GridError> {
        for (key, value) in in_order(table) {
            let dotted: Vec<&str> =
                above.iter().map(String::as_str).chain([key.get_ref().as_ref()]).collect();
            let dotted = dotted.join(".");
            match (dotted.as_str(), value.get_ref()) {
                ("seeds", _) => {}
                ("seed", _) => {
                    return Err(("write `seeds = [0, 1, 2]` to vary the seed".to_string(), key.span()));
                }
                ("cases", _) => self.axes.push(read_cases(key, value)?),
                (_, DeValue::Array(values)) => self.axes.push(read_axis(&dotted, key, values)?),
                (_, DeValue::Table(below)) => {
                    let path = split_key(&dotted, &[]).map_err(|message| (message, key.span()))?;
                    self.read_axes(below, &path)?;
                }
                (_, single) => {
                    split_key(&dotted, &["seeds", "cases"]).map_err(|message| (message, key.span()))?;
                    let message = format!(
                        "`grid.{dotted}` should be a list of values, not {}; a single value belongs outside the grid",
                        show(single)
                    );
                    return Err((message, value.span()));
                }
            }
        }
        Ok(())
    }

    /// Two axes that set the same key would depend on their order.
    fn refuse_overlaps(&self) -> Result<(), GridError> {
        for (i, later) in self.axes.iter().enumerate() {
            for earlier in self.axes.iter().take(i) {
                let keys = |axis: &Axis<'t>| -> Vec<String> {
                    axis.entries.iter().flat_map(|e| e.assignments.iter().map(Assignment::key)).collect()
                };
                let set = keys(earlier);
                if let Some(twice) = keys(later).into_iter().find(|key| set.contains(key)) {
                    let message =
                        format!("`{twice}` is varied twice, by `{}` and by `{}`", earlier.key, later.key);
                    return Err((message, later.span.clone()));
                }
            }
        }
        Ok(())
    }

    /// Takes what `set` decides out of the grid; an error if the grid would undo it.
    pub(crate) fn yield_to(&mut self, set: &Assignment<'t>) -> Result<(), String> {
        for axis in &mut self.axes {
            for entry in &mut axis.entries {
                let before = entry.assignments.len();
                entry.assignments.retain(|a| !a.is_within(&set.path));
                if entry.assignments.len() < before {
                    entry.shown = shown_together(&entry.assignments);
                }
                if let Some(above) = entry.assignments.iter().find(|a| set.path.starts_with(&a.path)) {
                    return Err(format!(
                        "`{}` would have no effect: the grid's axis `{}` replaces the whole `{}`; set that instead",
                        set.key(),
                        axis.key,
                        above.key()
                    ));
                }
            }
            let mut seen = Vec::new();
            axis.entries.retain(|entry| {
                let is_new = !seen.contains(&entry.shown);
                seen.push(entry.shown.clone());
                is_new
            });
        }
        self.axes.retain(|axis| axis.entries.iter().any(|entry| varies(&entry.assignments)));
        Ok(())
    }

    /// Every combination, the first axis slowest and the seeds fastest.
    pub(crate) fn product(&self) -> Result<Vec<Planned<'t>>, GridError> {
        let sizes = self.axes.iter().map(|axis| axis.entries.len()).chain([self.seeds.len()]);
        let total = sizes.fold(1_usize, usize::saturating_mul);
        if total > MOST_RUNS {
            let span = self.axes.first().map_or(0..0, |axis| axis.span.clone());
            return Err((
                format!("the grid has {total} runs; at most {MOST_RUNS} can be planned at once"),
                span,
            ));
        }
        let mut combinations: Vec<Vec<&Entry<'t>>> = vec![Vec::new()];
        for axis in &self.axes {
            combinations = combinations
                .iter()
                .flat_map(|chosen| axis.entries.iter().map(|e| chosen.iter().copied().chain([e]).collect()))
                .collect();
        }
        let planned =
            combinations.iter().flat_map(|chosen| self.seeds.iter().map(|&seed| self.planned(chosen, seed)));
        Ok(planned.collect())
    }

    fn planned(&self, chosen: &[&Entry<'t>], seed: u64) -> Planned<'t> {
        let settings =
            self.axes.iter().zip(chosen).map(|(axis, e)| (axis.key.clone(), e.shown.clone())).collect();
        let mut assignments: Vec<Assignment<'t>> =
            chosen.iter().flat_map(|e| e.assignments.iter().cloned()).collect();
        // A whole table first, then keys inside it, whichever axis came first in the file.
        assignments.sort_by_key(|a| a.path.len());
        Planned { settings, assignments, seed }
    }
}

fn read_axis<'t>(dotted: &str, key: &Key<'t>, values: &[Node<'t>]) -> Result<Axis<'t>, GridError> {
    let path = split_key(dotted, &["seeds", "cases"]).map_err(|message| (message, key.span()))?;
    if path.first().is_some_and(|first| first == CONTROLS) {
        let message =
            format!("`{dotted}` cannot be varied; a case of [[grid.cases]] may have controls of its own");
        return Err((message, key.span()));
    }
    let mut axis = Axis { key: path.join("."), span: key.span(), entries: Vec::new() };
    for value in values {
        let assignments = flattened(path.clone(), key.span(), value.clone());
        if assignments.is_empty() {
            return Err((format!("`grid.{dotted}` has an entry that sets nothing"), value.span()));
        }
        axis.add(Entry { shown: show(value.get_ref()), assignments }, value.span())?;
    }
    if axis.entries.is_empty() {
        return Err((format!("`grid.{dotted}` has no values; remove it or list some"), key.span()));
    }
    Ok(axis)
}

fn read_cases<'t>(key: &Key<'t>, value: &Node<'t>) -> Result<Axis<'t>, GridError> {
    let wrong =
        |span| Err(("`grid.cases` should be a list of tables, one [[grid.cases]] each".to_string(), span));
    let DeValue::Array(cases) = value.get_ref() else {
        return wrong(value.span());
    };
    let mut axis = Axis { key: "cases".to_string(), span: key.span(), entries: Vec::new() };
    for case in cases {
        let DeValue::Table(table) = case.get_ref() else {
            return wrong(case.span());
        };
        let mut assignments: Vec<Assignment<'t>> = Vec::new();
        for (key, value) in in_order(table) {
            let path = split_key(key.get_ref(), &[]).map_err(|message| (message, key.span()))?;
            for assignment in flattened(path, key.span(), value.clone()) {
                if assignments.iter().any(|a| a.path == assignment.path) {
                    return Err((
                        format!("`{}` is given twice in one case", assignment.key()),
                        assignment.key_span,
                    ));
                }
                assignments.push(assignment);
            }
        }
        if !varies(&assignments) {
            return Err(("this case sets nothing".to_string(), case.span()));
        }
        axis.add(Entry { shown: shown_together(&assignments), assignments }, case.span())?;
    }
    if axis.entries.is_empty() {
        return Err(("`grid.cases` has no cases; remove it".to_string(), key.span()));
    }
    Ok(axis)
}

impl<'t> Axis<'t> {
    fn add(&mut self, entry: Entry<'t>, span: Range<usize>) -> Result<(), GridError> {
        if self.entries.iter().any(|e| e.shown == entry.shown) {
            return Err((format!("`grid.{}` lists `{}` twice", self.key, entry.shown), span));
        }
        self.entries.push(entry);
        Ok(())
    }
}

/// Whether assignments change the run itself, and not only its controls.
fn varies(assignments: &[Assignment<'_>]) -> bool {
    assignments.iter().any(is_of_run)
}

fn is_of_run(assignment: &Assignment<'_>) -> bool {
    assignment.path.first().is_some_and(|first| first != CONTROLS)
}

/// Several assignments as people read them, without those of the controls.
fn shown_together(assignments: &[Assignment<'_>]) -> String {
    let own = assignments.iter().filter(|assignment| is_of_run(assignment));
    let shown: Vec<String> = own.map(|a| format!("{}={}", a.key(), show(a.value.get_ref()))).collect();
    shown.join(", ")
}

/// `seeds = 3` is 0, 1, 2; a list is itself.
pub(crate) fn read_seeds(key: &str, seeds: &Node<'_>) -> Result<Vec<u64>, GridError> {
    let DeValue::Array(items) = seeds.get_ref() else {
        let count = one_seed(key, seeds)?;
        return match usize::try_from(count) {
            Ok(1..=MOST_RUNS) => Ok((0..count).collect()),
            _ => Err((
                format!("`{key}` is {count} seeds, but should be 1 to {MOST_RUNS}, or a list"),
                seeds.span(),
            )),
        };
    };
    let mut listed = Vec::new();
    for item in items {
        let seed = one_seed(key, item)?;
        if listed.contains(&seed) {
            return Err((format!("`{key}` lists seed {seed} twice"), item.span()));
        }
        listed.push(seed);
    }
    if listed.is_empty() {
        return Err((format!("`{key}` is empty; list at least one seed"), seeds.span()));
    }
    Ok(listed)
}

fn one_seed(key: &str, value: &Node<'_>) -> Result<u64, GridError> {
    let seed = match value.get_ref() {
        DeValue::Integer(i) => u64::from_str_radix(i.as_str().trim_start_matches('+'), i.radix()).ok(),
        _ => None,
    };
    seed.ok_or_else(|| {
        let found = show(value.get_ref());
        (format!("`{key}` should be a whole number, 0 or more, not {found}"), value.span())
    })
}
