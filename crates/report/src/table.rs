//! One task for a terminal: a table.

use comfy_table::{
    Attribute, Cell as Field, CellAlignment, Color, ContentArrangement, LineStyle, Table, TableStyle as Lines,
};

use crate::counts::{Counts, Finding};
use crate::estimate::Estimate;
use crate::record::{Metric, range};
use crate::summary::{Cell, Summary};
use crate::verdict::whole;

/// How the table may look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableStyle {
    /// Characters a line may have.
    pub width: u16,
    /// Whether escape codes may be used.
    pub colour: bool,
}

/// What of a row may be left out in a narrow terminal.
#[derive(Clone, Copy)]
struct Detail {
    /// The intervals of the bins.
    intervals: bool,
    /// The best seed's score.
    best: bool,
    /// The interval of the share that fits.
    share: bool,
}

/// The first column may be broken over lines beyond this width.
const WIDEST_NAME: usize = 20;

const LINES: Lines = Lines::new()
    .top_border(LineStyle::none().fill('─').junction('─'))
    .header_separator(LineStyle::none().fill('─').junction('─'))
    .bottom_border(LineStyle::none().fill('─').junction('─'));

/// The task's table, with as much detail as fits.
pub(crate) fn block(summary: &Summary, task: &str, style: TableStyle) -> String {
    let cells: Vec<&Cell> = summary.of_task(task).collect();
    let metric = cells.first().map_or(summary.metric, |c| c.metric);
    let ranges = ranges(&cells);
    let name = match metric {
        Metric::Exact => "exact match, %",
        Metric::Token => "labels right, %",
    };
    let details = [
        (true, true, true),
        (true, true, false),
        (true, false, false),
        (false, true, true),
        (false, false, false),
    ];
    let mut made = details.map(|(intervals, best, share)| {
        let detail = Detail { intervals, best, share };
        let header = header(summary, &cells, &ranges, detail);
        (header, rows(summary, &cells, &ranges, metric, detail))
    });
    let fits = made.iter().position(|(header, rows)| width(header, rows) <= usize::from(style.width));
    let (header, rows) = std::mem::take(&mut made[fits.unwrap_or(details.len() - 1)]);
    titled(summary, task, name, header, rows, style)
}

fn header(summary: &Summary, cells: &[&Cell], ranges: &[(usize, usize)], detail: Detail) -> Vec<Field> {
    let mut header = vec![plain(&clean(&summary.by)), plain(summary.unit()), plain("fit")];
    header.extend(length_titles(ranges));
    header.extend(has_best(cells, detail).then(|| plain("best")));
    header.push(plain("breaks at"));
    header
}

fn rows(
    summary: &Summary,
    cells: &[&Cell],
    ranges: &[(usize, usize)],
    metric: Metric,
    detail: Detail,
) -> Vec<Vec<Field>> {
    let best = has_best(cells, detail);
    let mut rows = Vec::new();
    for cell in cells {
        rows.push(row(cell, ranges, metric, detail, best));
        if cell.counts.fit() > 0 && cell.counts.fit() < cell.counts.judged() {
            rows.push(fitting_row(cell, ranges, metric, detail, best, summary.unit()));
        }
        for index in 0..cell.published.len() {
            rows.push(published_row(cell, index, ranges, best));
        }
    }
    if !ranges.is_empty() {
        rows.push(chance_row(cells, ranges, metric, best));
    }
    rows
}

/// Whether some number is over several runs, so that its best run is another number.
fn has_best(cells: &[&Cell], detail: Detail) -> bool {
    detail.best && cells.iter().any(|cell| cell.runs.len() > 1)
}

/// The width that a table takes without breaking anything but its first column.
fn width(header: &[Field], rows: &[Vec<Field>]) -> usize {
    let mut widest: Vec<usize> = Vec::new();
    for row in rows.iter().map(Vec::as_slice).chain([header]) {
        for (index, field) in row.iter().enumerate() {
            let long = field.content().chars().count();
            let long = if index == 0 { long.min(WIDEST_NAME) } else { long };
            match widest.get_mut(index) {
                Some(width) => *width = long.max(*width),
                None => widest.push(long),
            }
        }
    }
    // A space to each side and one between columns.
    widest.iter().map(|width| width + 3).sum()
}

/// Every bin that a cell has, in their order.
pub(crate) fn ranges(cells: &[&Cell]) -> Vec<(usize, usize)> {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for bin in cells.iter().flat_map(|c| &c.bins) {
        if !ranges.contains(&(bin.from, bin.to)) {
            ranges.push((bin.from, bin.to));
        }
    }
    ranges
}

