//! `--treat`: the same configuration with and without remedies, trained alike, and what became of the symptom.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use attnlab_heads::doctor::{Failure, Finding, NOTHING, Remedy, Verdict, remedies};
use attnlab_report::doctor::{Mark, Trial, TrialRow};
use attnlab_report::record::{Axis, Grid, Targets};
use attnlab_report::significance::bootstrap_difference;
use attnlab_report::statistics::{Interval, interval_over_seeds};
use attnlab_runner::config::{Experiment, RunConfig};
use attnlab_runner::{Execution, Trained};
use candle_core::Device;
use serde::Serialize;

use super::Examination;
use super::entries::number;
use super::patient::Patient;
use crate::progress::{Bars, Lines};
use crate::{End, Usage, say};

/// What the untreated runs are called.
const BASELINE: &str = "none";
/// A remedy that leaves more than this to nothing in some head has moved the sink there: ε of Gu et al. 2024.
const MOVED: f64 = 0.3;

#[derive(clap::Args)]
#[command(next_help_heading = "Treatment")]
pub(super) struct Treatment {
    /// Train the run or configuration anew with and without remedies, and say what became of the symptom and the loss.
    #[arg(long)]
    treat: bool,
    /// These remedies instead of those recommended for what is found: `softmax1,qk_norm`.
    #[arg(long, value_name = "LIST", requires = "treat")]
    remedies: Option<String>,
    /// Runs of each, with seeds from 0 on.
    #[arg(long, value_name = "N", default_value_t = 5, requires = "treat", value_parser = clap::value_parser!(u16).range(1..))]
    seeds: u16,
    /// The folder that the folders of runs are made in; what is done there already is kept or resumed.
    #[arg(long, default_value = "runs", value_name = "DIR", requires = "trains")]
    pub(super) out: PathBuf,
    /// Change a key of the configuration, of all runs alike: `--set train.steps=100`.
    #[arg(long = "set", value_name = "KEY=VALUE", requires = "treat")]
    sets: Vec<String>,
    /// Runs at a time [default: one a core]. Results do not depend on it.
    #[arg(long, value_name = "N", requires = "trains", value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) jobs: Option<u16>,
}

impl Treatment {
    pub(super) fn wanted(&self) -> bool {
        self.treat
    }
}

/// The configuration that is treated.
struct Base {
    /// What messages call it.
    source: String,
    text: String,
    name: String,
}

impl Base {
    fn read(path: &Path) -> Result<Self> {
        let file = if path.is_dir() { path.join("config.toml") } else { path.to_owned() };
        let text = std::fs::read_to_string(&file).map_err(|error| {
            Usage(format!(
                "--treat {}: {error}; give a run's folder or a configuration, of which other models have none",
                path.display()
            ))
        })?;
        let source = file.display().to_string();
        let name = Experiment::from_text(&source, &text, &[])?.name;
        // A name of a run's folder may be as long as names are.
        let kept: String = name.chars().take(48).collect();
        Ok(Self { source, text, name: format!("{kept}-treated") })
    }

    /// The run with these changes and this seed.
    fn run(&self, sets: &[String], seed: u16) -> Result<Experiment> {
        let fixed = [format!("name={:?}", self.name), format!("seed={seed}")];
        let sets: Vec<String> = sets.iter().cloned().chain(fixed).collect();
        let mut one = Experiment::from_text(&self.source, &self.text, &sets)?;
        let results = one.runs.iter().filter(|run| run.control.is_none()).count();
        if results != 1 {
            return Err(Usage(format!(
                "{}: this is {results} runs a seed; a treatment is of one: leave the others out with --set",
                self.source
            ))
            .into());
        }
        one.runs.truncate(1);
        one.grid.runs.truncate(1);
        Ok(one)
    }
}

/// Runs that differ in their seeds only.
struct Arm {
    name: &'static str,
    runs: Vec<Experiment>,
}

impl Arm {
    fn new(base: &Base, arguments: &Treatment, remedy: Option<&'static Remedy>) -> Result<Self> {
        let changes = remedy.map_or(&[][..], |remedy| remedy.overrides).iter().map(|set| (*set).to_owned());
        let sets: Vec<String> = arguments.sets.iter().cloned().chain(changes).collect();
        let name = remedy.map_or(BASELINE, |remedy| remedy.name);
        let run = |seed| base.run(&sets, seed).with_context(|| format!("with the remedy {name}"));
        let runs = (0..arguments.seeds).map(run).collect::<Result<Vec<_>>>()?;
        Ok(Self { name, runs })
    }

    fn configs(&self) -> impl Iterator<Item = &RunConfig> {
        self.runs.iter().flat_map(|run| &run.runs)
    }
}

