//! What a row of a map boils down to: the numbers that every metric reads.
//!
//! A row is digested once, by vector code where it streams by ([`crate::lanes`]) and in f64 where a map is
//! materialised. With A the weights of the keys and A_∅ that of an option to attend to nothing,
//!
//! ```text
//! p_ij = A_ij / (Σ_j A_ij + A_i∅)
//! ```
//! For a softmax that is A itself.

use crate::text::Text;

/// Shares of a row's mass whose number of keys is counted.
pub const SHARES: [f64; 3] = [0.9, 0.95, 0.99];

/// A share counts as reached this much below it, so that the last bit of a sum does not decide.
pub(crate) const SLACK: f64 = 1e-6;

/// Weights below this part of the row's largest count as small (Zhang et al. 2023, H2O, arXiv 2306.14048).
pub(crate) const SMALL: f64 = 0.01;

/// Constants of the definitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Constants {
    /// The first keys whose joint mass is measured.
    pub first_k: usize,
    /// Keys at a distance below this are local.
    pub local: usize,
    /// Whether detectors leave out key 0 (TransformerLens's `exclude_bos`).
    pub exclude_bos: bool,
    /// Whether detectors leave out the query's own position (`exclude_current_token`).
    pub exclude_current: bool,
}

impl Default for Constants {
    fn default() -> Self {
        Self { first_k: 4, local: 16, exclude_bos: false, exclude_current: false }
    }
}

/// Mass on the keys of a pattern to be detected, and how many of them the query sees.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Hit {
    /// Σ p.
    pub mass: f64,
    /// The number of keys.
    pub keys: f64,
}

/// One query row of a map.
#[derive(Clone, Debug, PartialEq)]
pub struct RowDigest {
    /// The position of the query among the keys, i.
    pub query: usize,
    /// The first key it sees.
    pub first: usize,
    /// n_i, how many it sees.
    pub visible: usize,
    /// Σ_j A_ij, before anything is divided out.
    pub mass: f64,
    /// p_i∅, where there is an option to attend to nothing.
    pub null: Option<f64>,
    /// −Σ p ln p in nats, the null option among the terms.
    pub entropy: f64,
    /// Σ p², the null option among the terms.
    pub squares: f64,
    /// max_j p_ij.
    pub top: f64,
    /// How many keys have less than 1 % of the largest weight.
    pub small: f64,
    /// Σ_j p_ij |i − j| / Σ_j p_ij.
    pub distance: f64,
    /// The mass at distances below [`Constants::local`].
    pub local: f64,
    /// p_i0; zero where key 0 is hidden.
    pub first_token: f64,
    /// The mass on the first [`Constants::first_k`] keys.
    pub first_k: f64,
    /// p_ii.
    pub current: f64,
    /// p_i,i−1, where there is such a key.
    pub previous: Option<f64>,
    /// The least number of keys that hold each of [`SHARES`] of Σ_j A_ij.
    pub needed: [f64; SHARES.len()],
    /// Earlier occurrences of the query's token; none if tokens are not known.
    pub duplicate: Option<Hit>,
    /// What followed them.
    pub induction: Option<Hit>,
    /// In the second copy of a text said twice: the mass on the same place of the first copy, and on the place after.
    pub copy: Option<[f64; 2]>,
    /// Σ p over the keys that detectors do not leave out.
    pub considered: f64,
    /// The hit of the previous token among those.
    pub considered_previous: Hit,
    /// The hit of duplicates among those.
    pub considered_duplicate: Option<Hit>,
    /// The hit of what followed duplicates among those.
    pub considered_induction: Option<Hit>,
    /// p_i0 ‖v_0‖ / Σ_j p_ij ‖v_j‖, with norms given by the caller.
    pub value_share: Option<f64>,
    /// The largest score less the smallest, where scores are known.
    pub score_range: Option<f64>,
}

/// Sums over the weights of a row, not divided by anything.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Sums {
    /// Σ A.
    pub(crate) mass: f64,
    /// Σ A ln A.
    pub(crate) logs: f64,
    /// Σ A².
    pub(crate) squares: f64,
    /// Σ A |i − j|.
    pub(crate) distance: f64,
    /// max A.
    pub(crate) top: f64,
    /// Those below 1 % of it.
    pub(crate) small: f64,
    /// As [`RowDigest::needed`].
    pub(crate) needed: [f64; SHARES.len()],
}

