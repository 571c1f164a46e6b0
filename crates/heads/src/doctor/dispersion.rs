//! Dispersion with length: heads that are sharp among few keys and spread among many.

use attnlab_hooks::{Change, HookSpec, Point, Site};

use super::case::{Case, Head};
use super::finding::Verdict;
use super::finding::{HeadEvidence, Measured, Role, Unit};
use super::rows::Rows;
use super::{Examined, Failure, Result, by_layer, of_heads, sort};

/// Rows of an early head give their largest key more than this: it is sharp.
const SHARP: f64 = 0.5;
/// A sharp head disperses if its largest weight falls below this part of what it was.
const KEPT: f64 = 0.5;
/// The shortest text in which early and late rows differ by enough.
const LEAST_TOKENS: usize = 64;

pub(super) const FAILURE: Failure = Failure {
    name: "dispersion",
    title: "dispersion with length",
    about: "the largest weight of a row, in rows near T/8 and in the last quarter of a text of T tokens; a head is \
            concerned where the early one lies above 0.5 and the late one is less than half of it, both by the interval. \
            A head whose scores span Δ cannot give any key half of its weight past n₅₀ = 1 + e^Δ keys",
    severity: "the share of the sharp heads that disperse",
    source: "Veličković et al. 2024 (arXiv 2410.01104); Chiang & Cholak 2022 (arXiv 2202.12172); the thresholds are this \
             project's",
    higher_is_worse: false,
    examine,
};

fn mean_top(rows: &Rows, from: usize, to: usize) -> Option<f64> {
    let rows = rows.rows.get(from..to).filter(|rows| !rows.is_empty())?;
    Some(rows.iter().map(|row| row.top).sum::<f64>() / rows.len() as f64)
}

/// Rows T/16 to T/8.
fn early(rows: &Rows) -> Option<f64> {
    mean_top(rows, rows.rows.len() / 16, rows.rows.len() / 8)
}

/// The last quarter.
fn late(rows: &Rows) -> Option<f64> {
    mean_top(rows, rows.rows.len() - rows.rows.len() / 4, rows.rows.len())
}

fn examine(case: &Case<'_>) -> Result<Examined> {
    let shortest = case.shortest();
    if shortest < LEAST_TOKENS {
        return Ok(Examined::cannot_tell(format!(
            "the shortest text has {shortest} tokens; early and late rows compare from {LEAST_TOKENS} on: give longer texts"
        )));
    }
    let (early, late) = (case.of_rows(early)?, case.of_rows(late)?);
    let ratios = case.of_rows(|rows| Some(self::late(rows)? / self::early(rows)?))?;
    let sharp: Vec<Head> =
        early.iter().filter(|(_, top)| top.is_above(&[SHARP])).map(|(at, _)| *at).collect();
    let mut heads = Vec::new();
    for at in &sharp {
        let (Some(ratio), Some(late)) = (ratios.get(at), late.get(at)) else { continue };
        if !ratio.is_below(&[KEPT]) {
            continue;
        }
        let range = case.of_head(*at, |head| head.mean("score_range")).map(|range| range.mean);
        let n_50 = range.map_or(String::new(), |range| {
            format!("; no key gets half past about {:.0} keys", 1.0 + range.exp())
        });
        heads.push(HeadEvidence {
            layer: at.0,
            head: at.1,
            metric: "late over early largest weight",
            estimate: *ratio,
            uniform: Some(0.11),
            random: None,
            note: format!("largest weight {:.2} early, {:.2} late{n_50}", early[at].mean, late.mean),
        });
    }
    sort(&mut heads);
    heads.reverse();
    let concerned = heads.len();
    let mut found = Examined::by_heads(heads);
    found.severity = concerned as f64 / sharp.len().max(1) as f64;
    found.measure = super::Interval::of_some(case.rows()?.iter().map(|text| {
        let ratios: Vec<f64> = sharp
            .iter()
            .filter_map(|at| Some(self::late(text.get(at)?)? / self::early(text.get(at)?)?))
            .collect();
        (!ratios.is_empty()).then(|| ratios.iter().sum::<f64>() / ratios.len() as f64)
    }))
    .map(|estimate| Measured {
        what: format!("late over early largest weight, mean over the {} sharp heads", sharp.len()),
        estimate,
        uniform: None,
        random: None,
        threshold: KEPT,
    });
    if sharp.is_empty() {
        found.says.push("No head is sharp in early rows, so that none can disperse.".to_owned());
        return Ok(found);
    }
    if found.verdict == Verdict::Absent {
        return Ok(found);
    }
    found.says.push(format!(
        "{} are sharp among the first keys of a text and give their largest key less than half of that weight at its end.",
        of_heads(concerned, case)
    ));
    // Scores times ln n / ln n_early for the last rows, by one factor: that of the text's end.
    let did = format!("sharpened {concerned} dispersing heads in the second half of each text by ln n");
    let sharpened = case.intervene(did, |_, input| {
        let len = input.len();
        let factor = (len as f64).ln() / (len as f64 / 8.0).max(2.0).ln();
        let rows: Vec<usize> = (len / 2..len).collect();
        let spec = |(layer, heads): (usize, Vec<usize>)| {
            let name = Point::block(Site::Scores, layer).to_string();
            HookSpec::edit(name, Change::Scale(factor)).heads(heads).rows(rows.clone())
        };
        Ok(by_layer(&found.heads).into_iter().map(spec).collect())
    })?;
    if let Some(sharpened) = sharpened {
        let by = format!(
            "{:+.3} ({:+.3} to {:+.3})",
            sharpened.effect.mean, sharpened.effect.low, sharpened.effect.high
        );
        found.benign = sharpened.role != Role::Harmful && sharpened.unit == Unit::Loss;
        found.says.push(match (sharpened.role, sharpened.unit) {
            (Role::Harmful, _) => {
                format!("Sharper scores there lower the loss by {by} nats: the spreading costs.")
            }
            (_, Unit::Loss) => {
                format!("Sharper scores there move the loss by {by} nats: the spreading costs nothing here.")
            }
            _ => format!(
                "There is no loss to judge by; sharper scores move the final states by {by} of their length."
            ),
        });
        found.causal.push(sharpened);
    }
    Ok(found)
}
