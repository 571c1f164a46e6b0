//! Tasks without a right answer, such as a text: what they come to is the loss per token in nats, and lower is better.

use comfy_table::{Attribute, Cell as Field};

use crate::counts::Finding;
use crate::estimate::Estimate;
use crate::record::lengths;
use crate::summary::{BinSummary, Cell, Summary};
use crate::table::{TableStyle, clean, ending, length_titles, plain, ranges, seeds, titled};
use crate::verdict::{join, title};

/// More columns than these are not all named in a sentence.
const MOST_NAMED: usize = 6;
/// Characters of a loss with the space around it, of its interval and of its perplexity.
const WIDTHS: [usize; 3] = [9, 17, 12];

/// A loss as tables write it.
pub(crate) fn nats(loss: f64) -> String {
    format!("{loss:.3}")
}

/// How many equally likely tokens the model is as unsure as. Of a mean over runs it is the geometric mean over them.
pub(crate) fn perplexity(loss: f64) -> String {
    match loss.exp() {
        p if p < 100.0 => format!("{p:.2}"),
        p if p < 1e6 => format!("{p:.0}"),
        p => format!("{p:.1e}"),
    }
}

/// The ends of an interval that reads as one.
pub(crate) fn interval(estimate: &Estimate) -> Option<(String, String)> {
    let i = estimate.interval?;
    let (low, high) = (nats(i.low), nats(i.high));
    (low != high).then_some((low, high))
}

/// The task's block in the terminal: the loss in every bin, the lowest in bold.
pub(crate) fn block(summary: &Summary, task: &str, style: TableStyle) -> String {
    let cells: Vec<&Cell> = summary.of_task(task).collect();
    let ranges = ranges(&cells);
    let remarks: Vec<String> = cells.iter().map(|cell| remark(cell)).collect();
    let remarked = remarks.iter().any(|remark| !remark.is_empty());
    let (intervals, perplexities) = room(&cells, ranges.len(), usize::from(style.width), remarked);

    let mut header = vec![plain(&clean(&summary.by)), plain(summary.unit())];
    header.extend(length_titles(&ranges));
    if remarked {
        header.push(plain("ended"));
    }
    let row = |(cell, remark): (&&Cell, String)| {
        let name = plain(&clean(&cell.column)).add_attribute(Attribute::Bold);
        let mut row = vec![name, plain(&seeds(&cell.counts))];
        for range in &ranges {
            let lowest = ranked(&cells, *range).first().map(|(_, loss)| nats(loss.mean));
            row.push(loss_of(cell, *range).map_or(plain(""), |loss| {
                let field = plain(&text(&loss, intervals, perplexities));
                mark(field, cells.len() > 1 && lowest == Some(nats(loss.mean)))
            }));
        }
        if remarked {
            row.push(plain(&remark));
        }
        row
    };
    let rows = cells.iter().zip(remarks).map(row).collect();
    let numbers = match perplexities {
        true => "loss per token in nats and perplexity, lower is better",
        false => "loss per token in nats, lower is better",
    };
    titled(summary, task, numbers, header, rows, style)
}

fn mark(field: Field, lowest: bool) -> Field {
    if lowest { field.add_attribute(Attribute::Bold) } else { field }
}

fn remark(cell: &Cell) -> String {
    match ending(cell) {
        none if none == "–" => String::new(),
        some => some,
    }
}

/// Whether intervals, and then perplexities, fit into `width` characters.
fn room(cells: &[&Cell], bins: usize, width: usize, remarked: bool) -> (bool, bool) {
    let longest = cells.iter().map(|cell| cell.column.chars().count()).max().unwrap_or(0);
    let names = longest.max(8) + 12 + if remarked { 16 } else { 0 };
    let [loss, interval_width, perplexity] = WIDTHS;
    let any = cells.iter().flat_map(|c| &c.bins).any(|b| b.loss.is_some_and(|l| interval(&l).is_some()));
    let intervals = any && names + bins * (loss + interval_width) <= width;
    let used = if intervals { loss + interval_width } else { loss };
    // Perplexity says nothing new: where intervals exist they come first.
    (intervals, (intervals || !any) && names + bins * (used + perplexity) <= width)
}

