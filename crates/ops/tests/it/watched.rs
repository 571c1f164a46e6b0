//! Attention that is watched.

use std::collections::BTreeMap;
use std::sync::Mutex;

use attnlab_ops::{
    AttentionDropout, AttentionSpec, DistanceBias, Extras, Null, Threads, WatchRows, WatchedRow,
    WatchedScores, attention, attention_watched, composed, on_threads, watch_pattern,
};
use candle_core::{DType, Tensor, Var};

use crate::check::{CPU, bits, random, values};

/// Everything that was shown, by sequence, head and row.
#[derive(Default)]
struct Seen(Mutex<BTreeMap<(usize, usize, usize), Shown>>);

#[derive(Clone, Debug, PartialEq)]
struct Shown {
    query: i64,
    first: usize,
    weights: Vec<f32>,
    numbers: [f32; 3],
    null: Option<f32>,
}

impl WatchRows for Seen {
    fn row(&self, row: &WatchedRow<'_>) {
        let mut seen = self.0.lock().unwrap();
        if row.row > 0 {
            assert!(seen.contains_key(&(row.batch, row.head, row.row - 1)), "rows come in order");
        }
        let shown = Shown {
            query: row.query,
            first: row.first,
            weights: row.weights.to_vec(),
            numbers: [row.max, row.min, row.log_sum],
            null: row.null,
        };
        assert!(seen.insert((row.batch, row.head, row.row), shown).is_none(), "a row is shown once");
    }
}

fn close(got: f64, expected: f64, what: &str) {
    let near = (got - expected).abs() <= 2e-6 * expected.abs().max(1.0);
    assert!(near || got == expected, "{what}: {got}, expected {expected}");
}

