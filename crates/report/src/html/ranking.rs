//! The page's rankings: one table a task, and the mean rank over tasks.

use crate::loss;
use crate::ranking::{Pair, Ranked, Ranking, TaskRanking};
use crate::record::lengths;
use crate::summary::Summary;
use crate::terminal::below;

/// One task's ranking as the template lays it out.
pub(super) struct Table {
    pub(super) task: String,
    pub(super) task_index: usize,
    /// What is ranked: `exact match in percent at lengths 81–160`.
    pub(super) what: String,
    pub(super) rows: Vec<Row>,
    pub(super) note: String,
}

/// A ranked column, or an unranked one with the reason in place of its number.
pub(super) struct Row {
    pub(super) rank: String,
    pub(super) column: String,
    pub(super) column_index: usize,
    pub(super) mean: String,
    pub(super) interval: String,
    pub(super) best: String,
    pub(super) fit: String,
    pub(super) better_than: Vec<Beaten>,
}

/// A column that is told apart below another.
pub(super) struct Beaten {
    pub(super) column: String,
    pub(super) title: String,
}

/// A column and its mean rank.
pub(super) struct Mean {
    pub(super) column: String,
    pub(super) column_index: usize,
    pub(super) rank: String,
}

/// Of the tasks on which there is something to rank.
pub(super) fn tables(summary: &Summary, ranking: &Ranking) -> Vec<Table> {
    let uneven = ranking.tasks.iter().filter(|task| !task.is_even());
    uneven.map(|task| table(summary, task)).collect()
}

pub(super) fn means(summary: &Summary, ranking: &Ranking) -> Vec<Mean> {
    if ranking.over.len() < 2 {
        return Vec::new();
    }
    let mean = |r: &crate::ranking::MeanRank| Mean {
        column_index: summary.column_index(&r.column),
        column: r.column.clone(),
        rank: format!("{:.2}", r.rank),
    };
    ranking.mean_ranks.iter().map(mean).collect()
}

fn table(summary: &Summary, task: &TaskRanking) -> Table {
    let (from, to) = task.lengths;
    let what = match task.metric {
        "loss" => "loss in nats, lower is better",
        "token" => "labels right in percent",
        _ => "exact match in percent",
    };
    let unranked = task.unranked.iter().map(|column| Row {
        rank: "–".to_owned(),
        column_index: summary.column_index(&column.column),
        column: column.column.clone(),
        mean: column.reason.to_owned(),
        interval: String::new(),
        best: String::new(),
        fit: String::new(),
        better_than: Vec::new(),
    });
    Table {
        task: task.task.clone(),
        task_index: summary.tasks.iter().position(|t| *t == task.task).unwrap_or(0),
        what: format!("{what}, {}", lengths(from, to)),
        rows: task.ranked.iter().map(|r| row(summary, task, r)).chain(unranked).collect(),
        note: task.note.clone().unwrap_or_default(),
    }
}

fn row(summary: &Summary, task: &TaskRanking, ranked: &Ranked) -> Row {
    let number = |score: f64| match task.metric {
        "loss" => loss::nats(score),
        _ => format!("{:.1}", score * 100.0),
    };
    let range = |(low, high): (f64, f64)| match (number(low), number(high)) {
        (low, high) if low == high => String::new(),
        (low, high) => format!("{low} – {high}"),
    };
    let beaten = task.pairs.iter().filter(|pair| pair.told_apart && pair.better == ranked.column);
    let title = |pair: &Pair| {
        let by = number(pair.difference);
        let between = pair.interval.map(range).filter(|text| !text.is_empty());
        let between = between.map_or(String::new(), |text| format!(" ({text})"));
        format!("better by {by}{between}, p {}", pair.p_holm.map_or(String::new(), below))
    };
    let judged = summary.cell(&task.task, &ranked.column).map_or(0, |cell| cell.counts.judged());
    Row {
        rank: ranked.rank.to_string(),
        column_index: summary.column_index(&ranked.column),
        column: ranked.column.clone(),
        mean: number(ranked.mean),
        interval: ranked.interval.map_or(String::new(), range),
        best: if ranked.runs > 1 { number(ranked.best) } else { String::new() },
        fit: match ranked.fit_interval.filter(|_| judged > 1 && task.metric != "loss") {
            Some((low, high)) => {
                format!("{}/{judged} ({:.0} – {:.0} %)", ranked.fit, low * 100.0, high * 100.0)
            }
            None if judged == 1 && task.metric != "loss" => format!("{}/1", ranked.fit),
            None => String::new(),
        },
        better_than: beaten.map(|pair| Beaten { column: pair.worse.clone(), title: title(pair) }).collect(),
    }
}
