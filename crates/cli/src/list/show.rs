//! `attnlab list tasks --show NAME`: all that is known of a kind of task, and what it looks like.

use anyhow::Result;
use attnlab_tasks::{Baselines, Example, Info, Rng, Score, TaskConfig, baselines, examples, registry};
use comfy_table::{ContentArrangement, Table, presets};
use rand::SeedableRng;
use serde::Serialize;

use crate::tasks::{length_near, under_each_protocol};
use crate::{End, Usage, say};

/// Sequences shown of each protocol.
const SHOWN: usize = 3;
/// The length of the sequences shown, and those that baselines are computed at, or the nearest that the kind admits.
const LENGTHS: [usize; 2] = [6, 40];
/// Sequences that baselines are fitted on and scored on.
const SAMPLES: usize = 1000;

#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    info: &'static Info,
    tasks: Vec<Posed>,
}

/// The kind's example under one protocol.
#[derive(Serialize)]
struct Posed {
    protocol: &'static str,
    label: String,
    setting: String,
    examples: Vec<Example>,
    baselines: Vec<AtLength>,
}

#[derive(Serialize)]
struct AtLength {
    length: usize,
    #[serde(flatten)]
    scores: Baselines,
}

pub(super) fn run(kind: &str, json: bool) -> Result<End> {
    let Some(info) = registry().iter().find(|info| info.kind == kind) else {
        let kinds: Vec<&str> = registry().iter().map(|info| info.kind).collect();
        return Err(Usage(format!("--show {kind}: no such task; there are {}", kinds.join(", "))).into());
    };
    let tasks = under_each_protocol(info)?.iter().map(look).collect::<Result<_>>()?;
    let shown = Shown { info, tasks };
    if json {
        say::result(serde_json::to_string_pretty(&shown)?)?;
    } else {
        shown.print()?;
    }
    Ok(End::Success)
}

fn look(config: &TaskConfig) -> Result<Posed> {
    let task = config.build()?;
    // The same sequences at each call.
    let mut rng = Rng::seed_from_u64(0);
    let mut lengths: Vec<usize> = LENGTHS.iter().filter_map(|n| length_near(task.as_ref(), *n)).collect();
    lengths.dedup();
    let examples = match lengths.first() {
        Some(length) => examples(task.as_ref(), *length, SHOWN, &mut rng)?,
        None => Vec::new(),
    };
    let mut at = |length: usize| {
        let scores = baselines(task.as_ref(), length, SAMPLES, &mut rng)?;
        Ok(AtLength { length, scores })
    };
    Ok(Posed {
        protocol: config.protocol().name(),
        label: task.label(),
        setting: task.setting(),
        examples,
        baselines: lengths.into_iter().map(&mut at).collect::<Result<_>>()?,
    })
}

impl Shown {
    fn print(&self) -> Result<()> {
        let Info { kind, title, definition, expected, source, example, .. } = *self.info;
        let class = serde_json::to_value(self.info.class)?;
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
        table.set_width(say::width());
        for (key, text) in [
            ("kind", kind),
            ("title", title),
            ("class", class.as_str().unwrap_or_default()),
            ("definition", definition),
            ("expected", expected),
            ("source", source),
        ] {
            table.add_row([key, text]);
        }
        say::result(table.trim_fmt())?;
        say::result(format_args!("\n[task]\n{}", example.trim_end()))?;
        for task in &self.tasks {
            say::result(format_args!("\n{}: {}\n", task.setting, task.label))?;
            for example in &task.examples {
                say::result(format_args!("{example}\n"))?;
            }
            say::result(format_args!("earned by, in % of labels / of sequences\n{}", task.table()))?;
        }
        Ok(())
    }
}

impl Posed {
    /// What guesses earn, in % of labels and of whole sequences.
    fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(["length", "uniform", "commonest", "by position", "by token", "by bigram"]);
        let cell = |score: Score| format!("{:.1} / {:.1}", 100.0 * score.token, 100.0 * score.exact);
        for AtLength { length, scores } in &self.baselines {
            let Baselines { uniform, commonest, by_position, by_token, by_bigram } = *scores;
            let cells = [uniform, commonest, by_position, by_token, by_bigram].map(cell);
            table.add_row([length.to_string()].into_iter().chain(cells));
        }
        table
    }
}