/// What the runs of an arm show, a seed each.
struct Seen {
    name: &'static str,
    examinations: Vec<Examination>,
}

impl Seen {
    fn losses(&self) -> Option<Vec<f64>> {
        self.examinations.iter().map(|seen| seen.loss).collect()
    }

    fn findings(&self, failure: &str) -> impl Iterator<Item = &Finding> {
        let of = move |found: &Finding| found.name == failure;
        self.examinations.iter().filter_map(move |seen| seen.findings.iter().find(|found| of(found)))
    }

    /// Seeds that have the failure.
    fn present(&self, failure: &str) -> usize {
        self.findings(failure).filter(|found| found.verdict == Verdict::Present).count()
    }

    fn has(&self, failure: &str) -> bool {
        2 * self.present(failure) > self.examinations.len()
    }

    /// The number of a failure in each seed.
    fn numbers(&self, failure: &str) -> Option<Vec<f64>> {
        let numbers: Vec<f64> =
            self.findings(failure).filter_map(|found| Some(found.measure.as_ref()?.estimate.mean)).collect();
        (numbers.len() == self.examinations.len()).then_some(numbers)
    }
}

/// What a remedy did to one symptom.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Outcome {
    remedy: &'static str,
    failure: &'static str,
    seeds: usize,
    /// Seeds with the failure, without and with the remedy.
    present: [usize; 2],
    symptom_before: Numbers,
    symptom_after: Numbers,
    /// With less without, paired by seed.
    symptom_change: Option<[f64; 3]>,
    loss_before: Option<Numbers>,
    loss_after: Option<Numbers>,
    loss_change: Option<[f64; 3]>,
    result: Changed,
    costs_loss: bool,
    /// Where the symptom went.
    moved_to: Vec<String>,
}

/// A mean over seeds and its interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Numbers {
    mean: f64,
    low: f64,
    high: f64,
}

impl Numbers {
    fn of(values: &[f64]) -> Option<Self> {
        let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
        let Interval { low, high, .. } = interval_over_seeds(values)?;
        Some(Self { mean, low, high })
    }

    fn text(&self) -> String {
        format!("{} [{}, {}]", number(self.mean), number(self.low), number(self.high))
    }
}

/// What became of a symptom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Changed {
    /// Gone in most seeds, and the number better by the interval over seeds.
    Cured,
    /// The same, but something else has come in its place.
    Moved,
    /// Better by the interval, and still there.
    Eased,
    /// Neither.
    NoEffect,
    /// Most untreated seeds do not have it: there is nothing to cure.
    NotThere,
}

/// Trains, examines, compares, reports.
pub(super) fn run(arguments: &super::Arguments, only: &[Failure], threads: usize) -> Result<End> {
    let treatment = &arguments.treatment;
    if !arguments.source.is_empty() {
        let problem = "--treat reads sequences of the runs' own task; leave the texts out";
        return Err(Usage(problem.to_owned()).into());
    }
    let base = Base::read(Path::new(&arguments.model))?;
    let baseline = Arm::new(&base, treatment, None)?;
    let named = treatment.remedies.as_deref().map(named).transpose()?;
    train(&base, treatment, threads, &[&baseline])?;
    let untreated = examined(arguments, &base, &baseline, only, threads)?;
    let sick: Vec<&Failure> = only.iter().filter(|failure| untreated.has(failure.name)).collect();
    let mut chosen = named.clone().unwrap_or_else(|| recommended(&sick));
    // What the configuration has already is no treatment.
    let mut arms = Vec::new();
    for remedy in chosen.drain(..) {
        let arm = Arm::new(&base, treatment, Some(remedy))?;
        if arm.configs().map(RunConfig::id).eq(baseline.configs().map(RunConfig::id)) {
            if named.is_some() {
                return Err(
                    Usage(format!("--remedies {}: this configuration has it already", remedy.name)).into()
                );
            }
            continue;
        }
        arms.push(arm);
    }
    let mut seen = vec![untreated];
    if !arms.is_empty() {
        train(&base, treatment, threads, &[&baseline].into_iter().chain(&arms).collect::<Vec<_>>())?;
        for arm in &arms {
            seen.push(examined(arguments, &base, arm, only, threads)?);
        }
    }
    // Named remedies are judged by what they are for, found or not.
    let for_named = |failure: &&Failure| {
        let helps = |remedy: &&Remedy| remedy.helps.contains(&failure.name);
        sick.iter().any(|sick| sick.name == failure.name) || named.iter().flatten().any(helps)
    };
    let judged: Vec<&Failure> = only.iter().filter(for_named).collect();
    let outcomes = outcomes(&seen, &judged, only);
    let trial = trial(&base, treatment, &seen, &outcomes);
    let first = seen.swap_remove(0).examinations.swap_remove(0);
    let folder =
        treatment.out.join(&base.name).join(baseline.configs().next().map(RunConfig::id).unwrap_or_default());
    let model =
        Patient::of_run(base.name.clone(), Trained::open(&folder)?, 1, length(arguments, &folder)?)?.model;
    super::report(arguments, &model, &first, Some((trial, serde_json::to_value(&outcomes)?)))
}

