//! What streams by is what whole maps say.

use attnlab_heads::{Repeat, Survey, SurveyOptions, SurveyResult, registry};
use attnlab_ops::{
    AttentionSpec, Extras, Null, Streams, Threads, attention_watched, composed, on_threads, watch_pattern,
};
use candle_core::{DType, Device, Tensor};
use rand::Rng as _;

use crate::reference::Whole;

const T: usize = 200;
const H: usize = 4;
const K: usize = 8;

fn random(name: &str, dims: &[usize], size: f32) -> Tensor {
    let mut rng = Streams::new(3).rng(name, 0);
    let values: Vec<f32> = (0..dims.iter().product()).map(|_| size * rng.random_range(-1.7..1.7)).collect();
    Tensor::from_vec(values, dims, &Device::Cpu).unwrap()
}

/// Heads from nearly even to nearly certain.
fn queries(t: usize) -> Tensor {
    let sizes = Tensor::new(&[0.05f32, 1.0, 4.0, 20.0], &Device::Cpu).unwrap().reshape((1, 1, H, 1)).unwrap();
    random("q", &[1, t, H, K], 1.0).broadcast_mul(&sizes).unwrap()
}

/// Few kinds of tokens, said twice.
fn tokens(t: usize) -> Vec<u32> {
    let mut rng = Streams::new(4).rng("tokens", t as u64);
    let half: Vec<u32> = (0..t / 2).map(|_| rng.random_range(0..30)).collect();
    [half.clone(), half].concat()
}

fn norms(head: usize, t: usize) -> Vec<f32> {
    (0..t).map(|j| 0.1 + ((j * 7 + head) % 11) as f32).collect()
}

fn close(found: Option<f64>, expected: Option<f64>, tolerance: f64, what: &str) {
    match (found, expected) {
        (None, None) => {}
        (Some(found), Some(expected)) => {
            let error = (found - expected).abs() / expected.abs().max(1e-3);
            assert!(error < tolerance, "{what}: {found}, expected {expected}, relative error {error:.1e}");
        }
        _ => panic!("{what}: {found:?}, expected {expected:?}"),
    }
}

#[test]
fn every_statistic_equals_the_one_of_the_whole_map_in_f64() {
    let (q, k, v) = (queries(T), random("k", &[1, T, 2, K], 1.0), random("v", &[1, T, 2, K], 1.0));
    let logits = random("null", &[H], 1.0);
    let ids = tokens(T);
    for causal in [true, false] {
        for window in [None, Some(70)] {
            for null in [None, Some(Null::Zero), Some(Null::Learned(&logits))] {
                let spec = AttentionSpec { scale: 0.5, causal, window, softcap: None };
                let extras = Extras { null, ..Extras::default() };
                let mut survey = Survey::new(SurveyOptions::default());
                survey.begin_repeated(&ids, Repeat { start: 0, period: T / 2 });
                for head in 0..H {
                    survey.value_norms(0, 0, head, norms(head, T));
                }
                attention_watched(&q, &k, &v, &extras, &spec, &survey.watch(0)).unwrap();
                let result = survey.finish();
                assert_eq!((result.texts, result.tokens, result.layers.len()), (1, T, 1));

                // In f64 from the operands on.
                let [q, k] = [&q, &k].map(|x| x.to_dtype(DType::F64).unwrap());
                let scores = composed::mask(&composed::raw_scores(&q, &k, 0.5).unwrap(), &spec).unwrap();
                let pattern = composed::pattern(&scores, null).unwrap();
                for head in 0..H {
                    let of_head = |x: &Tensor| x.get(0).unwrap().get(head).unwrap().to_vec2::<f64>().unwrap();
                    let (rows, scores) = (of_head(&pattern), of_head(&scores));
                    let left = |row: &Vec<f64>| 1.0 - row.iter().sum::<f64>();
                    let whole = Whole {
                        tokens: ids.clone(),
                        period: T / 2,
                        null: null.map(|_| rows.iter().map(left).collect()),
                        rows,
                        visible: (0..T).map(|row| spec.visible(row, T, T)).collect(),
                        scores,
                        norms: norms(head, T).into_iter().map(f64::from).collect(),
                    };
                    let found = result.head(0, head).unwrap();
                    let what = |name: &str| format!("{name} of head {head}, {spec:?}, {null:?}");
                    let values = whole.values();
                    assert_eq!(values.len(), registry().len(), "a metric without a reference");
                    assert_eq!(found.values.len(), registry().len());
                    for (name, expected) in values {
                        close(found.mean(name), expected, 1e-5, &what(name));
                    }
                    for (key, (&found, expected)) in found.sink_profile.iter().zip(whole.sinks()).enumerate()
                    {
                        close(Some(f64::from(found)), Some(expected), 1e-5, &what(&format!("α_{key}")));
                    }
                    let largest = whole.sinks()[..T - 15].iter().copied().fold(0.0, f64::max);
                    if causal && window.is_none() {
                        close(Some(f64::from(found.sinks[0].rate)), Some(largest), 1e-5, &what("the sink"));
                    }
                    for (bins, ahead) in [(&found.distance_profile, false), (&found.ahead_profile, true)] {
                        assert_eq!(ahead && causal, bins.is_empty());
                        for bin in bins {
                            let expected = whole.at_distance(bin.begin, bin.end, ahead);
                            close(Some(f64::from(bin.weight)), expected, 1e-5, &what("a distance"));
                        }
                    }
                    for point in &found.mass_curve {
                        close(Some(point.keys), Some(whole.curve(point.share)), 1e-5, &what("the curve"));
                    }
                }
            }
        }
    }
}

