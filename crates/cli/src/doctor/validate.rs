//! `--validate`: the doctor held against runs whose condition is known.
//!
//! Every configuration of a folder that has a `[plants]` table is run, what is there being kept, and every run is examined
//! on sequences of its own task for the failure modes that the table names: those planted should be found, and those
//! absent should not.

use std::collections::{BTreeMap, HashSet};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use attnlab_heads::doctor::{Effort, Failure, Verdict, failures};
use attnlab_ops::{Threads, on_threads};
use attnlab_runner::config::{Experiment, RunConfig};
use attnlab_runner::{Execution, Trained};
use candle_core::Device;
use serde::Serialize;

use super::entries::number;
use super::patient::Patient;
use crate::progress::{Bars, Lines};
use crate::{End, Usage, say};

/// What was said of one failure mode of one run.
#[derive(Serialize)]
struct Said {
    experiment: String,
    run: String,
    failure: &'static str,
    /// Whether the run was made to have it; else it has not.
    planted: bool,
    verdict: Verdict,
    /// The number that the verdict is about, if there is one.
    measured: Option<f64>,
}

/// Trains, examines, counts. A run that could not be done makes the answer incomplete.
pub(super) fn run(arguments: &super::Arguments, threads: usize) -> Result<End> {
    if !arguments.source.is_empty() {
        let problem = "--validate reads sequences of the runs' own tasks; leave the texts out";
        return Err(Usage(problem.to_owned()).into());
    }
    let mut said = Vec::new();
    let mut complete = true;
    for experiment in experiments(Path::new(&arguments.model))? {
        let count = experiment.runs.len();
        let jobs = arguments.treatment.jobs.map_or(threads, usize::from).min(count).max(1);
        let out = arguments.treatment.out.clone();
        let execution = Execution { out, jobs, threads: (threads / jobs).max(1), device: Device::Cpu };
        say::note(format_args!("{}: {}", experiment.name, say::count(count, "run")));
        let ended = match std::io::stderr().is_terminal() {
            true => execution.execute(&experiment, &Bars::new(&experiment)),
            false => execution.execute(&experiment, &Lines::new(count)),
        }?;
        let done: HashSet<String> =
            ended.into_iter().filter(|(_, end)| end.is_ok()).map(|(id, _)| id).collect();
        complete &= done.len() == count;
        let folder = execution.folder(&experiment);
        for run in experiment.runs.iter().filter(|run| done.contains(&run.id())) {
            let found = examined(arguments, run, &folder.join(run.id()), &experiment.name, threads);
            said.extend(found.with_context(|| format!("while examining {}", run.id()))?);
        }
    }
    say::result(if arguments.json { serde_json::to_string_pretty(&said)? } else { page(&said) })?;
    Ok(if complete { End::Success } else { End::Incomplete })
}

/// The folder's configurations that say what is planted, by name; only their runs that say it.
fn experiments(folder: &Path) -> Result<Vec<Experiment>> {
    let wrong = |problem: String| Usage(format!("--validate {}: {problem}", folder.display()));
    let entries = std::fs::read_dir(folder)
        .map_err(|error| wrong(format!("{error}; give a folder of configurations")))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "toml"));
    paths.sort();
    let mut found = Vec::new();
    for path in paths {
        let mut experiment = Experiment::load(&path, &[])?;
        let known: HashSet<&str> = failures().iter().map(|failure| failure.name).collect();
        let named =
            experiment.runs.iter().flat_map(|run| run.plants.present.iter().chain(&run.plants.absent));
        if let Some(name) = named.into_iter().find(|name| !known.contains(name.as_str())) {
            let names: Vec<&str> = failures().iter().map(|failure| failure.name).collect();
            let problem = format!("{}: `plants` names `{name}`", path.display());
            return Err(wrong(format!("{problem}; the failure modes are {}", names.join(", "))).into());
        }
        let says: Vec<bool> = experiment.runs.iter().map(|run| !run.plants.is_empty()).collect();
        let (mut of_runs, mut of_plan) = (says.iter(), says.iter());
        experiment.runs.retain(|_| of_runs.next() == Some(&true));
        experiment.grid.runs.retain(|_| of_plan.next() == Some(&true));
        if !experiment.runs.is_empty() {
            found.push(experiment);
        }
    }
    if found.is_empty() {
        return Err(wrong("no configuration with a [plants] table is in it".to_owned()).into());
    }
    Ok(found)
}

/// What the doctor says of the failure modes that a run has and has not.
fn examined(
    arguments: &super::Arguments,
    run: &RunConfig,
    folder: &Path,
    experiment: &str,
    threads: usize,
) -> Result<Vec<Said>> {
    let length = run.plants.length.unwrap_or(run.train.lengths[1]);
    let patient = Patient::of_run(run.id(), Trained::open(folder)?, arguments.texts, length)?;
    let asked: BTreeMap<&str, bool> = (run.plants.present.iter().map(|name| (name.as_str(), true)))
        .chain(run.plants.absent.iter().map(|name| (name.as_str(), false)))
        .collect();
    let only: Vec<Failure> =
        failures().iter().filter(|failure| asked.contains_key(failure.name)).copied().collect();
    let effort = Effort { single_heads: 0, ..Effort::default() };
    let found = on_threads(&Threads::new(threads)?, || super::examination(&patient, &effort, &only))?;
    let said = |finding: attnlab_heads::doctor::Finding| Said {
        experiment: experiment.to_owned(),
        run: run.id(),
        failure: finding.name,
        planted: asked.get(finding.name) == Some(&true),
        verdict: finding.verdict,
        measured: finding.measure.map(|measure| measure.estimate.mean),
    };
    Ok(found.findings.into_iter().map(said).collect())
}