/// The remedies of `--remedies`.
fn named(list: &str) -> Result<Vec<&'static Remedy>> {
    let known = || remedies().iter().map(|remedy| remedy.name).collect::<Vec<_>>().join(", ");
    let find = |name: &str| {
        let found = remedies().iter().find(|remedy| remedy.name == name);
        found.ok_or_else(|| Usage(format!("--remedies {name}: no such remedy; there are {}", known())).into())
    };
    list.split(',').map(str::trim).map(find).collect()
}

/// What is said to help against any of these.
fn recommended(sick: &[&Failure]) -> Vec<&'static Remedy> {
    let helps = |remedy: &&Remedy| sick.iter().any(|failure| remedy.helps.contains(&failure.name));
    remedies().iter().filter(helps).collect()
}

/// Does every run of these arms that is not done yet.
fn train(base: &Base, arguments: &Treatment, threads: usize, arms: &[&Arm]) -> Result<()> {
    let mut runs = Vec::new();
    let mut planned = Vec::new();
    for arm in arms {
        for one in &arm.runs {
            runs.extend(one.runs.iter().cloned());
            planned.extend(one.grid.runs.iter().cloned().map(|mut run| {
                run.settings = BTreeMap::from([("remedy".to_owned(), arm.name.to_owned())]);
                run
            }));
        }
    }
    let axis = Axis { key: "remedy".into(), values: arms.iter().map(|arm| arm.name.to_owned()).collect() };
    let experiment = Experiment {
        name: base.name.clone(),
        description: format!("{} with and without remedies", base.source),
        runs,
        grid: Grid {
            name: base.name.clone(),
            description: String::new(),
            axes: vec![axis],
            runs: planned,
            targets: Targets::default(),
        },
    };
    let count = experiment.runs.len();
    let jobs = arguments.jobs.map_or(threads, usize::from).min(count).max(1);
    let threads = (threads / jobs).max(1);
    let execution = Execution { out: arguments.out.clone(), jobs, threads, device: Device::Cpu };
    say::note(format_args!("{}: {}", base.name, say::count(count, "run")));
    let ended = match std::io::stderr().is_terminal() {
        true => execution.execute(&experiment, &Bars::new(&experiment)),
        false => execution.execute(&experiment, &Lines::new(count)),
    }?;
    match ended.into_iter().find_map(|(id, result)| Some((id, result.err()?))) {
        Some((id, error)) => Err(error).with_context(|| format!("run {id}")),
        None => Ok(()),
    }
}

/// The length of the problems that a run is examined on.
fn length(arguments: &super::Arguments, folder: &Path) -> Result<usize> {
    Ok(match arguments.length {
        Some(length) => length,
        None => Trained::open(folder)?.run.train.lengths[1],
    })
}

fn examined(
    arguments: &super::Arguments,
    base: &Base,
    arm: &Arm,
    only: &[Failure],
    threads: usize,
) -> Result<Seen> {
    let team = attnlab_ops::Threads::new(threads)?;
    let mut examinations = Vec::new();
    for config in arm.configs() {
        let folder = arguments.treatment.out.join(&base.name).join(config.id());
        let trained = Trained::open(&folder)?;
        let patient = Patient::of_run(config.id(), trained, arguments.texts, length(arguments, &folder)?)?;
        let effort = super::effort(arguments, &patient.model)?;
        examinations.push(attnlab_ops::on_threads(&team, || super::examination(&patient, &effort, only))?);
    }
    if examinations.is_empty() {
        bail!("there are no runs to examine");
    }
    Ok(Seen { name: arm.name, examinations })
}

/// Every remedy against every failure that is judged; the first of `seen` is without.
fn outcomes(seen: &[Seen], judged: &[&Failure], all: &[Failure]) -> Vec<Outcome> {
    let Some((before, treated)) = seen.split_first() else { return Vec::new() };
    let mut outcomes = Vec::new();
    for after in treated {
        for failure in judged {
            outcomes.extend(outcome(before, after, failure, all));
        }
    }
    outcomes
}

fn change(before: &[f64], after: &[f64]) -> Option<[f64; 3]> {
    let mean = after.iter().zip(before).map(|(a, b)| a - b).sum::<f64>() / before.len().max(1) as f64;
    let Interval { low, high, .. } = bootstrap_difference(after, before, true)?;
    Some([mean, low, high])
}