#[test]
fn a_materialised_map_gives_the_same_statistics_as_the_kernel() {
    let spec = AttentionSpec { scale: 0.5, causal: true, window: None, softcap: None };
    let (q, k) = (queries(50), random("k", &[1, 50, 2, K], 1.0));
    let ids = tokens(50);
    let mut streamed = Survey::new(SurveyOptions::default());
    streamed.begin_text(&ids);
    attention_watched(&q, &k, &k, &Extras::default(), &spec, &streamed.watch(3)).unwrap();
    let scores = composed::mask(&composed::raw_scores(&q, &k, 0.5).unwrap(), &spec).unwrap();
    let mut whole = Survey::new(SurveyOptions::default());
    whole.begin_text(&ids);
    let known = attnlab_ops::WatchedScores { scores: &scores, null: None };
    watch_pattern(&composed::pattern(&scores, None).unwrap(), Some(known), &spec, &whole.watch(3)).unwrap();
    let (streamed, whole) = (streamed.finish(), whole.finish());
    for head in 0..H {
        let (a, b) = (streamed.head(3, head).unwrap(), whole.head(3, head).unwrap());
        for metric in registry() {
            close(a.mean(metric.name), b.mean(metric.name), 1e-5, metric.name);
        }
    }
}

fn two_texts(threads: usize) -> SurveyResult {
    let spec = AttentionSpec { scale: 0.5, causal: true, window: None, softcap: None };
    on_threads(&Threads::new(threads).unwrap(), || {
        let mut survey = Survey::new(SurveyOptions::default());
        for t in [120, 180] {
            let (q, k) = (queries(t), random("k", &[1, t, 2, K], 1.0));
            survey.begin_text(&tokens(t));
            for layer in 0..2 {
                attention_watched(&q, &k, &k, &Extras::default(), &spec, &survey.watch(layer)).unwrap();
            }
        }
        survey.finish()
    })
}

#[test]
fn statistics_do_not_depend_on_the_number_of_threads() {
    let one = two_texts(1);
    assert_eq!(one.texts, 2);
    assert!(one.head(1, 3).unwrap().values["entropy"].half_width.is_some());
    for threads in [2, 3] {
        assert_eq!(one, two_texts(threads));
    }
}