/// Markdown: for each failure mode what was found where it was planted, and where it was not; then each experiment.
fn page(said: &[Said]) -> String {
    let of = |failure: &str, planted: bool| -> Vec<&Said> {
        said.iter().filter(|said| said.failure == failure && said.planted == planted).collect()
    };
    let mut lines = vec![
        "| failure mode | planted | found | missed | cannot tell | healthy | false alarms | cannot tell |"
            .to_owned(),
        "|---|---|---|---|---|---|---|---|".to_owned(),
    ];
    for failure in failures() {
        let (sick, well) = (of(failure.name, true), of(failure.name, false));
        if !sick.is_empty() || !well.is_empty() {
            let [found, missed, open] = counts(&sick);
            let [alarms, _, unclear] = counts(&well);
            let (title, sick, well) = (failure.title, sick.len(), well.len());
            lines.push(format!(
                "| {title} | {sick} | {found} | {missed} | {open} | {well} | {alarms} | {unclear} |"
            ));
        }
    }
    lines.extend([
        String::new(),
        "| experiment | failure mode | planted | runs | present | absent | cannot tell | measured |"
            .to_owned(),
    ]);
    lines.push("|---|---|---|---|---|---|---|---|".to_owned());
    let mut groups: BTreeMap<(&str, &str, bool), Vec<&Said>> = BTreeMap::new();
    for one in said {
        groups.entry((&one.experiment, one.failure, one.planted)).or_default().push(one);
    }
    for ((experiment, failure, planted), said) in groups {
        let [present, absent, open] = counts(&said);
        let measured: Vec<f64> = said.iter().filter_map(|said| said.measured).collect();
        let (low, high) =
            measured.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), m| (l.min(*m), h.max(*m)));
        let range =
            if measured.is_empty() { String::new() } else { format!("{} to {}", number(low), number(high)) };
        let (planted, runs) = (if planted { "yes" } else { "no" }, said.len());
        lines.push(format!(
            "| {experiment} | {failure} | {planted} | {runs} | {present} | {absent} | {open} | {range} |"
        ));
    }
    lines.join("\n")
}

/// Present, absent, cannot tell.
fn counts(said: &[&Said]) -> [usize; 3] {
    let count = |is: fn(&Verdict) -> bool| said.iter().filter(|said| is(&said.verdict)).count();
    [
        count(|verdict| *verdict == Verdict::Present),
        count(|verdict| *verdict == Verdict::Absent),
        count(|verdict| matches!(verdict, Verdict::CannotTell { .. })),
    ]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn planted_and_healthy_runs_are_counted_apart() {
        let said = |planted, verdict, measured| Said {
            experiment: "backcopy".into(),
            run: "a".into(),
            failure: "sink",
            planted,
            verdict,
            measured,
        };
        let open = Verdict::CannotTell { why: "few texts".into() };
        let page = page(&[
            said(true, Verdict::Present, Some(0.5)),
            said(true, Verdict::Present, Some(0.75)),
            said(true, Verdict::Absent, Some(0.25)),
            said(false, Verdict::Absent, None),
            said(false, Verdict::Present, None),
            said(false, open, None),
        ]);
        assert!(page.contains("| attention sink | 3 | 2 | 1 | 0 | 3 | 1 | 1 |"), "{page}");
        assert!(page.contains("| backcopy | sink | yes | 3 | 2 | 1 | 0 | 0.25"), "{page}");
        assert!(page.contains("| backcopy | sink | no | 3 | 1 | 1 | 1 |  |"), "{page}");
    }

    #[test]
    fn a_folder_says_what_is_planted_in_names_that_the_doctor_knows() {
        let folder = tempfile::tempdir().unwrap();
        let error = || experiments(folder.path()).unwrap_err().to_string();
        assert!(error().contains("no configuration with a [plants] table"), "{}", error());
        let config = "[task]\nkind = \"parity\"\n[position]\nkind = \"none\"\n";
        std::fs::write(folder.path().join("plain.toml"), config).unwrap();
        let planted = |name: &str| {
            format!(
                "{config}[grid]\nseeds = 2\n[[grid.cases]]\nplants.absent = [{name:?}]\n[[grid.cases]]\ntrain.steps = 9\n"
            )
        };
        std::fs::write(folder.path().join("some.toml"), planted("sunk")).unwrap();
        assert!(error().contains("`plants` names `sunk`; the failure modes are sink"), "{}", error());
        std::fs::write(folder.path().join("some.toml"), planted("sink")).unwrap();
        let found = experiments(folder.path()).unwrap();
        // Of the runs of a grid only those that say something.
        assert_eq!(
            found.iter().map(|one| (one.name.as_str(), one.runs.len())).collect::<Vec<_>>(),
            [("some", 2)]
        );
        assert_eq!(found[0].grid.runs.len(), 2);
    }
}
