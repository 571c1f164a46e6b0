//! Curves of a head: how its attention depends on distance, on the key's place, on how many keys one keeps.

/// How many neighbouring points of a long curve become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thin {
    /// Their mean: for shares by distance.
    Mean,
    /// Their largest: for peaks that must stay, such as a sink.
    Max,
    /// The last of them: for curves that only rise.
    Last,
}

/// One kind of curve, with the abscissae that all heads of a reading share.
#[derive(Clone, Debug, PartialEq)]
pub struct CurveInfo {
    /// What it is called in data: `distance`, `alpha`, `mass`.
    pub name: String,
    /// What it is called in the page: "Distance profile".
    pub title: String,
    /// What lies along it, with its unit: "distance in tokens".
    pub x_title: String,
    /// What it shows: "mean weight".
    pub y_title: String,
    /// Whether the abscissa is logarithmic (log(1 + x), so that 0 is on it).
    pub log_x: bool,
    /// Where the points are, ascending.
    pub x: Vec<f64>,
    /// What uniform attention would give at each; same length, or none.
    pub baseline: Option<Vec<f64>>,
    /// What becomes of more than 256 points.
    pub thin: Thin,
}

/// One head's curve.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// The head's layer.
    pub layer: usize,
    /// The head.
    pub head: usize,
    /// Which curve: an index into [`super::Reading::curves`].
    pub curve: usize,
    /// One value for each abscissa; not-a-number where there is none.
    pub y: Vec<f32>,
}

/// Points of a curve in the page at most.
const MOST: usize = 256;

/// Where the groups of points of a curve end: every point alone up to 256 of them, else equal steps of the axis.
pub(super) fn groups(curve: &CurveInfo) -> Vec<usize> {
    let n = curve.x.len();
    let (Some(&first), Some(&last)) = (curve.x.first(), curve.x.last()) else { return Vec::new() };
    let place = |x: f64| if curve.log_x { (1.0 + x.max(0.0)).ln() } else { x };
    let span = place(last) - place(first);
    if n <= MOST || !span.is_finite() || span <= 0.0 {
        return (1..=n).collect();
    }
    let step = |x: f64| ((place(x) - place(first)) / span * MOST as f64).floor().min(MOST as f64 - 1.0);
    let mut ends: Vec<usize> = (1..n)
        .filter(|&i| curve.x.get(i).map(|x| step(*x)) != curve.x.get(i - 1).map(|x| step(*x)))
        .collect();
    ends.push(n);
    ends
}

/// One value a group; the abscissae are thinned by their mean.
pub(super) fn thinned(values: impl Fn(usize) -> f64, ends: &[usize], thin: Thin) -> Vec<f64> {
    let mut start = 0;
    ends.iter()
        .map(|&end| {
            let group = (start..end).map(&values);
            let count = (end - start) as f64;
            start = end;
            match thin {
                Thin::Mean => group.sum::<f64>() / count,
                Thin::Max => group.fold(f64::NAN, f64::max),
                Thin::Last => group.last().unwrap_or(f64::NAN),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(n: usize, log_x: bool) -> CurveInfo {
        CurveInfo {
            name: "alpha".into(),
            title: "Sink profile".into(),
            x_title: "key".into(),
            y_title: "α".into(),
            log_x,
            x: (0..n).map(|x| x as f64).collect(),
            baseline: None,
            thin: Thin::Max,
        }
    }

    #[test]
    fn short_curves_keep_every_point_and_long_ones_their_peaks() {
        assert_eq!(groups(&curve(200, false)).len(), 200);
        for log_x in [false, true] {
            let ends = groups(&curve(32_768, log_x));
            assert!(ends.len() <= MOST && ends.last() == Some(&32_768));
            let peak = thinned(|i| if i == 31_000 { 0.9 } else { 0.0 }, &ends, Thin::Max);
            assert!(peak.contains(&0.9));
        }
        // On a logarithmic axis the first points stay alone.
        assert_eq!(groups(&curve(32_768, true))[..4], [1, 2, 3, 4]);
        assert!(groups(&curve(0, true)).is_empty());
    }
}
