//! Other inputs for the runs that are results: shuffled strings, and strings that were not trained on.

use super::{Behaviour, Case, Check, Kind, check as combined};
use crate::record::BinScore;
use crate::statistics::{Interval, wilson_share};
use crate::summary::{Cell, Summary};

/// Standard deviations of a 95 % interval.
const Z: f64 = 1.96;
/// A fall of an order-free task up to here is not worth a word.
const SLACK: f64 = 0.01;
/// A gap between strings that were trained on and others from which on it is memory.
const FAR: f64 = 0.1;

/// A share pooled over the runs of a cell, with the different strings behind it.
struct Pooled {
    share: f64,
    strings: f64,
}

impl Pooled {
    /// Weighted by strings; `None` without any.
    fn over(parts: impl Iterator<Item = (f64, f64)>) -> Option<Pooled> {
        let (right, strings) =
            parts.fold((0.0, 0.0), |(r, n), (share, strings)| (r + share * strings, n + strings));
        (strings > 0.0).then(|| Pooled { share: right / strings, strings })
    }

    fn interval(&self) -> Option<Interval> {
        wilson_share(self.share, self.strings.round() as usize, Z)
    }

    /// Whether this is below `other` by more than the strings' number explains.
    fn is_below(&self, other: &Pooled) -> bool {
        self.interval().zip(other.interval()).is_some_and(|(this, other)| this.high < other.low)
    }
}

/// The training lengths of every run that learned them.
fn learned(cell: &Cell) -> impl Iterator<Item = &BinScore> {
    cell.runs.iter().filter(|run| run.fits).filter_map(|run| run.bins.first())
}

fn strings(bin: &BinScore) -> f64 {
    bin.distinct.min(bin.sequences) as f64
}

/// On input whose symbols are shuffled, order-sensitive tasks must suffer and order-free ones must not. Under the protocol
/// prefix an order-free task has labels of prefixes, which shuffling changes: it is left out, and so are tasks of which
/// the grid does not say whether order matters.
pub(super) fn permuted(summary: &Summary) -> Option<Check> {
    let cases = summary.cells.iter().filter_map(|cell| {
        let must_fall = match cell.class.as_deref() {
            Some("order") => true,
            Some("control") if cell.protocol.as_deref() != Some("prefix") => false,
            _ => return None,
        };
        let both = |bin: &BinScore| Some((bin.permuted?.of(cell.metric), strings(bin)));
        let shuffled = Pooled::over(learned(cell).filter_map(both))?;
        let own = learned(cell).filter(|bin| bin.permuted.is_some());
        let own = Pooled::over(own.map(|bin| (bin.accuracy.of(cell.metric), strings(bin))))?;
        let falls = shuffled.is_below(&own);
        let right = if must_fall { falls } else { !falls || own.share - shuffled.share <= SLACK };
        Some(Case {
            task: cell.task.clone(),
            column: cell.column.clone(),
            behaviour: if right { Behaviour::Holds } else { Behaviour::Misbehaves },
            found: format!("{:.1} % → {:.1} %", own.share * 100.0, shuffled.share * 100.0),
        })
    });
    combined(
        Kind::PermutedInput,
        cases.collect(),
        [
            &|who| format!("Shuffling the input's symbols does what it should: {who}."),
            &|_| String::new(),
            &|who| {
                format!(
                    "Shuffling the input's symbols does not do what it should: {who}. An order-sensitive task that does \
                     not suffer is solved without order, and an order-free one that suffers is not order-free."
                )
            },
        ],
    )
}

/// Test strings within the training lengths of which a share was trained on: the others must not score far lower.
pub(super) fn unseen(summary: &Summary) -> Option<Check> {
    let cases = summary.cells.iter().filter_map(|cell| {
        let with_share = || learned(cell).filter_map(|bin| Some((bin, bin.seen?)));
        let seen = Pooled::over(with_share().map(|(bin, seen)| (seen, strings(bin))))?.share;
        let all = Pooled::over(with_share().map(|(bin, _)| (bin.accuracy.of(cell.metric), strings(bin))))?;
        let new = with_share()
            .filter_map(|(bin, seen)| Some((bin.unseen?.of(cell.metric), (1.0 - seen) * strings(bin))));
        let (behaviour, found) = match Pooled::over(new) {
            None => (Behaviour::Open, "every test string was trained on".to_owned()),
            Some(new) => {
                let far = all.share - new.share > FAR && new.is_below(&all);
                let found = format!(
                    "{:.0} % trained on; {:.1} % right, of the others {:.1} %",
                    seen * 100.0,
                    all.share * 100.0,
                    new.share * 100.0
                );
                (if far { Behaviour::Misbehaves } else { Behaviour::Holds }, found)
            }
        };
        Some(Case { task: cell.task.clone(), column: cell.column.clone(), behaviour, found })
    });
    combined(
        Kind::UnseenStrings,
        cases.collect(),
        [
            &|who| format!("Test strings that were not trained on score no lower: {who}."),
            &|who| {
                format!(
                    "On the training lengths, learning the rule cannot be told from memorising the strings: {who}. The \
                     bins beyond decide."
                )
            },
            &|who| {
                format!(
                    "Strings are memorised: {who}. The score on the training lengths is not one of the rule."
                )
            },
        ],
    )
}
