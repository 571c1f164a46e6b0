//! The whole comparison for a terminal: controls, a block for each task, the verdict; and the targets.

use crate::controls::{Behaviour, Controls};
use crate::loss;
use crate::ranking::{Ranked, TaskRanking, p_value};
use crate::record::lengths;
use crate::summary::Summary;
use crate::table::{TableStyle, block, lined, plain, wrapped, wrapped_by};
use crate::targets::{Checked, CheckedTarget, Status};
use crate::verdict::Verdict;

/// First what controls say; then one block a task: a row for each column with seeds, fit, every bin, the best seed and the
/// length at which it breaks, chance as the last row, published numbers with the difference below the row they belong to,
/// and the ranking; the verdict in words at the end. A task without a right answer has losses instead.
pub fn terminal_table(summary: &Summary, style: TableStyle) -> String {
    let width = usize::from(style.width);
    let verdict = Verdict::of(summary);
    let mut out = String::new();
    if let Some(headline) = &verdict.headline {
        out.push_str(&wrapped(headline, width));
        out.push('\n');
    }
    out.push_str(&controls(&verdict.controls, &verdict.control_text, width));
    let mut notes: Vec<&str> = Vec::new();
    for task in &summary.tasks {
        let block = if summary.by_loss(task) { loss::block } else { block };
        out.push_str(&block(summary, task, style));
        if let Some(ranking) = verdict.ranking.task(task) {
            out.push_str(&ranked(ranking, width));
            // Most tasks have the same number of runs, and the note says the same of each.
            if let Some(note) =
                ranking.note.as_deref().filter(|note| !ranking.is_even() && !notes.contains(note))
            {
                out.push_str(&wrapped(note, width));
                notes.push(note);
            }
        }
        out.push('\n');
    }
    let told = verdict.tasks.iter().map(|task| format!("{}: {}", task.task, task.text));
    let lines = [verdict.progress].into_iter().chain(verdict.overall).chain(told).chain(verdict.caveats);
    for line in lines {
        out.push_str(&wrapped(&line, width));
    }
    out
}

fn controls(controls: &Controls, without: &str, width: usize) -> String {
    let mut out = String::from("Controls\n");
    for check in &controls.checks {
        let mark = match check.behaviour {
            Behaviour::Holds => "✓",
            Behaviour::Open => "○",
            Behaviour::Misbehaves => "✕",
        };
        out.push_str(&wrapped_by(&format!("  {mark} {}", check.text), width, 4));
    }
    if controls.absent.contains(&crate::controls::Kind::OrderFree) || controls.checks.is_empty() {
        out.push_str(&wrapped_by(&format!("  ○ {without}"), width, 4));
    }
    if let Some(absent) = controls.absent_text() {
        out.push_str(&wrapped_by(&format!("  ○ {absent}"), width, 4));
    }
    out.push('\n');
    out
}

/// Columns by rank, better ones first, and the pairs that are told apart.
fn ranked(ranking: &TaskRanking, width: usize) -> String {
    if ranking.is_even() {
        return String::new();
    }
    let (from, to) = ranking.lengths;
    let mut parts: Vec<String> = Vec::new();
    let mut rest = ranking.ranked.as_slice();
    while let Some(first) = rest.first() {
        let same = rest.iter().take_while(|r| r.rank == first.rank).count();
        let (group, later) = rest.split_at(same);
        let names: Vec<String> = group.iter().map(|r| scored(r, ranking.metric)).collect();
        parts.push(format!("{}. {}", first.rank, names.join(", ")));
        rest = later;
    }
    for column in &ranking.unranked {
        parts.push(format!("– {} ({})", column.column, column.reason));
    }
    let mut out = wrapped(&format!("ranking at {}: {}", lengths(from, to), parts.join("  ")), width);
    let apart: Vec<String> = ranking
        .pairs
        .iter()
        .filter(|pair| pair.told_apart)
        .map(|pair| {
            let p = pair.p_holm.map_or(String::new(), |p| format!(" (p {})", below(p)));
            format!("{} over {}{p}", pair.better, pair.worse)
        })
        .collect();
    if !apart.is_empty() {
        let tests = ranking.pairs.iter().filter(|pair| pair.p.is_some()).count();
        let corrected = if tests > 1 { format!(", corrected for {tests} pairs") } else { String::new() };
        let line = format!("told apart: {} (permutation test{corrected})", apart.join(", "));
        out.push_str(&wrapped(&line, width));
    }
    out
}

