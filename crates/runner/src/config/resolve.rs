//! From a tree to a run: types, defaults, and messages that know where each value was written.

use std::ops::Range;

use attnlab_model::Architecture;
use attnlab_positions::PositionConfig;
use attnlab_tasks::{ProblemConfig, Protocol, TaskConfig};
use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::check::{Tasks, findings};
use super::eval::EvalConfig;
use super::hint::Known;
use super::kind::nested;
use super::message::{explained, problem};
use super::plants::Plants;
use super::run::RunConfig;
use super::source::{Problem, Sources};
use super::tree::{Node, Tree, find, show};

/// Keys of `[task]` that every kind has.
const TASK_COMMON: [&str; 2] = ["protocol", "bos"];

/// Turns trees into runs.
pub(crate) struct Resolver<'s> {
    sources: &'s Sources,
    tasks: Tasks,
}

impl<'s> Resolver<'s> {
    /// For trees whose texts are in `sources`.
    pub(crate) fn new(sources: &'s Sources) -> Self {
        Self { sources, tasks: Tasks::default() }
    }

    /// Tasks built so far.
    pub(crate) fn tasks(&mut self) -> &mut Tasks {
        &mut self.tasks
    }

    /// The run that `tree` describes, or everything wrong with it.
    pub(crate) fn run(&mut self, tree: &Tree<'_>, name: &str, seed: u64) -> Result<RunConfig, Vec<Problem>> {
        // The sections are read side by side, so that each one's mistakes are reported at once.
        let task = self.task(tree);
        let position = self.position(tree);
        let model = self.section::<Architecture>(tree, "model");
        let train = self.section(tree, "train");
        let eval = self.section::<EvalConfig>(tree, "eval");
        let plants = self.section::<Plants>(tree, "plants");
        let control = match tree.get("control") {
            Some(value) => Some(self.read(tree, "control", value.clone(), &[]).map_err(|p| vec![p])?),
            None => None,
        };
        let (task, position, model, train, eval, plants) = match (task, position, model, train, eval, plants)
        {
            (Ok(task), Ok(position), Ok(model), Ok(train), Ok(eval), Ok(plants)) => {
                (task, position, model, train, eval, plants)
            }
            (task, position, model, train, eval, plants) => {
                let problems =
                    [task.err(), position.err(), model.err(), train.err(), eval.err(), plants.err()];
                return Err(problems.into_iter().flatten().collect());
            }
        };
        let name = name.to_string();
        let mut run = RunConfig { name, task, model, position, train, eval, seed, control, plants };
        let (resolved, task) = self.tasks.of(&run.task);
        run.task = resolved;
        if find(tree, "eval.bins").is_none() {
            let limit = task.as_ref().as_ref().ok().and_then(|task| task.max_length());
            run.eval.bins = EvalConfig::default_bins(run.train.lengths, limit);
        }
        let found = findings(&run, &task);
        if found.is_empty() {
            return Ok(run);
        }
        let located = |keys: &[String]| {
            let section =
                keys.first().and_then(|k| k.split('.').next()).and_then(|section| find(tree, section));
            keys.iter().find_map(|key| find(tree, key)).or(section).map(Spanned::span)
        };
        Err(found
            .into_iter()
            .map(|f| problem(self.sources, located(&f.keys), f.message, Vec::new()))
            .collect())
    }

    fn task(&self, tree: &Tree<'_>) -> Result<TaskConfig, Problem> {
        let known: Vec<Known<'_>> =
            attnlab_tasks::registry().iter().map(|i| Known { name: i.kind, title: i.title }).collect();
        let (table, span) = self.kind_table(tree, "task", &known)?;
        let value = nested("task", table, span, &known, &TASK_COMMON, self.sources)?;
        let problem: ProblemConfig = self.read(tree, "task", value, &TASK_COMMON)?;
        let protocol: Option<Protocol> = match table.get("protocol") {
            Some(value) => Some(self.read(tree, "task.protocol", value.clone(), &[])?),
            None => None,
        };
        let bos = match table.get("bos") {
            Some(value) => self.read(tree, "task.bos", value.clone(), &[])?,
            None => true,
        };
        let mut task = TaskConfig { protocol, bos, problem };
        task.protocol = Some(task.protocol());
        Ok(task)
    }

    fn position(&self, tree: &Tree<'_>) -> Result<PositionConfig, Problem> {
        let known: Vec<Known<'_>> =
            attnlab_positions::registry().iter().map(|i| Known { name: i.kind, title: i.title }).collect();
        let (table, span) = self.kind_table(tree, "position", &known)?;
        let value = nested("position", table, span, &known, &[], self.sources)?;
        self.read(tree, "position", value, &[])
    }

    fn kind_table<'a, 't>(
        &self,
        tree: &'a Tree<'t>,
        section: &str,
        known: &[Known<'_>],
    ) -> Result<(&'a Tree<'t>, Range<usize>), Problem> {
        let Some(node) = tree.get(section) else {
            let names: Vec<&str> = known.iter().map(|k| k.name).collect();
            let note = format!("add it with a `kind`: {}", names.join(", "));
            return Err(problem(
                self.sources,
                None,
                format!("the table `[{section}]` is missing"),
                vec![note],
            ));
        };
        match node.get_ref() {
            DeValue::Table(table) => Ok((table, node.span())),
            other => {
                let message = format!("`{section}` should be a table with a `kind`, not {}", show(other));
                Err(problem(self.sources, Some(node.span()), message, Vec::new()))
            }
        }
    }

    fn section<T: DeserializeOwned>(&self, tree: &Tree<'_>, section: &str) -> Result<T, Problem> {
        // An absent table is one with every default.
        let empty = || Spanned::new(0..0, DeValue::Table(DeTable::new()));
        let value = tree.get(section).cloned().unwrap_or_else(empty);
        self.read(tree, section, value, &[])
    }

    /// Reads `value`; `also` are keys that serde does not know to be allowed.
    pub(crate) fn read<T: DeserializeOwned>(
        &self,
        tree: &Tree<'_>,
        section: &str,
        value: Node<'_>,
        also: &[&str],
    ) -> Result<T, Problem> {
        T::deserialize(ValueDeserializer::from(value))
            .map_err(|e| explained(&e, section, tree, also, self.sources))
    }
}