fn text(loss: &Estimate, intervals: bool, perplexities: bool) -> String {
    let mut text = nats(loss.mean);
    if let Some((low, high)) = interval(loss).filter(|_| intervals) {
        text.push_str(&format!(" [{low}, {high}]"));
    }
    if perplexities {
        text.push_str(&format!(" ppl {}", perplexity(loss.mean)));
    }
    text
}

/// The task's verdict, which is none: losses at the training lengths and at the longest, lowest first.
pub(crate) fn sentences(summary: &Summary, cells: &[&Cell]) -> Vec<String> {
    let all: Vec<(usize, usize)> = ranges(cells);
    let mut shown: Vec<(usize, usize)> = all.first().into_iter().chain(all.last()).copied().collect();
    shown.dedup();
    let ranking: Vec<_> = shown.iter().map(|range| (*range, ranked(cells, *range))).collect();
    let parts: Vec<String> = ranking
        .iter()
        .filter(|(_, ranked)| !ranked.is_empty())
        .enumerate()
        .map(|(index, ((from, to), ranked))| {
            let named = named(summary, ranked);
            match (index, named.split_once(' ')) {
                (0, Some((best, rest))) => {
                    format!("Loss {best} nats per token at {} {rest}", lengths(*from, *to))
                }
                _ => format!("at {} it is {named}", lengths(*from, *to)),
            }
        })
        .collect();
    let mut sentences = Vec::new();
    if !parts.is_empty() {
        sentences.push(format!("{}; no right answer, so no verdict.", parts.join("; ")));
        if ranking.iter().any(|(_, ranked)| unsettled(ranked)) {
            sentences.push(format!(
                "The intervals of the best two overlap: more {} may change their order.",
                summary.unit()
            ));
        }
    }
    let diverged: Vec<String> = cells
        .iter()
        .filter(|cell| cell.finding == Finding::Measured && cell.counts.diverged > 0)
        .map(|c| format!("{} ({} of {})", title(summary, c), c.counts.diverged, c.counts.done()))
        .collect();
    if !diverged.is_empty() {
        sentences.push(format!("Left out are {} that diverged: {}.", summary.unit(), join(&diverged)));
    }
    sentences
}

/// `1.93 with rope (best), 2.10 with none and 2.31 with alibi`.
fn named(summary: &Summary, ranked: &[(&Cell, Estimate)]) -> String {
    let short = |loss: &Estimate| format!("{:.2}", loss.mean);
    let best = ranked.first().map(|(_, loss)| short(loss));
    let one = |(cell, loss): &(&Cell, Estimate)| {
        let is_best = ranked.len() > 1 && best == Some(short(loss));
        format!("{} with {}{}", short(loss), title(summary, cell), if is_best { " (best)" } else { "" })
    };
    match ranked {
        [first, .., last] if ranked.len() > MOST_NAMED => {
            format!("{}, up to {} (worst of {})", one(first), one(last), ranked.len())
        }
        _ => join(&ranked.iter().map(one).collect::<Vec<_>>()),
    }
}

fn unsettled(ranked: &[(&Cell, Estimate)]) -> bool {
    match ranked {
        [(_, best), (_, second), ..] => {
            best.interval.zip(second.interval).is_some_and(|(best, second)| best.high >= second.low)
        }
        _ => false,
    }
}

/// The cells that have a loss in a bin, lowest first.
fn ranked<'a>(cells: &[&'a Cell], range: (usize, usize)) -> Vec<(&'a Cell, Estimate)> {
    let mut ranked: Vec<_> = cells.iter().filter_map(|cell| Some((*cell, loss_of(cell, range)?))).collect();
    ranked.sort_by(|a, b| a.1.mean.total_cmp(&b.1.mean));
    ranked
}

fn loss_of(cell: &Cell, range: (usize, usize)) -> Option<Estimate> {
    let inside = |bin: &&BinSummary| (bin.from, bin.to) == range;
    cell.bins.iter().find(inside).and_then(|bin| bin.loss)
}
