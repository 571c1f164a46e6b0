//! What the numbers mean, in sentences.

use crate::controls::Controls;
use crate::counts::Finding;
use crate::loss;
use crate::overall;
use crate::ranking::Ranking;
use crate::record::lengths;
use crate::summary::{Cell, Summary};

/// The grid's verdict in parts, for whoever lays it out.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// That controls misbehave, if they do: the first line of every report.
    pub headline: Option<String>,
    /// The whole comparison in one paragraph; none without columns to compare.
    pub overall: Option<String>,
    /// Who is better where.
    pub ranking: Ranking,
    /// What had to come out as foretold, and whether it did.
    pub controls: Controls,
    /// How many runs have ended, and what became of the others.
    pub progress: String,
    /// One entry for each task, in the grid's order.
    pub tasks: Vec<TaskVerdict>,
    /// Whether the order-free control passes.
    pub control: Control,
    /// The control's status as a sentence.
    pub control_text: String,
    /// What limits the numbers above.
    pub caveats: Vec<String>,
}

/// What is said of one task.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskVerdict {
    /// What the task is called.
    pub task: String,
    /// One to five sentences.
    pub text: String,
}

/// The order-free bag control: a task that needs no word order must be passed by every encoding, or the failures on the
/// other tasks may be the setup's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Every encoding passes.
    Passes,
    /// Some encoding does not.
    Fails,
    /// A trivial predictor passes it, so that passing it shows nothing.
    Trivial,
    /// Every encoding learns it, but not every run was tested beyond the training lengths.
    Untested,
    /// Not every encoding has ended.
    Unfinished,
    /// The grid has none.
    Absent,
    /// Nothing in the grid is judged, so nothing has to be guarded.
    NotNeeded,
}

/// The verdict as plain text: misbehaving controls, progress, the whole in a paragraph, one line a task, the order-free
/// control, the caveats.
pub fn verdict(summary: &Summary) -> String {
    let parts = Verdict::of(summary);
    let mut lines: Vec<String> =
        parts.headline.into_iter().chain([parts.progress]).chain(parts.overall).collect();
    for task in parts.tasks {
        lines.push(format!("{}: {}", task.task, task.text));
    }
    lines.push(parts.control_text);
    lines.extend(parts.caveats);
    lines.join("\n")
}

impl Verdict {
    /// Judges a summary.
    pub fn of(summary: &Summary) -> Verdict {
        let (control, control_text) = control(summary);
        let tasks = summary
            .tasks
            .iter()
            .map(|task| TaskVerdict { task: task.clone(), text: task_text(summary, task) })
            .collect();
        let (ranking, controls) = (Ranking::of(summary), Controls::of(summary));
        Verdict {
            headline: controls.headline(),
            overall: overall::paragraph(summary, &ranking, &controls),
            ranking,
            controls,
            progress: progress(summary),
            tasks,
            control,
            control_text,
            caveats: caveats(summary),
        }
    }
}

fn progress(summary: &Summary) -> String {
    let c = &summary.counts;
    if c.done() == c.planned {
        return match c.planned {
            1 => "The one run has finished.".to_owned(),
            n => format!("All {n} runs have finished."),
        };
    }
    let mut rest = Vec::new();
    for (n, word) in [(c.running, "under way"), (c.waiting, "waiting"), (c.unreadable, "unreadable")] {
        if n > 0 {
            rest.push(format!("{n} {word}"));
        }
    }
    format!("{} of {} runs have finished ({}).", c.done(), c.planned, rest.join(", "))
}

