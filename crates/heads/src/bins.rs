//! Distances in bins: each of its own near by, a quarter of an octave far away.

/// Distances below this have a bin of their own.
const NEAR: usize = 64;
/// Bins between a distance and its double.
const PER_OCTAVE: f64 = 4.0;

/// `begin..end` of each bin, for keys at most `longest − 1` away.
pub(crate) fn distance_bins(longest: usize) -> Vec<[usize; 2]> {
    let mut bins: Vec<[usize; 2]> = (0..longest.min(NEAR)).map(|d| [d, d + 1]).collect();
    let mut begin = NEAR;
    for step in 1.. {
        if begin >= longest {
            break;
        }
        let end = (NEAR as f64 * (f64::from(step) / PER_OCTAVE).exp2()).round() as usize;
        bins.push([begin, end.min(longest)]);
        begin = end;
    }
    bins
}

/// Mass and number of pairs of a query and a key, by distance.
#[derive(Clone, Debug, Default)]
pub(crate) struct ByDistance {
    bins: Vec<[usize; 2]>,
    /// The mass of each bin.
    mass: Vec<f64>,
    /// By how much the number of pairs changes from one distance to the next.
    pairs: Vec<i64>,
}

impl ByDistance {
    pub(crate) fn new(longest: usize) -> Self {
        let bins = distance_bins(longest);
        Self { mass: vec![0.0; bins.len()], pairs: vec![0; longest + 1], bins }
    }

    /// Counts keys that lie `nearest..last` away, and adds the mass of those from [`NEAR`] on.
    fn add(&mut self, nearest: usize, last: usize, mass: impl Fn(usize, usize) -> f64) {
        for (place, by) in [(nearest, 1), (last, -1)] {
            if let Some(pairs) = self.pairs.get_mut(place) {
                *pairs += by;
            }
        }
        let far = self.bins.iter().zip(&mut self.mass).skip(NEAR);
        for (&[begin, end], sum) in far.take_while(|([begin, _], _)| *begin < last) {
            let (begin, end) = (begin.max(nearest), end.min(last));
            if begin < end {
                *sum += mass(begin, end);
            }
        }
    }

    /// Adds a row's keys up to the query itself; `before` is i less the first key.
    pub(crate) fn add_behind(&mut self, weights: &[f32], before: usize) {
        let nearest = (before + 1).saturating_sub(weights.len());
        let weights = &weights[..weights.len().min(before + 1)];
        let last = before + 1;
        let near = self.mass.iter_mut().take(NEAR).skip(nearest);
        for (sum, &a) in near.zip(weights.iter().rev()) {
            *sum += f64::from(a);
        }
        self.add(nearest, last, |begin, end| total(&weights[last - end..last - begin]));
    }

    /// Adds a row's keys after the query.
    pub(crate) fn add_ahead(&mut self, weights: &[f32], before: usize) {
        let weights = weights.get(before + 1..).unwrap_or(&[]);
        if weights.is_empty() {
            return;
        }
        for (sum, &a) in self.mass.iter_mut().take(NEAR).skip(1).zip(weights) {
            *sum += f64::from(a);
        }
        self.add(1, weights.len() + 1, |begin, end| total(&weights[begin - 1..end - 1]));
    }

    /// The mean weight of a pair in each bin; none where there is no pair.
    pub(crate) fn means(&self) -> Vec<Option<f32>> {
        let mut now = 0;
        let pairs: Vec<i64> = self
            .pairs
            .iter()
            .map(|change| {
                now += change;
                now
            })
            .collect();
        let mean = |(&mass, &[begin, end]): (&f64, &[usize; 2])| {
            let pairs: i64 = pairs.get(begin..end)?.iter().sum();
            (pairs > 0).then(|| (mass / pairs as f64) as f32)
        };
        self.mass.iter().zip(&self.bins).map(mean).collect()
    }
}

/// The sum of a few or many weights.
fn total(weights: &[f32]) -> f64 {
    let (chunks, rest) = weights.as_chunks::<8>();
    let mut lanes = [0f64; 8];
    for chunk in chunks {
        for (lane, &a) in lanes.iter_mut().zip(chunk) {
            *lane += f64::from(a);
        }
    }
    lanes.iter().sum::<f64>() + rest.iter().map(|&a| f64::from(a)).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_cover_every_distance_once() {
        for longest in [0, 1, 63, 64, 65, 100, 1024, 32768] {
            let bins = distance_bins(longest);
            let mut next = 0;
            for [begin, end] in bins {
                assert_eq!(begin, next);
                assert!(begin < end);
                next = end;
            }
            assert_eq!(next, longest);
        }
        assert_eq!(
            distance_bins(200)[64..],
            [[64, 76], [76, 91], [91, 108], [108, 128], [128, 152], [152, 181], [181, 200]]
        );
    }

    #[test]
    fn each_pair_lands_in_the_bin_of_its_distance() {
        let row: Vec<f32> = (0..150).map(|j| (j + 1) as f32).collect();
        // Keys 20 to 169, query 100.
        let (mut behind, mut ahead) = (ByDistance::new(200), ByDistance::new(200));
        behind.add_behind(&row, 80);
        ahead.add_ahead(&row, 80);
        let expected = |side: i64| {
            let bins = distance_bins(200).into_iter();
            let mean = |[begin, end]: [usize; 2]| {
                let keys = (20..170i64).filter(|j| {
                    let away = (100 - j) * side;
                    away >= begin as i64 && away < end as i64 && (side > 0 || away > 0)
                });
                let weights: Vec<f32> = keys.map(|j| (j - 19) as f32).collect();
                (!weights.is_empty()).then(|| weights.iter().sum::<f32>() / weights.len() as f32)
            };
            bins.map(mean).collect::<Vec<_>>()
        };
        assert_eq!(behind.means(), expected(1));
        assert_eq!(ahead.means(), expected(-1));
    }
}