/// `= 0.024`, `< 0.001`
pub(crate) fn below(p: f64) -> String {
    format!("{} {}", if p < 0.001 { "<" } else { "=" }, p_value(p))
}

fn scored(ranked: &Ranked, metric: &str) -> String {
    match metric {
        "loss" => format!("{} {}", ranked.column, loss::nats(ranked.mean)),
        _ => format!("{} {:.1}", ranked.column, ranked.mean * 100.0),
    }
}

/// Every published number and finding with its status, and the count of each status as the last line.
pub fn targets_table(checked: &Checked, style: TableStyle) -> String {
    let width = usize::from(style.width);
    let mut out = String::new();
    if !checked.numbers.is_empty() {
        let mut table = lined(style);
        table.set_header(["task", "encoding", "published ± tolerance → ours, %", "runs", "status"]);
        for number in &checked.numbers {
            let status = plain(&number.status.to_string());
            let status = match colour(number.status) {
                Some(colour) => status.fg(colour),
                None => status,
            };
            let numbers = plain(&numbers(number).join("\n"));
            let cell = |text: &str| plain(&crate::table::clean(text));
            table.add_row([cell(&number.task), cell(&number.position), numbers, cell(&number.runs), status]);
        }
        let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
        out.push_str(&format!("Published numbers\n{}\n", lines.join("\n")));
        for (source, about) in sources(checked) {
            out.push_str(&wrapped(&format!("{about}: {source}"), width));
        }
        out.push('\n');
    }
    if !checked.findings.is_empty() {
        out.push_str("Findings\n");
        for finding in &checked.findings {
            out.push_str(&wrapped_by(&format!("  {}: {}", finding.status, finding.says), width, 4));
            for part in &finding.parts {
                out.push_str(&wrapped_by(&format!("    {}: {}", part.of, part.found), width, 6));
            }
        }
        out.push('\n');
    }
    out.push_str(&checked.summary());
    out.push('\n');
    out
}

/// `98.7 ± 5 → 97.2 [95.0, 99.9] at 101–150`, one for each bin.
pub(crate) fn numbers(number: &CheckedTarget) -> Vec<String> {
    let one = |bin: &crate::targets::CheckedBin| {
        let theirs = format!("{} ± {}", bin.published, bin.tolerance);
        let at =
            bin.lengths.map_or(String::new(), |(from, to)| format!(" at {}", crate::record::range(from, to)));
        let ours = match (bin.ours, bin.interval) {
            (Some(ours), Some((low, high))) if format!("{low:.1}") != format!("{high:.1}") => {
                format!(" → {ours:.1} [{low:.1}, {high:.1}]")
            }
            (Some(ours), _) => format!(" → {ours:.1}"),
            (None, _) => String::new(),
        };
        format!("{theirs}{ours}{at}")
    };
    number.bins.iter().map(one).collect()
}

/// Each source once, with the cells whose numbers it gave.
fn sources(checked: &Checked) -> Vec<(String, String)> {
    let mut sources: Vec<(String, Vec<String>)> = Vec::new();
    for number in &checked.numbers {
        let details = [number.protocol.clone(), number.note.clone()].into_iter().flatten();
        let source = [number.source.clone()].into_iter().chain(details).collect::<Vec<_>>().join("; ");
        let cell = format!("{} with {}", number.task, number.position);
        match sources.iter_mut().find(|(known, _)| *known == source) {
            Some((_, cells)) => cells.push(cell),
            None => sources.push((source, vec![cell])),
        }
    }
    sources.into_iter().map(|(source, cells)| (source, crate::verdict::join(&cells))).collect()
}

fn colour(status: Status) -> Option<comfy_table::Color> {
    match status {
        Status::Reproduced => Some(comfy_table::Color::Green),
        Status::NotReproduced => Some(comfy_table::Color::Red),
        Status::Undecided => Some(comfy_table::Color::Yellow),
        Status::NotRun => None,
    }
}
