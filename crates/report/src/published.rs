//! Published numbers beside ours.

use crate::record::{Metric, Population, Target};
use crate::summary::BinSummary;

/// Published numbers beside ours.
#[derive(Clone, Debug, PartialEq)]
pub struct PublishedBins {
    /// Paper and table.
    pub source: String,
    /// Which accuracy they are.
    pub metric: Metric,
    /// Percent by bin.
    pub percent: Vec<f64>,
    /// Ours minus theirs, in points, where both exist. Ours is of the runs that theirs is of: all, those that fit (none
    /// where none does), or the best.
    pub difference: Vec<Option<f64>>,
}

impl Target {
    /// Whether it is about a task and an encoding of these names.
    pub fn is_about(&self, task: &str, position: &str) -> bool {
        let same = |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|w| w == found);
        same(&self.task, task) && same(&self.position, position)
    }

    /// Whether its numbers are about bins of these lengths.
    pub fn fits_bins(&self, bins: impl ExactSizeIterator<Item = (usize, usize)>) -> bool {
        match &self.bins {
            Some(wanted) => bins.len() == 0 || bins.eq(wanted.iter().map(|[from, to]| (*from, *to))),
            None => true,
        }
    }
}

impl PublishedBins {
    pub(crate) fn beside(target: &Target, bins: &[BinSummary]) -> PublishedBins {
        let difference = target
            .percent
            .iter()
            .enumerate()
            .map(|(i, theirs)| {
                let bin = bins.get(i)?;
                let ours = match target.of {
                    Population::All => bin.all.of(target.metric).mean,
                    Population::Fitting => bin.fitting?.of(target.metric).mean,
                    Population::Best => bin.all.of(target.metric).best,
                };
                Some(ours * 100.0 - theirs)
            })
            .collect();
        PublishedBins {
            source: target.source.clone(),
            metric: target.metric,
            percent: target.percent.clone(),
            difference,
        }
    }
}
