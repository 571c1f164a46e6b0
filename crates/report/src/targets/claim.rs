//! A finding held against results.

use serde::Serialize;

use super::{Group, Ours, Status};
use crate::read::Results;
use crate::record::{Claim, Population};
use crate::significance::bootstrap_difference;

/// A finding, and whether it came out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CheckedClaim {
    /// The finding in words.
    pub says: String,
    /// Whether it holds of everything that it is asked of.
    pub status: Status,
    /// One entry for each cell or pair that it is asked of.
    pub parts: Vec<Part>,
    /// Paper and table.
    pub source: Option<String>,
}

/// A finding asked of one cell or one pair of cells.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Part {
    /// What is measured, such as `none − rope` or `rope`.
    pub of: String,
    /// What came out.
    pub status: Status,
    /// Percent, or points for a difference.
    pub ours: Option<f64>,
    /// Lower and upper end of its bootstrap interval over seeds.
    pub interval: Option<(f64, f64)>,
    /// The same with what was wanted, and with the runs it is over; or why there is nothing.
    pub found: String,
}

/// Asks the finding of every cell that it is about.
pub(super) fn check(results: &Results, claim: &Claim) -> CheckedClaim {
    let mut parts = Vec::new();
    if let (Some(better), Some(worse)) = (&claim.better, &claim.worse) {
        for task in tasks(results, claim) {
            let sides = [(task.as_str(), better.as_str()), (task.as_str(), worse.as_str())];
            parts.push(pair(results, claim, sides, format!("{better} − {worse}")));
        }
    } else if let (Some(easier), Some(harder)) = (&claim.easier, &claim.harder) {
        for position in positions(results, claim) {
            let sides = [(easier.as_str(), position.as_str()), (harder.as_str(), position.as_str())];
            parts.push(pair(results, claim, sides, format!("{easier} − {harder}, {position}")));
        }
    } else {
        let tasks = tasks(results, claim);
        for task in &tasks {
            for position in positions(results, claim) {
                let name = if tasks.len() > 1 { format!("{task}, {position}") } else { position.clone() };
                parts.push(single(results, claim, task, &position, name));
            }
        }
    }
    let statuses: Vec<Status> = parts.iter().map(|part| part.status).collect();
    CheckedClaim {
        says: claim.says.clone(),
        status: Status::together(&statuses),
        parts,
        source: claim.source.clone(),
    }
}

fn tasks(results: &Results, claim: &Claim) -> Vec<String> {
    named(claim.task.as_ref(), results.of_results().map(|run| &run.planned.task))
}

fn positions(results: &Results, claim: &Claim) -> Vec<String> {
    let one = claim.position.as_ref().filter(|position| *position != "*");
    named(one, results.of_results().map(|run| &run.planned.position))
}