impl Sums {
    /// Of weights in f64, plainly: the reference of [`crate::lanes`]. `before` is i less the first key.
    pub(crate) fn exact(weights: &[f64], before: f64) -> Self {
        let top = weights.iter().copied().fold(0.0, f64::max);
        let mut sums = Self { top, ..Self::default() };
        for (j, &a) in weights.iter().enumerate() {
            sums.mass += a;
            sums.logs += if a > 0.0 { a * a.ln() } else { 0.0 };
            sums.squares += a * a;
            sums.distance += a * (before - j as f64).abs();
            sums.small += f64::from(u8::from(a < SMALL * top));
        }
        let mut sorted = weights.to_vec();
        sorted.sort_by(|a, b| b.total_cmp(a));
        for (needed, share) in sums.needed.iter_mut().zip(SHARES) {
            let (mut held, target) = (0.0, (share - SLACK) * sums.mass);
            *needed = sorted
                .iter()
                .take_while(|&&a| {
                    let before = held;
                    held += a;
                    before < target
                })
                .count() as f64;
        }
        sums
    }
}

/// Where a row stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) query: usize,
    pub(crate) first: usize,
    pub(crate) visible: usize,
}

impl RowDigest {
    /// From its sums; `at` gives the weight A of the visible key with that number, counted from the first.
    pub(crate) fn new(
        place: Place,
        sums: &Sums,
        null: Option<f64>,
        at: impl Fn(usize) -> f64,
        text: Option<&Text>,
        constants: &Constants,
    ) -> Self {
        let Place { query, first, visible } = place;
        let whole = sums.mass + null.unwrap_or(0.0);
        let null = null.map(|null| null / whole);
        // The weight of a key, zero where it is hidden.
        let p = |key: usize| match key.checked_sub(first) {
            Some(at_key) if at_key < visible => at(at_key) / whole,
            _ => 0.0,
        };
        let sees = |key: usize| key >= first && key < first + visible;
        let total = |keys: std::ops::Range<usize>| keys.map(p).sum::<f64>();
        let entropy = whole.ln() * sums.mass / whole
            - sums.logs / whole
            - null.filter(|&null| null > 0.0).map_or(0.0, |null| null * null.ln());
        let previous = query.checked_sub(1).filter(|&key| sees(key));
        let left_out =
            |key: usize| constants.exclude_bos && key == 0 || constants.exclude_current && key == query;
        let mut considered = sums.mass / whole;
        if constants.exclude_bos {
            considered -= p(0);
        }
        if constants.exclude_current && !left_out_twice(constants, query) {
            considered -= p(query);
        }
        let hit = |keys: &mut dyn Iterator<Item = usize>, all: bool| {
            keys.filter(|&key| sees(key) && (all || !left_out(key)))
                .fold(Hit::default(), |hit, key| Hit { mass: hit.mass + p(key), keys: hit.keys + 1.0 })
        };
        let duplicates = |all| text.map(|text| hit(&mut text.earlier(query), all));
        let inductions = |all| {
            text.map(|text| hit(&mut text.earlier(query).map(|key| key + 1).filter(|&key| key <= query), all))
        };
        let copied = text.and_then(|text| text.copied(query)).filter(|&key| sees(key) && sees(key + 1));
        let low = query.saturating_sub(constants.local.saturating_sub(1));
        Self {
            query,
            first,
            visible,
            mass: sums.mass,
            null,
            // Never below zero by the last bit, and never −0.
            entropy: if entropy > 0.0 { entropy } else { 0.0 },
            squares: sums.squares / (whole * whole) + null.map_or(0.0, |null| null * null),
            top: sums.top / whole,
            small: sums.small,
            distance: sums.distance / sums.mass,
            local: if constants.local == 0 { 0.0 } else { total(low..query.saturating_add(constants.local)) },
            first_token: p(0),
            first_k: total(0..constants.first_k),
            current: p(query),
            previous: previous.map(p),
            needed: sums.needed,
            duplicate: duplicates(true),
            induction: inductions(true),
            copy: copied.map(|key| [p(key), p(key + 1)]),
            considered,
            considered_previous: hit(&mut previous.into_iter(), false),
            considered_duplicate: duplicates(false),
            considered_induction: inductions(false),
            value_share: None,
            score_range: None,
        }
    }
}

impl RowDigest {
    /// Of weights in f64 over the keys from 0 on.
    pub(crate) fn of_weights(
        weights: &[f64],
        query: usize,
        text: Option<&Text>,
        constants: &Constants,
    ) -> Self {
        let place = Place { query, first: 0, visible: weights.len() };
        let at = |key: usize| weights.get(key).copied().unwrap_or(0.0);
        Self::new(place, &Sums::exact(weights, query as f64), None, at, text, constants)
    }
}

/// Whether the query's own position is key 0, which was left out before.
fn left_out_twice(constants: &Constants, query: usize) -> bool {
    constants.exclude_bos && query == 0
}
