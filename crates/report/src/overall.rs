//! The comparison in one paragraph: who wins where, what did not train, what the controls say.

use crate::controls::{Behaviour, Controls};
use crate::counts::Finding;
use crate::ranking::{Ranking, TaskRanking};
use crate::summary::{Cell, Summary};
use crate::verdict::{join, noun, title};

/// More names than these are counted and not listed.
const MOST_NAMED: usize = 5;

/// Everything in it follows from the numbers; a grid without a comparison has none.
pub(crate) fn paragraph(summary: &Summary, ranking: &Ranking, controls: &Controls) -> Option<String> {
    if summary.columns.len() < 2 || summary.cells.iter().all(|cell| cell.counts.done() == 0) {
        return None;
    }
    let mut sentences = winners(summary, ranking);
    sentences.extend(untrained(summary));
    sentences.extend(mean_ranks(ranking));
    sentences.extend(guarded(controls));
    (!sentences.is_empty()).then(|| sentences.join(" "))
}

fn winners(summary: &Summary, ranking: &Ranking) -> Vec<String> {
    let mut sentences = Vec::new();
    let every = format!("every {}", noun(summary));
    let all_hold = |task: &str| summary.of_task(task).all(|cell| cell.finding == Finding::Generalises);
    let (solved, open): (Vec<_>, Vec<_>) =
        ranking.tasks.iter().filter(|r| !r.ranked.is_empty()).partition(|r| all_hold(&r.task));
    let (mut told, mut few_runs, mut alike) = (Vec::new(), Vec::new(), Vec::new());
    for task in open.into_iter().filter(|task| task.ranked.len() > 1 && !task.is_even()) {
        match (task.is_decided(), task.decidable) {
            (true, _) => told.push(task),
            (false, false) => few_runs.push(task),
            (false, true) => alike.push(task.task.clone()),
        }
    }
    for (columns, tasks) in grouped(&told, TaskRanking::first) {
        let on = few(&tasks, "tasks");
        sentences.push(match columns.as_slice() {
            [one] => format!("{one} is first on {on}."),
            several => format!("{} share the first rank on {on}.", few(several, "columns")),
        });
    }
    if !alike.is_empty() {
        let on = few(&alike, "tasks");
        sentences.push(format!("no two columns differ on {on} by more than {} explain.", summary.unit()));
    }
    if !few_runs.is_empty() {
        let leads = grouped(&few_runs, TaskRanking::leaders)
            .into_iter()
            .map(|(columns, tasks)| format!("{} on {}", few(&columns, "columns"), few(&tasks, "tasks")));
        let leads: Vec<String> = leads.collect();
        sentences.push(format!(
            "the {} are too few to tell columns apart; the best mean has {}.",
            summary.unit(),
            leads.join("; ")
        ));
    }
    let place = match summary.bin {
        Some(bin) => format!("In bin {bin}"),
        None => "At the longest lengths".to_owned(),
    };
    for (index, sentence) in sentences.iter_mut().enumerate() {
        // Names of columns keep their letters; the words of a sentence begin with a capital.
        let is_own = ["no two", "the "].iter().any(|start| sentence.starts_with(start));
        match index {
            0 => *sentence = format!("{place}, {sentence}"),
            _ if is_own => *sentence = capital(sentence),
            _ => {}
        }
    }
    if !solved.is_empty() {
        let solved: Vec<String> = solved.iter().map(|task| task.task.clone()).collect();
        sentences.push(format!(
            "With {every}, {} hold{} wherever tested.",
            few(&solved, "tasks"),
            one_s(&solved)
        ));
    }
    sentences
}

/// Tasks by the columns that `of` names, in the order in which those first come up.
fn grouped(tasks: &[&TaskRanking], of: fn(&TaskRanking) -> Vec<String>) -> Vec<(Vec<String>, Vec<String>)> {
    let mut groups: Vec<(Vec<String>, Vec<String>)> = Vec::new();
    for task in tasks {
        let columns = of(task);
        match groups.iter_mut().find(|(known, _)| *known == columns) {
            Some((_, tasks)) => tasks.push(task.task.clone()),
            None => groups.push((columns, vec![task.task.clone()])),
        }
    }
    groups
}

fn untrained(summary: &Summary) -> Option<String> {
    let never = summary.cells.iter().filter(|cell| cell.finding == Finding::FailsToTrain);
    let name =
        |cell: &Cell| format!("{} with {} (0 of {})", cell.task, title(summary, cell), cell.counts.judged());
    let names: Vec<String> = never.map(name).collect();
    (!names.is_empty())
        .then(|| format!("Failed to train, which says nothing of longer inputs: {}.", few(&names, "cells")))
}

fn mean_ranks(ranking: &Ranking) -> Option<String> {
    let several = ranking.over.len() > 1 && ranking.mean_ranks.len() > 1;
    several.then(|| {
        let ranks = ranking.mean_ranks.iter().map(|r| format!("{} {:.2}", r.column, r.rank));
        let ranks: Vec<String> = ranks.collect();
        format!(
            "Mean rank by mean score over the {} tasks on which all trained: {}.",
            ranking.over.len(),
            ranks.join(", ")
        )
    })
}

fn guarded(controls: &Controls) -> Vec<String> {
    let of = |wanted: Behaviour| -> Vec<String> {
        let these = controls.checks.iter().filter(|check| check.behaviour == wanted);
        these.map(|check| check.kind.name().to_owned()).collect()
    };
    let said =
        |names: Vec<String>, what: &str| (!names.is_empty()).then(|| format!("{what}: {}", join(&names)));
    let parts: Vec<String> = [
        said(of(Behaviour::Misbehaves), "misbehaving"),
        said(of(Behaviour::Open), "open"),
        said(of(Behaviour::Holds), "as foretold"),
        said(controls.absent.iter().map(|kind| kind.name().to_owned()).collect(), "absent"),
    ]
    .into_iter()
    .flatten()
    .collect();
    if parts.is_empty() { Vec::new() } else { vec![format!("Controls {}.", parts.join("; "))] }
}

fn few(names: &[String], what: &str) -> String {
    match names.len() {
        n if n > MOST_NAMED => {
            let first: Vec<String> = names.iter().take(MOST_NAMED - 1).cloned().collect();
            format!("{n} {what} ({} and others)", first.join(", "))
        }
        _ => join(names),
    }
}

fn capital(sentence: &str) -> String {
    let mut letters = sentence.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

fn one_s(names: &[String]) -> &'static str {
    if names.len() == 1 { "s" } else { "" }
}