/// Column titles of the bins, of which the first holds the training lengths.
pub(crate) fn length_titles(ranges: &[(usize, usize)]) -> impl Iterator<Item = Field> {
    ranges.iter().enumerate().map(|(index, (from, to))| {
        let trained = if index == 0 { " (trained)" } else { "" };
        plain(&format!("{}{trained}", range(*from, *to)))
    })
}

/// An empty table with lines over, under and below its header.
pub(crate) fn lined(style: TableStyle) -> Table {
    let mut table = Table::new();
    table.load_style(LINES).set_content_arrangement(ContentArrangement::Dynamic).set_width(style.width);
    if style.colour {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    table
}

/// A table below a line that says what its numbers are, and what they are averaged over besides seeds.
pub(crate) fn titled(
    summary: &Summary,
    task: &str,
    numbers: &str,
    header: Vec<Field>,
    rows: Vec<Vec<Field>>,
    style: TableStyle,
) -> String {
    let mut table = lined(style);
    table.set_header(header);
    table.add_rows(rows);
    for (index, column) in table.column_iter_mut().enumerate() {
        if index > 0 {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let over = match summary.mixed.as_slice() {
        [] => String::new(),
        keys => format!("; mean over {} and seed", keys.join(", ")),
    };
    let lines: Vec<String> = table.lines().map(|l| l.trim_end().to_owned()).collect();
    let title = wrapped(&format!("{task} ({numbers}{over})"), usize::from(style.width));
    format!("{title}{}\n", lines.join("\n"))
}

fn row(cell: &Cell, ranges: &[(usize, usize)], metric: Metric, detail: Detail, best: bool) -> Vec<Field> {
    let mut row = vec![
        plain(&clean(&cell.column)).add_attribute(Attribute::Bold),
        plain(&seeds(&cell.counts)),
        plain(&if detail.share { fit_with_interval(&cell.counts) } else { fit(&cell.counts) }),
    ];
    for range in ranges {
        let bin = cell.bins.iter().find(|b| (b.from, b.to) == *range);
        row.push(bin.map_or(plain(""), |bin| {
            let estimate = bin.all.of(metric);
            let field = plain(&percent(&estimate, detail.intervals));
            field.fg(colour(relative(estimate.mean, bin.chance.of(metric))))
        }));
    }
    if best {
        // Of the longest bin, where runs differ most.
        let longest = cell.bins.iter().max_by_key(|bin| (bin.to, bin.from));
        let best = longest.map(|bin| bin.all.of(metric)).filter(|estimate| estimate.n > 1);
        row.push(plain(&best.map_or(String::new(), |estimate| format!("{:.1}", estimate.best * 100.0))));
    }
    row.push(plain(&ending(cell)));
    row
}

fn fitting_row(
    cell: &Cell,
    ranges: &[(usize, usize)],
    metric: Metric,
    detail: Detail,
    best: bool,
    unit: &str,
) -> Vec<Field> {
    let fit = cell.counts.fit().to_string();
    let mut row = vec![plain(&format!("└ the {unit} that fit")), plain(&fit), plain("")];
    for range in ranges {
        let bin = cell.bins.iter().find(|b| (b.from, b.to) == *range);
        let fitting = bin.and_then(|b| b.fitting);
        row.push(plain(&fitting.map_or(String::new(), |s| percent(&s.of(metric), detail.intervals))));
    }
    row.extend(best.then(|| plain("")));
    row.push(plain(""));
    row
}

fn published_row(cell: &Cell, index: usize, ranges: &[(usize, usize)], best: bool) -> Vec<Field> {
    let Some(published) = cell.published.get(index) else {
        return Vec::new();
    };
    let metric = match published.metric {
        Metric::Exact => "exact",
        Metric::Token => "token",
    };
    let mut row = vec![plain(&format!("└ {} ({metric})", clean(&published.source))), plain(""), plain("")];
    for range in ranges {
        let at = cell.bins.iter().position(|b| (b.from, b.to) == *range);
        let text = at.and_then(|at| {
            let theirs = published.percent.get(at)?;
            Some(match published.difference.get(at).copied().flatten() {
                Some(difference) => format!("{theirs:.1} ({})", signed(difference)),
                None => format!("{theirs:.1}"),
            })
        });
        row.push(plain(&text.unwrap_or_default()));
    }
    row.extend(best.then(|| plain("")));
    row.push(plain("ours−theirs"));
    row
}

fn chance_row(cells: &[&Cell], ranges: &[(usize, usize)], metric: Metric, best: bool) -> Vec<Field> {
    let mut row = vec![plain("chance"), plain(""), plain("")];
    for range in ranges {
        let values: Vec<f64> = cells
            .iter()
            .flat_map(|c| &c.bins)
            .filter(|b| (b.from, b.to) == *range)
            .map(|b| b.chance.of(metric))
            .collect();
        let mean = crate::statistics::mean(&values);
        row.push(plain(&mean.map_or(String::new(), |m| format!("{:.1}", m * 100.0))));
    }
    row.extend(best.then(|| plain("")));
    row.push(plain(""));
    row
}

/// 0 at chance, 1 at perfect; below chance is 0.
pub(crate) fn relative(accuracy: f64, chance: f64) -> f64 {
    if chance >= 1.0 {
        return if accuracy >= 1.0 { 1.0 } else { 0.0 };
    }
    ((accuracy - chance) / (1.0 - chance)).clamp(0.0, 1.0)
}

pub(crate) fn signed(points: f64) -> String {
    let rounded = (points * 10.0).round() / 10.0;
    if rounded == 0.0 {
        "±0.0".to_owned()
    } else if rounded > 0.0 {
        format!("+{rounded:.1}")
    } else {
        format!("−{:.1}", -rounded)
    }
}

/// Runs that have ended, of those planned.
pub(crate) fn seeds(counts: &Counts) -> String {
    if counts.done() == counts.planned {
        counts.planned.to_string()
    } else {
        format!("{}/{}", counts.done(), counts.planned)
    }
}

/// Runs that learned the training lengths, of those judged.
pub(crate) fn fit(counts: &Counts) -> String {
    match counts.judged() {
        0 => "–".to_owned(),
        _ if counts.measured > 0 => "–".to_owned(),
        judged => format!("{}/{judged}", counts.fit()),
    }
}

/// The same with the Wilson interval of the share, in percent, where there are several runs.
fn fit_with_interval(counts: &Counts) -> String {
    let share = crate::statistics::wilson(counts.fit(), counts.judged());
    match share.filter(|_| counts.judged() > 1 && counts.measured == 0) {
        Some(i) => format!("{} [{:.0}, {:.0}]", fit(counts), i.low * 100.0, i.high * 100.0),
        None => fit(counts),
    }
}

/// What the last column says of a cell.
pub(crate) fn ending(cell: &Cell) -> String {
    match cell.finding {
        Finding::Unfinished => "not finished".to_owned(),
        Finding::Measured if cell.counts.diverged > 0 => format!("{} diverged", cell.counts.diverged),
        Finding::Measured => "–".to_owned(),
        Finding::Trivial => "trivial".to_owned(),
        Finding::Diverged => "diverged".to_owned(),
        Finding::FailsToTrain => "did not train".to_owned(),
        Finding::FailsToGeneralise(at) => whole(at),
        Finding::Mixed(at) => {
            format!("{} ({} of {})", whole(at), cell.counts.fail_to_generalise, cell.counts.tested())
        }
        Finding::Fits => "not tested".to_owned(),
        Finding::Generalises => "holds".to_owned(),
    }
}

fn percent(estimate: &Estimate, interval: bool) -> String {
    let mean = estimate.mean * 100.0;
    match estimate.interval.filter(|i| interval && !i.is_invisible()) {
        Some(i) => format!("{mean:.1} [{:.1}, {:.1}]", i.low * 100.0, i.high * 100.0),
        None => format!("{mean:.1}"),
    }
}

fn colour(relative: f64) -> Color {
    match relative {
        r if r >= 0.9 => Color::Green,
        r if r >= 0.3 => Color::Yellow,
        _ => Color::Red,
    }
}

pub(crate) fn plain(text: &str) -> Field {
    Field::new(text)
}

/// A name from a config may hold escape sequences: they do not reach the terminal.
pub(crate) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// A line broken at spaces, its continuation moved in by two.
pub(crate) fn wrapped(line: &str, width: usize) -> String {
    wrapped_by(line, width, 2)
}

/// The same with another indent of what continues.
pub(crate) fn wrapped_by(line: &str, width: usize, indent: usize) -> String {
    let mut out = String::new();
    let mut used = 0;
    // The indent of the first line is no space to break at.
    let line = clean(line);
    let text = line.trim_start();
    let lead = line.len() - text.len();
    out.push_str(&" ".repeat(lead));
    for word in text.split(' ') {
        let long = word.chars().count();
        if used > 0 && lead + used + 1 + long > width.max(40) {
            out.push('\n');
            out.push_str(&" ".repeat(indent));
            used = indent.saturating_sub(lead);
        } else if used > 0 {
            out.push(' ');
            used += 1;
        }
        out.push_str(word);
        used += long;
    }
    out.push('\n');
    out
}
