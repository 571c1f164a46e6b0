//! What a finished run came to, judged by its scores.

use attnlab_report::record::{BinScore, LengthScore, Metric, Outcome};
use attnlab_tasks::Task;

/// What a finished run came to. The first bin holds the training lengths.
///
/// Where a trivial predictor passes the bar on those, neither passing nor failing it says anything of the model, so
/// that is decided first.
pub(crate) fn outcome(
    task: &dyn Task,
    bins: &[BinScore],
    curve: &[LengthScore],
    metric: Metric,
    solved: f64,
) -> Outcome {
    if !task.has_answer() {
        return Outcome::Measured;
    }
    let holds = |bin: &BinScore| bin.accuracy.of(metric) >= solved;
    let Some((first, beyond)) = bins.split_first() else { return Outcome::Measured };
    if first.chance.of(metric) >= solved {
        return Outcome::Trivial;
    }
    if !holds(first) {
        return Outcome::FailsToTrain;
    }
    if beyond.is_empty() {
        return Outcome::Fits;
    }
    let Some(broken) = beyond.iter().find(|bin| !holds(bin)) else { return Outcome::Generalises };
    // One length has few sequences, so a single miss must not count as the break: the length is below the bar, and
    // so is the mean of everything from there on.
    let tail: Vec<&LengthScore> = curve.iter().filter(|score| score.length > first.to).collect();
    let mean = |scores: &[&LengthScore]| {
        scores.iter().map(|s| s.accuracy.of(metric)).sum::<f64>() / scores.len().max(1) as f64
    };
    let breaks = (0..tail.len()).find(|&i| tail[i].accuracy.of(metric) < solved && mean(&tail[i..]) < solved);
    Outcome::FailsToGeneralise { breaks_at: breaks.map_or(broken.from, |i| tail[i].length) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use attnlab_report::record::Accuracy;
    use attnlab_tasks::TaskConfig;

    const SOLVED: f64 = 0.9;

    fn parity() -> Box<dyn Task> {
        toml::from_str::<TaskConfig>("parity = {}").unwrap().build().unwrap()
    }

    /// Both metrics the same.
    fn both(share: f64) -> Accuracy {
        Accuracy { token: share, exact: share }
    }

    fn bin(from: usize, to: usize, accuracy: Accuracy, chance: Accuracy) -> BinScore {
        BinScore {
            from,
            to,
            sequences: 64,
            distinct: 64,
            loss: 0.1,
            accuracy,
            chance,
            permuted: None,
            seen: None,
            unseen: None,
            parts: Vec::new(),
        }
    }

    /// Bins 1–10, 11–20 … of these accuracies, at a chance of one half.
    fn bins(accuracies: &[f64]) -> Vec<BinScore> {
        let tens = accuracies.iter().enumerate();
        tens.map(|(i, &share)| bin(10 * i + 1, 10 * i + 10, both(share), both(0.5))).collect()
    }

    fn curve(points: &[(usize, f64)]) -> Vec<LengthScore> {
        let score = |&(length, share): &(usize, f64)| LengthScore {
            length,
            sequences: 64,
            loss: 0.1,
            accuracy: both(share),
            chance: both(0.5),
        };
        points.iter().map(score).collect()
    }

    fn judged(bins: &[BinScore], curve: &[LengthScore]) -> Outcome {
        outcome(&*parity(), bins, curve, Metric::Exact, SOLVED)
    }

    #[test]
    fn a_run_that_reaches_the_bar_in_every_bin_generalises() {
        assert_eq!(judged(&bins(&[1.0, SOLVED, 0.95]), &[]), Outcome::Generalises);
        // A single length may miss: the bin decides.
        assert_eq!(judged(&bins(&[1.0, 0.95]), &curve(&[(11, 1.0), (12, 0.89)])), Outcome::Generalises);
    }

    #[test]
    fn with_no_bin_beyond_the_training_lengths_a_run_fits_and_does_not_generalise() {
        assert_eq!(judged(&bins(&[SOLVED]), &[]), Outcome::Fits);
        assert_eq!(judged(&bins(&[0.89]), &[]), Outcome::FailsToTrain);
    }

    #[test]
    fn a_run_below_the_bar_on_the_training_lengths_fails_to_train_whatever_it_does_beyond() {
        assert_eq!(judged(&bins(&[0.89, 1.0]), &[]), Outcome::FailsToTrain);
        assert_eq!(judged(&bins(&[0.5, 0.5]), &curve(&[(12, 0.5)])), Outcome::FailsToTrain);
    }

    #[test]
    fn where_a_constant_reaches_the_bar_on_the_training_lengths_passing_and_failing_are_both_trivial() {
        for accuracies in [[1.0, 1.0], [1.0, 0.2], [0.2, 0.2]] {
            let mut bins = bins(&accuracies);
            bins[0].chance = both(SOLVED);
            assert_eq!(judged(&bins, &[]), Outcome::Trivial, "{accuracies:?}");
            assert_eq!(judged(&bins[..1], &[]), Outcome::Trivial, "{accuracies:?}");
        }
        // Short of the bar it is only a high chance; and the bins beyond do not make what was learned trivial.
        let mut hard = bins(&[1.0, 1.0]);
        hard[0].chance = both(0.899);
        hard[1].chance = both(1.0);
        assert_eq!(judged(&hard, &[]), Outcome::Generalises);
    }

    #[test]
    fn accuracy_and_chance_are_both_those_of_the_metric() {
        let accuracy = Accuracy { token: 0.95, exact: 0.3 };
        let scores = [bin(1, 10, accuracy, both(0.1)), bin(11, 20, accuracy, both(0.1))];
        assert_eq!(outcome(&*parity(), &scores, &[], Metric::Token, SOLVED), Outcome::Generalises);
        assert_eq!(outcome(&*parity(), &scores, &[], Metric::Exact, SOLVED), Outcome::FailsToTrain);
        let easy = [bin(1, 10, both(1.0), Accuracy { token: 0.95, exact: 0.3 })];
        assert_eq!(outcome(&*parity(), &easy, &[], Metric::Token, SOLVED), Outcome::Trivial);
        assert_eq!(outcome(&*parity(), &easy, &[], Metric::Exact, SOLVED), Outcome::Fits);
    }

    #[test]
    fn the_break_is_where_accuracy_drops_below_the_bar_and_stays_there_on_average() {
        let breaks = |points: &[(usize, f64)]| judged(&bins(&[1.0, 0.6, 0.5]), &curve(points));
        let at = |breaks_at| Outcome::FailsToGeneralise { breaks_at };
        // Length 9 was trained on: it is no break, and does not count in the means.
        assert_eq!(breaks(&[(9, 0.0), (11, 1.0), (12, 0.8), (13, 0.7), (20, 0.5)]), at(12));
        // 12 misses the bar, but the mean from there on is 0.92; from 17 on it is 0.72 although 18 holds.
        let held = [1.0; 10].map(|share| (14, share));
        let tail = [(17, 0.7), (18, 0.95), (20, 0.5)];
        assert_eq!(breaks(&[&[(11, 1.0), (12, 0.7)], &held[..], &tail].concat()), at(17));
        // With fewer lengths that hold between, the mean from 12 on is 0.77.
        assert_eq!(breaks(&[&[(11, 1.0), (12, 0.7)], &held[..1], &tail].concat()), at(12));
    }

    #[test]
    fn without_a_length_to_blame_the_break_is_at_the_first_bin_below_the_bar() {
        assert_eq!(judged(&bins(&[1.0, 0.95, 0.5]), &[]), Outcome::FailsToGeneralise { breaks_at: 21 });
    }

    #[test]
    fn nothing_is_judged_of_a_text_or_without_scores() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        std::fs::write(&path, "so it goes, and so on. ".repeat(200)).unwrap();
        let text = format!("text = {{ path = {path:?}, tokens = \"bytes\" }}");
        let text = toml::from_str::<TaskConfig>(&text).unwrap().build().unwrap();
        let mut scores = bins(&[1.0, 1.0]);
        scores[0].chance = both(1.0);
        assert_eq!(outcome(&*text, &scores, &[], Metric::Exact, SOLVED), Outcome::Measured);
        assert_eq!(judged(&[], &[]), Outcome::Measured);
    }
}