fn outcome(before: &Seen, after: &Seen, failure: &Failure, all: &[Failure]) -> Option<Outcome> {
    let name = failure.name;
    let (numbers, treated) = (before.numbers(name)?, after.numbers(name)?);
    let symptom_change = change(&numbers, &treated);
    let better = symptom_change
        .is_some_and(|[_, low, high]| if failure.higher_is_worse { high < 0.0 } else { low > 0.0 });
    let gone = !after.has(name);
    let mut moved_to = Vec::new();
    if better && gone && before.has(name) {
        let came =
            all.iter().filter(|other| other.name != name && after.has(other.name) && !before.has(other.name));
        moved_to.extend(came.map(|other| other.title.to_owned()));
        let null: Option<Vec<f64>> = after.examinations.iter().map(|seen| seen.null_mass).collect();
        let null = null.and_then(|null| Some(Numbers::of(&null)?.mean)).filter(|null| *null > MOVED);
        if let Some(null) = null.filter(|_| name == "sink") {
            moved_to.push(format!("the option to attend to nothing ({null:.2} of a head's weight)"));
        }
    }
    let (loss_before, loss_after) = (before.losses(), after.losses());
    let loss_change = loss_before.as_ref().zip(loss_after.as_ref()).and_then(|(a, b)| change(a, b));
    let result = match (better, gone, moved_to.is_empty()) {
        _ if !before.has(name) => Changed::NotThere,
        (true, true, true) => Changed::Cured,
        (true, true, false) => Changed::Moved,
        (true, false, _) => Changed::Eased,
        (false, ..) => Changed::NoEffect,
    };
    Some(Outcome {
        remedy: after.name,
        failure: name,
        seeds: numbers.len(),
        present: [before.present(name), after.present(name)],
        symptom_before: Numbers::of(&numbers)?,
        symptom_after: Numbers::of(&treated)?,
        symptom_change,
        loss_before: loss_before.and_then(|losses| Numbers::of(&losses)),
        loss_after: loss_after.and_then(|losses| Numbers::of(&losses)),
        loss_change,
        result,
        costs_loss: loss_change.is_some_and(|[_, low, _]| low > NOTHING),
        moved_to,
    })
}

/// The outcomes as a table.
fn trial(base: &Base, arguments: &Treatment, seen: &[Seen], outcomes: &[Outcome]) -> Trial {
    let change = |change: &Option<[f64; 3]>| {
        change.map_or("–".to_owned(), |[mean, low, high]| {
            format!(
                "{}{} [{}, {}]",
                if mean > 0.0 { "+" } else { "" },
                number(mean),
                number(low),
                number(high)
            )
        })
    };
    let of = |numbers: &Option<Numbers>| numbers.map_or("–".to_owned(), |numbers| numbers.text());
    let row = |outcome: &Outcome| {
        let words = match outcome.result {
            Changed::Cured => "cured".to_owned(),
            Changed::Moved => format!("symptom moved: {}", outcome.moved_to.join(", ")),
            Changed::Eased => "eased, still there".to_owned(),
            Changed::NoEffect => "no effect".to_owned(),
            Changed::NotThere => "was not there".to_owned(),
        };
        let cost = if outcome.costs_loss { ", costs loss" } else { "" };
        let mark = match (outcome.result, outcome.costs_loss) {
            (Changed::Cured, false) => Mark::Good,
            (Changed::NoEffect, _) => Mark::Bad,
            _ => Mark::Open,
        };
        let [before, after] = outcome.present;
        let cells = vec![
            outcome.remedy.to_owned(),
            outcome.failure.to_owned(),
            format!("{before}/{0} → {after}/{0}", outcome.seeds),
            format!("{} → {}", outcome.symptom_before.text(), outcome.symptom_after.text()),
            change(&outcome.symptom_change),
            format!("{} → {}", of(&outcome.loss_before), of(&outcome.loss_after)),
            change(&outcome.loss_change),
            format!("{words}{cost}"),
        ];
        TrialRow { mark, cells }
    };
    let seeds = say::count(usize::from(arguments.seeds), "seed");
    let setting = match (outcomes.is_empty(), seen.len()) {
        (false, _) => format!(
            "Each remedy and the untreated configuration trained with {seeds} and the same budget, in {}. Intervals are over \
             seeds; changes are paired by seed.",
            arguments.out.join(&base.name).display()
        ),
        (true, 1) => {
            format!("Nothing to treat: no failure mode with a remedy is present in most of {seeds}.")
        }
        (true, _) => "No remedy could be judged: the numbers are not defined in every seed.".to_owned(),
    };
    let columns =
        ["remedy", "against", "seeds with it", "symptom", "change", "loss", "change of loss", "outcome"];
    Trial { setting, columns: columns.map(str::to_owned).into(), rows: outcomes.iter().map(row).collect() }
}