fn task_text(summary: &Summary, task: &str) -> String {
    let cells: Vec<&Cell> = summary.of_task(task).collect();
    let ended = cells.iter().filter(|c| c.finding != Finding::Unfinished).count();
    let mut sentences = Vec::new();
    if summary.by_loss(task) {
        sentences.extend(loss::sentences(summary, &cells));
    }
    let mut say = |wanted: &dyn Fn(&Cell) -> Option<String>, sentence: &dyn Fn(&str) -> String| {
        let named: Vec<String> = cells.iter().filter_map(|cell| wanted(cell)).collect();
        if named.is_empty() {
            return;
        }
        // "every encoding" only where it saves reading: with details in the names they stay.
        let plain = named.iter().all(|n| !n.contains(" ("));
        let all = named.len() == ended && ended == cells.len() && named.len() > 2 && plain;
        let who = if all { format!("every {}", noun(summary)) } else { join(&named) };
        sentences.push(sentence(&who));
    };
    let name = |cell: &Cell| title(summary, cell);
    let unit = summary.unit();
    let longest = cells.iter().filter_map(|c| c.longest()).max().unwrap_or(0);
    let trained = cells.iter().find_map(|c| c.train_lengths);
    let trained = trained.map_or("the training lengths".to_owned(), |(from, to)| lengths(from, to));
    say(&|c| (c.finding == Finding::Generalises).then(|| name(c)), &|who| {
        format!("Holds up to length {longest} with {who}.")
    });
    say(
        &|c| match c.finding {
            Finding::FailsToGeneralise(at) => Some(format!("{} (from {})", name(c), whole(at))),
            _ => None,
        },
        &|who| format!("Learned on {trained}, but breaks at longer inputs with {who}."),
    );
    say(
        &|c| match c.finding {
            Finding::Mixed(at) => Some(format!(
                "{} ({} of {} {unit} {} break, from about {})",
                name(c),
                c.counts.fail_to_generalise,
                c.counts.tested(),
                if c.counts.fits == 0 { "that learned it" } else { "tested beyond" },
                whole(at)
            )),
            _ => None,
        },
        &|who| format!("Depends on the {} with {who}.", unit.trim_end_matches('s')),
    );
    say(&|c| (c.finding == Finding::Fits).then(|| name(c)), &|who| {
        format!(
            "Learned on {trained} with {who}, but not tested beyond: says nothing about longer inputs; add longer \
             ones to `eval.bins`."
        )
    });
    let constant = format!("a constant answer passes the bar on {trained}");
    let remedy = "raise `eval.solved` or change the task";
    say(
        &|c| {
            let diverged = match c.counts.diverged {
                0 => String::new(),
                n => format!(" ({n} of {} {unit} diverged)", c.counts.done()),
            };
            (c.finding == Finding::Trivial).then(|| name(c) + &diverged)
        },
        &|who| format!("With {who}, {constant}: the task as set shows nothing; {remedy}."),
    );
    say(
        &|c| {
            (c.finding == Finding::FailsToTrain)
                .then(|| format!("{} (0 of {} {unit})", name(c), c.counts.judged()))
        },
        &|who| {
            format!(
                "Never learned {trained} with {who}: a failure to train, which says nothing about longer inputs."
            )
        },
    );
    say(&|c| (c.finding == Finding::Diverged).then(|| name(c)), &|who| {
        format!("Training diverged with {who}.")
    });
    say(
        &|c| {
            let partial = c.counts.fit() > 0 && c.counts.fit() < c.counts.judged();
            partial.then(|| format!("{} ({} of {} {unit})", name(c), c.counts.fit(), c.counts.judged()))
        },
        &|who| {
            format!(
                "Not every {} learned {trained} with {who}; the verdict is about those that did.",
                unit.trim_end_matches('s')
            )
        },
    );
    say(
        &|c| {
            let partial = c.finding != Finding::Fits && c.counts.fits > 0;
            partial.then(|| format!("{} ({} of {} {unit})", name(c), c.counts.tested(), c.counts.fit()))
        },
        &|who| {
            format!(
                "Not all that learned {trained} were tested beyond with {who}; the verdict is about those that were."
            )
        },
    );
    say(
        &|c| {
            let partial = c.finding != Finding::Trivial && c.counts.trivial > 0;
            partial.then(|| format!("{} ({} of {} {unit})", name(c), c.counts.trivial, c.counts.done()))
        },
        &|who| {
            format!(
                "In part, {constant} with {who}: those {unit} show nothing, and the verdict is about the others; \
                 {remedy}."
            )
        },
    );
    say(&|c| (c.finding == Finding::Unfinished).then(|| name(c)), &|who| {
        format!("No finished run yet with {who}.")
    });
    sentences.join(" ")
}