/// The one that is named, or all there are.
fn named<'a>(one: Option<&String>, all: impl Iterator<Item = &'a String>) -> Vec<String> {
    if let Some(one) = one {
        return vec![one.clone()];
    }
    let mut names: Vec<String> = Vec::new();
    for name in all {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

/// The bin asked for, from 0, with its lengths; the longest if none is.
fn bin(claim: &Claim, group: &Group) -> Result<(usize, (usize, usize)), String> {
    let bins = match group.bins() {
        _ if group.planned == 0 => return Err("no such runs in this grid".to_owned()),
        _ if group.done.is_empty() => return Err(format!("0 of {} seeds", group.planned)),
        Some(bins) => bins,
        None => return Err("runs with different bins".to_owned()),
    };
    let longest = || (0..bins.len()).max_by_key(|&i| bins.get(i).map(|(from, to)| (*to, *from)));
    let index = claim.bin.map_or_else(longest, |bin| bin.checked_sub(1));
    let found = index.and_then(|index| Some((index, *bins.get(index)?)));
    found.ok_or_else(|| format!("no bin {}", claim.bin.unwrap_or(1)))
}

fn part(of: String, ours: Option<Ours>, status: Status, found: String) -> Part {
    Part {
        of,
        status,
        ours: ours.map(|ours| ours.value),
        interval: ours.and_then(|ours| ours.interval).map(|i| (i.low, i.high)),
        found,
    }
}

/// `better` above `worse`, or `easier` above `harder`, by at least `by`.
fn pair(results: &Results, claim: &Claim, sides: [(&str, &str); 2], of: String) -> Part {
    let [a, b] = sides.map(|(task, position)| Group::of(results, task, position));
    let (index, lengths) = match (bin(claim, &a), bin(claim, &b)) {
        (Ok(at), Ok(other)) if at == other => at,
        // Two tasks may differ in their lengths, then what they share is the bin's number.
        (Ok(at), Ok(other)) if claim.easier.is_some() && at.0 == other.0 => at,
        (Ok(_), Ok(_)) => return part(of, None, Status::NotRun, "runs with different bins".to_owned()),
        (Err(why), _) | (_, Err(why)) => return part(of, None, Status::NotRun, why),
    };
    let [x, y] = [&a, &b].map(|group| group.scores(claim.of, claim.metric, index));
    let (Some(high), Some(low)) = (Ours::over(&x, claim.of), Ours::over(&y, claim.of)) else {
        return none_fits(of);
    };
    let paired = x.len() == y.len() && x.iter().zip(&y).all(|(x, y)| x.0 == y.0);
    let values = |of: &[(u64, f64)]| -> Vec<f64> { of.iter().map(|(_, score)| *score).collect() };
    let difference = high.value - low.value;
    let interval = match claim.of {
        Population::Best => Some(crate::statistics::Interval { low: difference, high: difference }),
        _ => bootstrap_difference(&values(&x), &values(&y), paired),
    };
    let ours = Ours { value: difference, interval };
    let by = claim.by.unwrap_or(0.0);
    let status = match ours.interval {
        // Above by any amount, but above.
        Some(i) if by == 0.0 && i.low <= 0.0 && i.high > 0.0 => Status::Undecided,
        Some(i) if by == 0.0 && i.high <= 0.0 => Status::NotReproduced,
        _ => ours.is_at_least(by),
    };
    let found = format!(
        "{:.1} − {:.1} = {} points at {}, wanted {}; {}",
        high.value,
        low.value,
        ours.text(),
        crate::record::lengths(lengths.0, lengths.1),
        if by == 0.0 { "above 0".to_owned() } else { format!("at least {by}") },
        match (a.seeds(), b.seeds()) {
            (one, other) if one == other => one,
            (one, other) => format!("{one} against {other}"),
        }
    );
    part(of, Some(ours), status, found)
}

/// `drop`, `below`, `above` of one cell.
fn single(results: &Results, claim: &Claim, task: &str, position: &str, of: String) -> Part {
    let group = Group::of(results, task, position);
    let (index, (from, to)) = match bin(claim, &group) {
        Ok(found) => found,
        Err(why) => return part(of, None, Status::NotRun, why),
    };
    let scores = group.scores(claim.of, claim.metric, index);
    let Some(there) = Ours::over(&scores, claim.of) else {
        return none_fits(of);
    };
    let at = crate::record::lengths(from, to);
    if let Some(wanted) = claim.drop {
        let trained = group.scores(claim.of, claim.metric, 0);
        let falls: Vec<(u64, f64)> = trained.iter().zip(&scores).map(|(a, b)| (a.0, a.1 - b.1)).collect();
        let first = Ours::over(&trained, claim.of);
        let (Some(first), Some(fall)) = (first, Ours::over(&falls, Population::All)) else {
            return none_fits(of);
        };
        let fall = match claim.of {
            Population::Best => {
                let value = first.value - there.value;
                Ours { value, interval: Some(crate::statistics::Interval { low: value, high: value }) }
            }
            _ => fall,
        };
        let found = format!(
            "{:.1} → {:.1} at {at}: falls by {} points, wanted at least {wanted}; {}",
            first.value,
            there.value,
            fall.text(),
            group.seeds()
        );
        return part(of, Some(fall), fall.is_at_least(wanted), found);
    }
    let bounds = [
        claim.below.map(|bound| (there.is_at_most(bound), format!("at most {bound}"))),
        claim.above.map(|bound| (there.is_at_least(bound), format!("at least {bound}"))),
    ];
    let (statuses, wanted): (Vec<Status>, Vec<String>) = bounds.into_iter().flatten().unzip();
    let found = format!("{} % at {at}, wanted {}; {}", there.text(), wanted.join(" and "), group.seeds());
    part(of, Some(there), Status::together(&statuses), found)
}

fn none_fits(of: String) -> Part {
    part(of, None, Status::NotReproduced, "no seed fits the training lengths".to_owned())
}