#[test]
fn a_watcher_sees_every_row_of_the_pattern_and_changes_no_bit() {
    let lengths = [(1, 1), (5, 5), (33, 33), (1, 20), (7, 37), (9, 4)];
    for (case, (tq, tk)) in lengths.into_iter().enumerate() {
        for causal in [true, false] {
            for window in [None, Some(1), Some(6)] {
                let (b, h, g, k) = (2, 4, 2, 17);
                let spec = AttentionSpec { scale: 0.7, causal, window, softcap: (case == 2).then_some(1.5) };
                let x =
                    [random("q", &[b, tq, h, k]), random("k", &[b, tk, g, k]), random("v", &[b, tk, g, k])];
                let bias = DistanceBias {
                    values: random("bias", &[h, 2 * tq.max(tk) + 1]),
                    first: -(tq.max(tk) as i64),
                };
                let logits = random("null", &[h]);
                let null = [None, Some(Null::Zero), Some(Null::Learned(&logits))][case % 3];
                let dropout = (case == 1).then_some(AttentionDropout { p: 0.3, seed: 1 });
                let bias = (case % 2 == 0 && tq <= tk).then_some(&bias);
                let extras = Extras { bias, null, dropout };
                let scores = composed::raw_scores(&x[0], &x[1], spec.scale).unwrap();
                let scores = composed::softcap(&scores, &spec).unwrap();
                let scores =
                    composed::mask(&composed::add_bias(&scores, bias, &spec).unwrap(), &spec).unwrap();
                let pattern = composed::pattern(&scores, null).unwrap();
                let existing = Seen::default();
                let known = WatchedScores { scores: &scores, null };
                watch_pattern(&pattern, Some(known), &spec, &existing).unwrap();
                let existing = existing.0.into_inner().unwrap();
                let (pattern, scores) = (values(&pattern), values(&scores));
                for dtype in [DType::F32, DType::F64] {
                    let x = x.clone().map(|x| x.to_dtype(dtype).unwrap());
                    let seen = Seen::default();
                    let z = attention_watched(&x[0], &x[1], &x[2], &extras, &spec, &seen).unwrap();
                    let plain = attention(&x[0], &x[1], &x[2], &extras, &spec).unwrap();
                    assert_eq!(bits(&z), bits(&plain));
                    let seen = seen.0.into_inner().unwrap();
                    assert_eq!(seen.len(), b * h * tq);
                    for (&(batch, head, row), shown) in &seen {
                        let (begin, end) = spec.visible(row, tq, tk);
                        assert_eq!(shown.query, row as i64 + tk as i64 - tq as i64);
                        assert_eq!((shown.first, shown.weights.len()), (begin, end - begin));
                        let at = ((batch * h + head) * tq + row) * tk;
                        let (pattern, scores) =
                            (&pattern[at + begin..at + end], &scores[at + begin..at + end]);
                        for (&got, &expected) in shown.weights.iter().zip(pattern) {
                            close(f64::from(got), expected, "a weight");
                        }
                        let other = &existing[&(batch, head, row)];
                        assert_eq!((shown.query, shown.first), (other.query, other.first));
                        let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                        let min = scores.iter().copied().fold(f64::INFINITY, f64::min);
                        for shown in [shown, other] {
                            close(f64::from(shown.numbers[0]), max, "the largest score");
                            close(f64::from(shown.numbers[1]), min, "the smallest score");
                            assert_eq!(shown.null.is_some(), null.is_some());
                            let null = shown.null.map_or(0.0, f64::from);
                            if begin < end || shown.null.is_some() {
                                close(null + pattern.iter().sum::<f64>(), 1.0, "the sum");
                            }
                        }
                        if begin < end {
                            let log_sum = max - pattern.iter().copied().fold(0.0, f64::max).ln();
                            close(f64::from(shown.numbers[2]), log_sum, "the logarithm of the sum");
                            close(f64::from(other.numbers[2]), log_sum, "the logarithm of the sum");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn the_composed_form_is_watched_too() {
    let spec = AttentionSpec { scale: 0.7, causal: true, window: None, softcap: None };
    let x = ["q", "k", "v"].map(|name| random(name, &[1, 9, 2, 4]).to_dtype(DType::F32).unwrap());
    let watched = || {
        let seen = Seen::default();
        attention_watched(&x[0], &x[1], &x[2], &Extras::default(), &spec, &seen).unwrap();
        seen.0.into_inner().unwrap()
    };
    let (kernel, whole) = (watched(), composed::only(watched));
    assert_eq!(kernel.len(), whole.len());
    for (a, b) in kernel.values().zip(whole.values()) {
        assert!(a.weights.iter().zip(&b.weights).all(|(a, b)| (a - b).abs() < 1e-6));
    }
}

#[test]
fn a_watched_pass_with_gradients_is_refused() {
    let spec = AttentionSpec { scale: 1.0, causal: true, window: None, softcap: None };
    let x = Var::from_tensor(&random("q", &[1, 3, 1, 4])).unwrap();
    let watched = || attention_watched(&x, &x, &x, &Extras::default(), &spec, &Seen::default());
    assert!(watched().unwrap_err().to_string().contains("without_gradients"));
    assert!(attnlab_ops::without_gradients(watched).is_ok());
}

#[test]
fn scores_of_another_shape_than_the_pattern_are_refused() {
    let spec = AttentionSpec { scale: 1.0, causal: true, window: None, softcap: None };
    let pattern = Tensor::zeros((1, 1, 3, 3), DType::F32, &CPU).unwrap();
    let scores = Tensor::zeros((1, 2, 3, 3), DType::F32, &CPU).unwrap();
    let known = Some(WatchedScores { scores: &scores, null: None });
    let error = watch_pattern(&pattern, known, &spec, &Seen::default()).unwrap_err().to_string();
    assert!(error.contains("watch_pattern"), "{error}");
}

#[test]
fn what_is_watched_does_not_depend_on_the_number_of_threads() {
    let spec = AttentionSpec { scale: 0.7, causal: true, window: None, softcap: None };
    let x = ["q", "k", "v"].map(|name| random(name, &[1, 300, 6, 16]).to_dtype(DType::F32).unwrap());
    let watched = |count| {
        on_threads(&Threads::new(count).unwrap(), || {
            let seen = Seen::default();
            let z = attention_watched(&x[0], &x[1], &x[2], &Extras::default(), &spec, &seen).unwrap();
            (bits(&z), seen.0.into_inner().unwrap())
        })
    };
    let one = watched(1);
    for count in [2, 5] {
        assert!(watched(count) == one, "{count} threads");
    }
}