/// The order-free control of a summary, and what is said of it.
pub(crate) fn control(summary: &Summary) -> (Control, String) {
    let cells: Vec<&Cell> = summary.cells.iter().filter(|cell| summary.is_order_free(&cell.task)).collect();
    if cells.is_empty() {
        if !summary.tasks.is_empty() && summary.tasks.iter().all(|task| summary.by_loss(task)) {
            return (
                Control::NotNeeded,
                "There are only losses to compare, so no control is needed.".to_owned(),
            );
        }
        return (
            Control::Absent,
            "No order-free control: add a `majority` task, or a failure may be the setup's and not the encoding's."
                .to_owned(),
        );
    }
    let named = |c: &Cell| format!("{} with {}", c.task, title(summary, c));
    let failing: Vec<String> = cells
        .iter()
        .filter(|c| {
            matches!(
                c.finding,
                Finding::FailsToTrain | Finding::Diverged | Finding::FailsToGeneralise(_) | Finding::Mixed(_)
            )
        })
        .map(|c| named(c))
        .collect();
    if !failing.is_empty() {
        return (
            Control::Fails,
            format!(
                "The order-free control fails: {}. It needs no word order, so look at the setup (training length, \
                 learning rate, size) before blaming an encoding.",
                join(&failing)
            ),
        );
    }
    let trivial: Vec<String> = cells.iter().filter(|c| c.counts.trivial > 0).map(|c| named(c)).collect();
    if !trivial.is_empty() {
        return (
            Control::Trivial,
            format!(
                "The order-free control shows nothing, because a constant answer passes its bar: {}. Raise \
                 `eval.solved` or change its task; until then a failure may be the setup's.",
                join(&trivial)
            ),
        );
    }
    if cells.iter().any(|c| {
        !matches!(c.finding, Finding::Generalises | Finding::Fits) || c.counts.done() < c.counts.planned
    }) {
        return (
            Control::Unfinished,
            "The order-free control has not finished; until then a failure may be the setup's.".to_owned(),
        );
    }
    let untested: Vec<String> = cells.iter().filter(|c| c.counts.fits > 0).map(|c| named(c)).collect();
    if !untested.is_empty() {
        return (
            Control::Untested,
            format!(
                "The order-free control learns its training lengths, but is untested beyond them: {}. A failure on \
                 longer inputs may be the setup's; add longer ones to `eval.bins`.",
                join(&untested)
            ),
        );
    }
    (
        Control::Passes,
        format!(
            "The order-free control (majority) passes with every {}: what fails elsewhere is not a fault of the setup as a whole.",
            noun(summary)
        ),
    )
}

fn caveats(summary: &Summary) -> Vec<String> {
    let mut caveats = Vec::new();
    if !summary.mixed.is_empty() {
        caveats.push(format!(
            "Each number is also a mean over {}; `attnlab compare DIR --by {}` shows them apart.",
            join(&summary.mixed),
            summary.keys.iter().chain(&summary.mixed).cloned().collect::<Vec<_>>().join(",")
        ));
    }
    let done = |c: &&Cell| c.counts.done() > 0;
    if summary.cells.iter().any(|c| done(&c))
        && summary.cells.iter().filter(done).all(|c| c.counts.done() == 1)
    {
        caveats.push("One run for each number: no interval, and another seed may differ.".to_owned());
    }
    caveats
}

pub(crate) fn noun(summary: &Summary) -> String {
    match summary.keys.as_slice() {
        [key] if key == "position" => "encoding".to_owned(),
        keys => format!("value of {}", join(keys)),
    }
}

pub(crate) fn title(summary: &Summary, cell: &Cell) -> String {
    match summary.keys.as_slice() {
        [key] if key != "position" => format!("{key} = {}", cell.column),
        _ => cell.column.clone(),
    }
}

pub(crate) fn whole(length: f64) -> String {
    format!("{length:.0}")
}

pub(crate) fn join(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}