#[test]
fn texts_of_a_padded_batch_count_as_texts_alone() {
    let spec = AttentionSpec { scale: 0.5, causal: true, window: None, softcap: None };
    let lengths = [40, 64];
    let (q, k) = (random("q", &[2, 64, H, K], 1.0), random("k", &[2, 64, H, K], 1.0));
    let ids = lengths.map(tokens);
    let mut together = Survey::new(SurveyOptions::default());
    together.begin_batch(&[(&ids[0], None), (&ids[1], None)]);
    attention_watched(&q, &k, &k, &Extras::default(), &spec, &together.watch(0)).unwrap();
    let mut alone = Survey::new(SurveyOptions::default());
    for (row, length) in lengths.into_iter().enumerate() {
        let part = |x: &Tensor| x.narrow(0, row, 1).unwrap().narrow(1, 0, length).unwrap();
        alone.begin_text(&ids[row]);
        attention_watched(&part(&q), &part(&k), &part(&k), &Extras::default(), &spec, &alone.watch(0))
            .unwrap();
    }
    assert_eq!(together.finish(), alone.finish());
}

#[test]
fn the_baseline_is_uniform_attention_under_the_same_mask() {
    let spec = AttentionSpec { scale: 0.5, causal: true, window: None, softcap: None };
    let mut survey = Survey::new(SurveyOptions::default());
    survey.begin_text(&tokens(64));
    let (q, k) = (queries(64), random("k", &[1, 64, 2, K], 1.0));
    attention_watched(&q, &k, &k, &Extras::default(), &spec, &survey.watch(0)).unwrap();
    let uniform = &survey.finish().layers[0].uniform;
    let harmonic: f64 = (1..=64).map(|i| 1.0 / f64::from(i)).sum();
    close(uniform.mean("first_token"), Some(harmonic / 64.0), 1e-6, "H_T / T");
    close(uniform.mean("normalised_entropy"), Some(1.0), 1e-6, "the largest entropy");
    close(Some(f64::from(uniform.sink_profile[0])), Some(harmonic / 64.0), 1e-6, "α_1");
    let expected = attnlab_heads::uniform_statistics(64, attnlab_heads::Mask::Causal);
    for (name, value) in expected.values {
        if value.is_some() {
            close(uniform.mean(name), value, 1e-6, name);
        }
    }
}

#[test]
fn rows_that_are_no_numbers_are_counted_and_left_out() {
    let mut pattern = vec![0f32; 9];
    (pattern[0], pattern[3], pattern[4]) = (1.0, f32::NAN, 0.5);
    let pattern = Tensor::from_vec(pattern, (1, 1, 3, 3), &Device::Cpu).unwrap();
    let spec = AttentionSpec { scale: 1.0, causal: true, window: None, softcap: None };
    let mut survey = Survey::new(SurveyOptions::default());
    survey.begin_text(&[1, 2, 3]);
    watch_pattern(&pattern, None, &spec, &survey.watch(0)).unwrap();
    let result = survey.finish();
    let head = result.head(0, 0).unwrap();
    assert_eq!((head.rows, head.broken_rows, head.empty_rows), (3, 1, 1));
    assert_eq!(head.mean("first_token"), Some(1.0));
}

#[test]
fn a_pass_that_was_broken_off_counts_with_the_rows_there_were() {
    let spec = AttentionSpec { scale: 0.5, causal: true, window: None, softcap: None };
    let (q, k) = (queries(20), random("k", &[1, 20, 2, K], 1.0));
    let mut survey = Survey::new(SurveyOptions::default());
    survey.begin_text(&tokens(30));
    attention_watched(&q, &k, &k, &Extras::default(), &spec, &survey.watch(0)).unwrap();
    let result = survey.finish();
    assert_eq!(result.head(0, 1).unwrap().rows, 20);
    assert!(Survey::new(SurveyOptions::default()).finish().layers.is_empty());
}
