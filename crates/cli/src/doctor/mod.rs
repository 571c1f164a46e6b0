//! `attnlab doctor MODEL|RUN`: which failure modes of attention it has, with evidence, and what remedies do; and whether
//! the doctor is right, on runs whose condition is known.

mod entries;
mod patient;
mod table;
mod treat;
mod validate;

use std::path::PathBuf;
use std::sync::Mutex;

use anyhow::{Context, Result};
use attnlab_heads::doctor::{Case, Effort, Finding, Pictures, examine, failures};
use attnlab_ops::{Threads, on_threads};
use attnlab_report::doctor::{Checkup, Trial};
use attnlab_runner::write_file;
use serde_json::Value;
use serde_json::json;

use crate::inspect::selection;
use crate::model::Model;
use crate::progress::Slow;
use crate::texts::Texts;
use crate::{End, Usage, say};
use patient::Patient;

#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("trains").args(["treat", "validate"])))]
pub(crate) struct Arguments {
    /// A folder in Hugging Face's form, a .gguf file, a run's folder, a Hub id (owner/name@revision), or `demo`; with
    /// --treat a run's folder or a configuration, with --validate a folder of configurations.
    model: String,
    #[command(flatten)]
    source: Texts,
    /// Texts to be read, where it is for the program to choose: pieces of a file, of the built-in text, sequences of a
    /// run's task.
    #[arg(long, value_name = "N", default_value_t = 16)]
    texts: usize,
    /// Tokens of each; of a run's task the length of a problem [default: 256, or the longest training length].
    #[arg(long, value_name = "T")]
    length: Option<usize>,
    /// Only these failure modes: `sink,massive`.
    #[arg(long, value_name = "LIST")]
    only: Option<String>,
    /// Only heads of these layers: `0,2,5-7`.
    #[arg(long, value_name = "LIST")]
    layers: Option<String>,
    /// Only these query heads of each layer.
    #[arg(long, value_name = "LIST")]
    heads: Option<String>,
    /// Interventions on single heads for a failure mode; those on all heads concerned together are always made.
    #[arg(long, value_name = "N", default_value_t = 4)]
    single_heads: usize,
    #[command(flatten)]
    treatment: treat::Treatment,
    /// Train every configuration of the folder that says in `[plants]` what its runs are made to have, and count hits,
    /// misses and false alarms.
    #[arg(long, help_heading = "Treatment")]
    validate: bool,
    /// Everything as one page that opens offline.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Print everything as JSON instead of tables.
    #[arg(long)]
    json: bool,
    /// Exit with 1 if a failure mode is present and not known to be harmless.
    #[arg(long)]
    strict: bool,
    /// Threads [default: one a core]. Results do not depend on it.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

/// What was found of one model.
struct Examination {
    texts: String,
    findings: Vec<Finding>,
    pictures: Pictures,
    /// The mean loss, in nats a target.
    loss: Option<f64>,
    /// The most that a head leaves to nothing.
    null_mass: Option<f64>,
}

pub(crate) fn run(arguments: Arguments) -> Result<End> {
    let threads = crate::threads(arguments.threads)?;
    if arguments.texts == 0 {
        return Err(Usage("--texts 0: there would be nothing to read".to_owned()).into());
    }
    let only = chosen(arguments.only.as_deref())?;
    if arguments.validate {
        return validate::run(&arguments, threads);
    }
    if arguments.treatment.wanted() {
        return treat::run(&arguments, &only, threads);
    }
    let patient = Patient::open(&arguments.model, &arguments.source, (arguments.texts, arguments.length))?;
    let team = Threads::new(threads)?;
    let found = on_threads(&team, || examination(&patient, &effort(&arguments, &patient.model)?, &only))?;
    report(&arguments, &patient.model, &found, None)
}

/// The failure modes of `--only`, or all.
fn chosen(only: Option<&str>) -> Result<Vec<attnlab_heads::doctor::Failure>> {
    let Some(only) = only else { return Ok(failures().to_vec()) };
    let known = || failures().iter().map(|failure| failure.name).collect::<Vec<_>>().join(", ");
    let find = |name: &str| {
        let found = failures().iter().find(|failure| failure.name == name).copied();
        found.ok_or_else(|| {
            Usage(format!("--only {name}: no such failure mode; there are {}", known())).into()
        })
    };
    only.split(',').map(str::trim).map(find).collect()
}

fn effort(arguments: &Arguments, model: &Model) -> Result<Effort> {
    let anatomy = model.transformer.anatomy();
    Ok(Effort {
        layers: selection("layers", arguments.layers.as_deref(), anatomy.n_layers)?,
        heads: selection("heads", arguments.heads.as_deref(), anatomy.n_heads)?,
        single_heads: arguments.single_heads,
        ..Effort::default()
    })
}

/// Reads the texts and examines the model.
fn examination(
    patient: &Patient,
    effort: &Effort,
    only: &[attnlab_heads::doctor::Failure],
) -> Result<Examination> {
    let bar: Mutex<Option<(String, Slow)>> = Mutex::new(None);
    let tell = |what: &str, done: usize, all: usize| {
        let mut bar = bar.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if bar.as_ref().is_none_or(|(before, _)| before != what) {
            *bar = Some((what.to_owned(), Slow::new(what, all)));
        }
        if let Some((_, bar)) = bar.as_ref() {
            bar.reach(done);
        }
    };
    let case = Case::read(&patient.model.transformer, &patient.inputs, effort.clone(), &tell)?;
    let findings = examine(&case, only)?;
    Ok(Examination {
        texts: patient.texts.clone(),
        findings,
        pictures: case.pictures()?,
        loss: case.loss()?.map(|loss| loss.mean),
        null_mass: case.null_mass(),
    })
}

/// Prints, writes the page, and says how it ends.
fn report(
    arguments: &Arguments,
    model: &Model,
    found: &Examination,
    trial: Option<(Trial, Value)>,
) -> Result<End> {
    let (trial, treatment) = trial.unzip();
    let checkup = Checkup {
        model: model.name.clone(),
        note: model.note.clone(),
        texts: found.texts.clone(),
        entries: found.findings.iter().map(entries::entry).collect(),
        pictures: entries::pictures(&found.pictures),
        trial,
    };
    if let Some(file) = &arguments.html {
        let page = checkup.html().context("while making the page")?;
        write_file(file, page.as_bytes()).with_context(|| format!("could not write {}", file.display()))?;
        say::note(format_args!("wrote {}", file.display()));
    }
    if arguments.json {
        say::result(serde_json::to_string_pretty(&json!({
            "model": model.name,
            "note": model.note,
            "texts": found.texts,
            "loss": found.loss,
            "findings": found.findings,
            "pictures": found.pictures,
            "treatment": treatment,
        }))?)?;
    } else {
        say::result(table::checkup(&checkup, say::width()))?;
    }
    let alarm = found.findings.iter().any(Finding::is_alarm);
    Ok(if alarm && arguments.strict { End::Incomplete } else { End::Success })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn failure_modes_are_chosen_by_name() {
        assert_eq!(chosen(None).unwrap().len(), failures().len());
        let two: Vec<_> = chosen(Some("massive, sink")).unwrap().iter().map(|failure| failure.name).collect();
        assert_eq!(two, ["massive", "sink"]);
        assert!(chosen(Some("cold")).unwrap_err().to_string().contains("--only cold"));
    }
}
