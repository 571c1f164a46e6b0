//! The forms of attention are what they say: against nested loops, with what comes later hidden, alone and in a batch.

use std::collections::{BTreeMap, HashSet};
use std::sync::Mutex;

use attnlab_hooks::{Both, Capture, Change, HookSpec, NoHooks, Observer, Plan, Point, Scope, Site, Want};
use attnlab_model::{Architecture, Cache, Mask, ModelConfig, Pass, Transformer, registry};
use attnlab_ops::{Parameters, Streams, WatchRows, WatchedRow, without_gradients};
use candle_core::{DType, Device, Tensor};
use rand::Rng as _;

use crate::forms::{architecture, forms};
use crate::{bits, build, config, largest_difference, masks, position, tokens};

/// A model whose every parameter is far from where it starts.
fn stirred(config: &ModelConfig, dtype: DType) -> (Transformer, Parameters) {
    let (model, parameters) = build(config, dtype);
    for (name, var) in parameters.vars() {
        let mut rng = Streams::new(5).rng(&name, 0);
        let noise: Vec<f64> = (0..var.elem_count()).map(|_| rng.random_range(-0.4..0.4)).collect();
        let noise = Tensor::from_vec(noise, var.shape(), &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
        var.set(&(var.as_tensor() + noise).unwrap()).unwrap();
    }
    (model, parameters)
}

fn capture(model: &Transformer, sites: &[Site], batch: &Tensor) -> Capture {
    let mut capture = Capture::new();
    for &site in sites {
        capture.add(Point::block(site, 1), Scope::default()).unwrap();
    }
    model.forward(batch, &mut capture).unwrap();
    capture
}

/// [head][row][column] of the second sequence.
fn nested(x: &Tensor) -> Vec<Vec<Vec<f64>>> {
    x.get(1).unwrap().to_dtype(DType::F64).unwrap().to_vec3().unwrap()
}

#[test]
fn every_form_says_what_it_is_and_its_example_builds() {
    let mut names = HashSet::new();
    for form in registry() {
        for text in [form.title, form.formula, form.cost, form.effect, form.source, form.example] {
            assert!(!text.trim().is_empty(), "{}", form.name);
        }
        assert!(names.insert(form.name), "{} is there twice", form.name);
        let read = architecture(form.example);
        build(&config(read.clone(), position("none"), Mask::Causal), DType::F32);
        // What is written is read as the same, and what is default is not written.
        let written = serde_json::to_string(&read).unwrap();
        assert_eq!(serde_json::from_str::<Architecture>(&written).unwrap(), read);
        let plain = form.name == "softmax" || !form.example.starts_with("attention.");
        assert_eq!(plain, !written.contains("\"attention\""), "{written}");
    }
}

#[test]
fn a_kind_that_does_not_exist_and_an_option_that_it_has_not_are_refused() {
    let read = |weights: &str| -> Result<Architecture, String> {
        serde_json::from_str(&format!(r#"{{"attention":{{"weights":{weights}}}}}"#))
            .map_err(|e| e.to_string())
    };
    for (weights, what) in [
        (r#""rellu""#, "unknown variant `rellu`"),
        (r#"{"kind":"relu","tau":1}"#, "of kind \"relu\": unknown field `tau`"),
        (r#"{"tau":1}"#, "missing field `kind`"),
        (r#"{"kind":"elastic","tau":"low"}"#, "of kind \"elastic\": invalid type"),
        ("3", "a kind's name, or a table with a `kind`"),
    ] {
        let error = read(weights).unwrap_err();
        assert!(error.contains(what), "{error}");
    }
    let elastic = read(r#"{"tau":-2,"kind":"elastic"}"#).unwrap();
    assert_eq!(elastic, architecture_of(r#"{"kind":"elastic","tau":-2.0}"#));
    for (text, what) in [
        ("attention.weights = { kind = \"clipped\", low = 0.1 }", "low ≤ 0"),
        ("attention.weights = { kind = \"top_k\", k = 0 }", "at least one key"),
        ("attention.weights = { kind = \"lazy\", reach = 0 }", "between 1 and"),
        ("attention.weights = \"relu\"\nnull_option = \"zero\"", "no null option of their own"),
        ("attention.weights = \"relu\"\nattention.extra_key = \"key\"", "this one has no value"),
        ("attention.score_scale = { kind = \"ssmax\", length = 1 }", "at least 2"),
        ("attention.weights = \"differential\"\nhead_dim = 3", "no halves"),
    ] {
        let error = architecture(text).validate().unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    }
}

fn architecture_of(weights: &str) -> Architecture {
    serde_json::from_str(&format!(r#"{{"attention":{{"weights":{weights}}}}}"#)).unwrap()
}

/// The weights of one row by their definitions, from the scores of the keys it sees.
fn by_definition(kind: &str, s: &[f64], parameter: impl Fn(&str) -> f64) -> Vec<f64> {
    let n = s.len() as f64;
    let top = s.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let softmax = |s: &[f64]| -> Vec<f64> {
        let total: f64 = s.iter().map(|s| (s - top).exp()).sum();
        s.iter().map(|s| (s - top).exp() / total).collect()
    };
    // τ with Σ f(s − τ) = 1, by halving an interval.
    let threshold = |f: &dyn Fn(f64) -> f64| {
        let (mut low, mut high) = (top - 9.0, top + 1.0);
        for _ in 0..200 {
            let middle = (low + high) / 2.0;
            let total: f64 = s.iter().map(|s| f(s - middle)).sum();
            if total > 1.0 { low = middle } else { high = middle }
        }
        s.iter().map(|s| f(s - low)).collect()
    };
    match kind {
        "softmax" => softmax(s),
        "sigmoid" => s.iter().map(|s| 1.0 / (1.0 + n * (-s).exp())).collect(),
        "relu" => s.iter().map(|s| if *s > 0.0 { s / n } else { 0.0 }).collect(),
        "elastic" | "lazy" => softmax(s).iter().map(|p| (p + parameter("tau") / n).max(0.0)).collect(),
        "softpick" => {
            let total: f64 = 1e-6 + s.iter().map(|s| (s.exp() - 1.0).abs()).sum::<f64>();
            s.iter().map(|s| (s.exp() - 1.0).max(0.0) / total).collect()
        }
        "clipped" => softmax(s).iter().map(|p| (1.3 * p - 0.2).clamp(0.0, 1.0)).collect(),
        "sparsemax" => threshold(&|x| x.max(0.0)),
        "entmax" => threshold(&|x| (x / 2.0).max(0.0).powi(2)),
        "top_k" => {
            let rank = |j: usize| s.iter().filter(|&&other| other > s[j]).count();
            let total: f64 = (0..s.len()).filter(|&j| rank(j) < 2).map(|j| s[j].exp()).sum();
            (0..s.len()).map(|j| if rank(j) < 2 { s[j].exp() / total } else { 0.0 }).collect()
        }
        "adaptive" => {
            let entropy: f64 = -softmax(s).iter().map(|p| p * p.ln()).sum::<f64>();
            let h = entropy;
            let beta = -0.037 * h.powi(4) + 0.481 * h.powi(3) - 2.3 * h * h + 4.917 * h - 1.791;
            let beta = if entropy > 0.5 && beta > 1.0 { beta } else { 1.0 };
            let total: f64 = s.iter().map(|s| (beta * (s - top)).exp()).sum();
            s.iter().map(|s| (beta * (s - top)).exp() / total).collect()
        }
        other => panic!("{other} has no definition here"),
    }
}

#[test]
fn weights_are_those_of_their_definition_and_make_z() {
    let kinds = [
        "softmax",
        "sigmoid",
        "relu",
        "elastic",
        "lazy",
        "softpick",
        "clipped",
        "sparsemax",
        "entmax",
        "top_k",
        "adaptive",
    ];
    for kind in kinds {
        let options = match kind {
            "clipped" => "low = -0.2, high = 1.1",
            "top_k" => "k = 2",
            "lazy" => "reach = 3",
            "elastic" => "tau = -0.8",
            _ => "",
        };
        let text = format!("attention.weights = {{ kind = \"{kind}\", {options} }}").replace(", }", " }");
        for mask in [Mask::Causal, Mask::Bidirectional] {
            let config = config(architecture(&text), position("alibi"), mask);
            let (model, parameters) = stirred(&config, DType::F64);
            let found = capture(
                &model,
                &[Site::ScoresRaw, Site::Scores, Site::Pattern, Site::V, Site::Z],
                &tokens(2, 9),
            );
            let get = |site| found.get(Point::block(site, 1)).unwrap();
            let [raw, scores, pattern] =
                [Site::ScoresRaw, Site::Scores, Site::Pattern].map(|site| nested(get(site)));
            let [v, z] = [Site::V, Site::Z].map(|site| nested(get(site))); // [T][heads][K]
            let values = |name: &str| -> Vec<f64> {
                let name = format!("blocks.1.attn.weights.{name}");
                let (_, var) = parameters.vars().into_iter().find(|(other, _)| *other == name).unwrap();
                var.flatten_all().unwrap().to_vec1().unwrap()
            };
            for h in 0..4 {
                for i in 0..9usize {
                    let seen = if mask == Mask::Causal { i + 1 } else { 9 };
                    if kind == "lazy" {
                        let slope = -1.0 / 4f64.powi(h as i32 + 1);
                        for j in 0..seen {
                            let distance = i.abs_diff(j);
                            let own = if distance < 3 { values("bias")[h * 3 + distance] } else { 0.0 };
                            let expected = raw[h][i][j] + slope * distance as f64 + own;
                            assert!((scores[h][i][j] - expected).abs() < 1e-12, "{kind} {h} {i} {j}");
                        }
                    }
                    let weights = by_definition(kind, &scores[h][i][..seen], |name| values(name)[h]);
                    for (j, found) in pattern[h][i].iter().enumerate() {
                        let expected = weights.get(j).copied().unwrap_or(0.0);
                        let error = (found - expected).abs();
                        assert!(error < 1e-9, "{kind} {mask:?} {h} {i} {j}: {found} {expected}");
                    }
                    for d in 0..4 {
                        let expected: f64 = (0..9).map(|j| pattern[h][i][j] * v[j][h / 2][d]).sum();
                        assert!((z[i][h][d] - expected).abs() < 1e-12, "{kind}: z");
                    }
                }
            }
        }
    }
}

/// The value of a parameter of block 1, as a list.
fn parameter(parameters: &Parameters, name: &str) -> Vec<f64> {
    let name = format!("blocks.1.attn.{name}");
    let (_, var) = parameters.vars().into_iter().find(|(other, _)| *other == name).unwrap();
    var.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[test]
fn differential_attention_is_the_difference_of_two_softmaxes_normalised() {
    let config = config(architecture("attention.weights = \"differential\""), position("rope"), Mask::Causal);
    let (model, parameters) = stirred(&config, DType::F64);
    let found = capture(&model, &[Site::RotQ, Site::RotK, Site::V, Site::Pattern, Site::Z], &tokens(2, 7));
    let get = |site| nested(found.get(Point::block(site, 1)).unwrap());
    let [q, k, v, z] = [Site::RotQ, Site::RotK, Site::V, Site::Z].map(get); // [T][heads][K]
    let pattern = get(Site::Pattern);
    let lambda = |name: &str| parameter(&parameters, &format!("weights.lambda_{name}"));
    let start = 0.8 - 0.6 * (-0.3f64).exp();
    let factor = dot(&lambda("q1"), &lambda("k1")).exp() - dot(&lambda("q2"), &lambda("k2")).exp() + start;
    let gain = parameter(&parameters, "weights.norm");
    for h in 0..4 {
        for i in 0..7 {
            let map = |half: std::ops::Range<usize>| -> Vec<f64> {
                let score = |j: usize| dot(&q[i][h][half.clone()], &k[j][h / 2][half.clone()]) / 2f64.sqrt();
                let total: f64 = (0..=i).map(|j| score(j).exp()).sum();
                (0..=i).map(|j| score(j).exp() / total).collect()
            };
            let (first, second) = (map(0..2), map(2..4));
            let mut sum = [0.0; 4];
            for j in 0..=i {
                let weight = first[j] - factor * second[j];
                assert!((pattern[h][i][j] - weight).abs() < 1e-12);
                (0..4).for_each(|d| sum[d] += weight * v[j][h / 2][d]);
            }
            let size = (dot(&sum, &sum) / 4.0 + 1e-5).sqrt();
            for d in 0..4 {
                let expected = sum[d] / size * gain[d] * (1.0 - start);
                assert!((z[i][h][d] - expected).abs() < 1e-12, "{} is not {expected}", z[i][h][d]);
            }
        }
    }
}

#[test]
fn halves_are_turned_apart_by_an_encoding_of_half_the_width() {
    let text = "attention.weights = \"differential\"";
    let (model, _) = build(&config(architecture(text), position("rope"), Mask::Causal), DType::F64);
    let found = capture(&model, &[Site::Q, Site::RotQ], &tokens(2, 6));
    let get = |site| nested(found.get(Point::block(site, 1)).unwrap());
    let (q, turned) = (get(Site::Q), get(Site::RotQ));
    for (i, (q, turned)) in q.iter().zip(&turned).enumerate() {
        let (sin, cos) = (i as f64).sin_cos(); // of the only pair of each half
        for h in 0..4 {
            for half in [0, 2] {
                let (a, b) = (q[h][half], q[h][half + 1]);
                assert!((turned[h][half] - (a * cos - b * sin)).abs() < 1e-12);
                assert!((turned[h][half + 1] - (a * sin + b * cos)).abs() < 1e-12);
            }
        }
    }
}

#[test]
fn an_extra_key_is_seen_by_all_and_adds_its_value() {
    for name in ["none", "alibi"] {
        let text = "attention.extra_key = \"key_value\"\nattention.score_scale = \"ssmax\"\nnull_option = \"learned\"";
        let (model, parameters) =
            stirred(&config(architecture(text), position(name), Mask::Causal), DType::F64);
        let found = capture(&model, &[Site::Q, Site::Scores, Site::V, Site::Pattern, Site::Z], &tokens(2, 7));
        let get = |site| nested(found.get(Point::block(site, 1)).unwrap());
        let [q, v, z] = [Site::Q, Site::V, Site::Z].map(get); // [T][heads][K]
        let (scores, pattern) = (get(Site::Scores), get(Site::Pattern));
        let [key, value] = ["extra.key", "extra.value"].map(|name| parameter(&parameters, name)); // (G, K)
        let (scale, null) = (parameter(&parameters, "score_scale"), parameter(&parameters, "null"));
        for h in 0..4 {
            let of_group = |x: &[f64]| x[h / 2 * 4..][..4].to_vec();
            for i in 0..7 {
                let own = dot(&q[i][h], &of_group(&key)) / 2.0 * scale[h] * ((i + 1) as f64).ln();
                let total: f64 =
                    own.exp() + null[h].exp() + (0..=i).map(|j| scores[h][i][j].exp()).sum::<f64>();
                for d in 0..4 {
                    let mut expected = own.exp() / total * of_group(&value)[d];
                    for j in 0..=i {
                        let weight = scores[h][i][j].exp() / total;
                        assert!((pattern[h][i][j] - weight).abs() < 1e-12, "{name}");
                        expected += weight * v[j][h / 2][d];
                    }
                    assert!(
                        (z[i][h][d] - expected).abs() < 1e-12,
                        "{name}: {} is not {expected}",
                        z[i][h][d]
                    );
                }
            }
        }
    }
}

#[test]
fn a_gate_multiplies_what_a_head_gives() {
    for (kind, width) in [("head", 1), ("element", 4)] {
        let text = format!("attention.gate = \"{kind}\"");
        let (model, parameters) =
            stirred(&config(architecture(&text), position("rope"), Mask::Causal), DType::F64);
        let found = capture(&model, &[Site::ResidPre, Site::Pattern, Site::V, Site::Z], &tokens(2, 5));
        let get = |site| nested(found.get(Point::block(site, 1)).unwrap());
        let (pattern, v, z) = (get(Site::Pattern), get(Site::V), get(Site::Z));
        let x = found.get(Point::block(Site::ResidPre, 1)).unwrap();
        let (weight, bias) = (parameter(&parameters, "gate.weight"), parameter(&parameters, "gate.bias"));
        let norm = |name: &str| -> Vec<f64> {
            let name = format!("blocks.1.attn_norm.{name}");
            let (_, var) = parameters.vars().into_iter().find(|(other, _)| *other == name).unwrap();
            var.to_vec1().unwrap()
        };
        let x: Vec<Vec<f64>> = x.get(1).unwrap().to_vec2().unwrap();
        for i in 0..5 {
            let mean = x[i].iter().sum::<f64>() / 8.0;
            let variance = x[i].iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 8.0;
            let normed =
                |d: usize| (x[i][d] - mean) / (variance + 1e-5).sqrt() * norm("weight")[d] + norm("bias")[d];
            let normed: Vec<f64> = (0..8).map(normed).collect();
            for h in 0..4 {
                for d in 0..4 {
                    let row = h * width + if width == 4 { d } else { 0 };
                    let gate = 1.0 / (1.0 + (-dot(&normed, &weight[row * 8..][..8]) - bias[row]).exp());
                    let plain: f64 = (0..=i).map(|j| pattern[h][i][j] * v[j][h / 2][d]).sum();
                    assert!((z[i][h][d] - gate * plain).abs() < 1e-12, "{kind}");
                }
            }
        }
    }
}

#[test]
fn sigma_reparam_divides_by_the_largest_singular_value() {
    let text = "attention.sigma_reparam = true\nqkv_bias = false";
    let (model, parameters) =
        stirred(&config(architecture(text), position("none"), Mask::Causal), DType::F64);
    let q = parameter(&parameters, "q.weight"); // (16, 8)
    // The largest eigenvalue of WᵀW, by squaring it ten times.
    let gram = |at: usize| -> f64 { (0..16).map(|r| q[r * 8 + at / 8] * q[r * 8 + at % 8]).sum() };
    let mut square: Vec<f64> = (0..64).map(gram).collect();
    let mut log = 0.0;
    for round in 0..10 {
        let trace: f64 = (0..8).map(|i| square[i * 9]).sum();
        log += trace.ln() / f64::from(1 << round);
        let unit: Vec<f64> = square.iter().map(|x| x / trace).collect();
        square =
            (0..64).map(|at| (0..8).map(|m| unit[at / 8 * 8 + m] * unit[m * 8 + at % 8]).sum()).collect();
    }
    let sigma = (log / 2.0).exp();
    let gain = parameter(&parameters, "q.gain")[0];
    let weights = model.head_weights(1, 2).unwrap();
    let found: Vec<f64> = weights.q.flatten_all().unwrap().to_vec1().unwrap();
    for (found, w) in found.iter().zip(&q[2 * 4 * 8..]) {
        assert!((found - gain / sigma * w).abs() < 2e-3 * w.abs(), "{found}, {}", gain / sigma * w);
    }
}

#[test]
fn no_form_lets_a_query_see_what_comes() {
    for (text, architecture) in forms() {
        for name in ["rope", "shaw"] {
            let (model, _) = stirred(&config(architecture.clone(), position(name), Mask::Causal), DType::F32);
            let run = |ids: &[u32]| {
                let batch = Tensor::from_slice(ids, (1, ids.len()), &Device::Cpu).unwrap();
                model.predict(&batch).unwrap().squeeze(0).unwrap()
            };
            let (a, b) = (run(&[1, 2, 3, 4, 5]), run(&[1, 2, 3, 9, 9]));
            for i in 0..3 {
                assert_eq!(bits(&a.get(i).unwrap()), bits(&b.get(i).unwrap()), "{text}");
            }
            assert_ne!(bits(&a.get(3).unwrap()), bits(&b.get(3).unwrap()), "{text}");
        }
    }
}

#[test]
fn a_sequence_is_the_same_alone_and_in_a_batch() {
    for (text, architecture) in forms() {
        for mask in [Mask::Causal, Mask::Bidirectional] {
            let (model, _) = stirred(&config(architecture.clone(), position("t5"), mask), DType::F32);
            let batch = tokens(3, 6);
            let together = model.predict(&batch).unwrap().narrow(0, 1, 1).unwrap();
            let alone = model.predict(&batch.narrow(0, 1, 1).unwrap()).unwrap();
            assert!(largest_difference(&together, &alone) < 1e-5, "{text}");
        }
    }
}

#[test]
fn token_after_token_gives_what_the_whole_sequence_does_in_every_form() {
    for (text, architecture) in forms() {
        for name in ["rope", "alibi", "learned"] {
            let (model, _) = stirred(&config(architecture.clone(), position(name), Mask::Causal), DType::F32);
            let batch = tokens(2, 8);
            let whole = model.predict(&batch).unwrap();
            let mut cache = Cache::new();
            let mut parts = Vec::new();
            for (start, len) in [(0, 3), (3, 1), (4, 4)] {
                let part = batch.narrow(1, start, len).unwrap();
                let pass = Pass { cache: Some(&mut cache), ..Pass::new(&part) };
                parts.push(model.logits(&model.run(pass, &mut NoHooks).unwrap()).unwrap());
            }
            assert_eq!(cache.len(), 8);
            let parts = Tensor::cat(&parts, 1).unwrap();
            assert!(largest_difference(&whole, &parts) < 2e-5, "{text} {name}");
        }
    }
}

#[test]
fn looking_changes_no_bit_and_both_routes_agree_in_every_form() {
    for (text, architecture) in forms() {
        for position in ["rope", "alibi", "shaw"].map(position) {
            for mask in masks(&position) {
                let (model, _) = stirred(&config(architecture.clone(), position.clone(), mask), DType::F32);
                let batch = tokens(2, 7);
                let plain = without_gradients(|| model.predict(&batch)).unwrap();
                let anatomy = model.anatomy();
                let mut everything = Capture::new();
                for site in Site::ALL.into_iter().filter(|site| !anatomy.absent.contains(site)) {
                    let point = if site.in_block() { Point::block(site, 1) } else { Point::model(site) };
                    everything.add(point, Scope::default()).unwrap();
                }
                let watched = Rows::default();
                let mut both = Both(everything, &watched);
                let seen = without_gradients(|| model.forward(&batch, &mut both)).unwrap();
                assert_eq!(bits(&seen), bits(&plain), "{text}");
                let edit = HookSpec::edit("blocks.*.attn.hook_pattern", Change::Scale(1.0));
                let mut plan = Plan::resolve(&[edit], &anatomy).unwrap();
                let edited = model.forward(&batch, &mut plan).unwrap();
                assert!(largest_difference(&edited, &plain) < 2e-5, "{text}");
            }
        }
    }
}

/// Every row that is shown of block 1's second sequence: by head and row, what it is.
#[derive(Default)]
struct Rows(Mutex<BTreeMap<(usize, usize), Row>>);

#[derive(Clone, Debug)]
struct Row {
    query: i64,
    first: usize,
    weights: Vec<f32>,
    null: Option<f32>,
}

impl WatchRows for Rows {
    fn row(&self, row: &WatchedRow<'_>) {
        if row.batch == 1 {
            let &WatchedRow { query, first, null, .. } = row;
            let seen = Row { query, first, weights: row.weights.to_vec(), null };
            assert!(self.0.lock().unwrap().insert((row.head, row.row), seen).is_none());
        }
    }
}

impl Observer for &Rows {
    fn wants(&self, _: Point) -> Want<'_> {
        Want::Nothing
    }

    fn see(&mut self, _: Point, _: &Tensor) -> attnlab_hooks::Result<Option<Tensor>> {
        Ok(None)
    }

    fn watches(&self, layer: usize) -> Option<Box<dyn WatchRows + '_>> {
        (layer == 1).then(|| Box::new(&**self) as Box<dyn WatchRows>)
    }
}

#[test]
fn a_watcher_sees_the_text_and_what_goes_to_nothing() {
    let mut with_null = 0;
    for (text, architecture) in forms() {
        for name in ["rope", "alibi", "shaw"] {
            let n = architecture.registers;
            let form = &architecture.attention;
            let config = config(architecture.clone(), position(name), Mask::Causal);
            let (model, _) = stirred(&config, DType::F32);
            let mut found = Capture::new();
            found.add(Point::block(Site::Pattern, 1), Scope::default()).unwrap();
            let rows = Rows::default();
            let mut both = Both(found, &rows);
            without_gradients(|| model.forward(&tokens(2, 7), &mut both)).unwrap();
            let pattern = nested(both.0.get(Point::block(Site::Pattern, 1)).unwrap()); // [H][n + T][n + T]
            let rows = rows.0.lock().unwrap();
            assert_eq!(rows.len(), 4 * 7, "{text}");
            for ((h, i), row) in rows.iter() {
                assert_eq!((row.query, row.first, row.weights.len()), (*i as i64, 0, i + 1), "{text}");
                let whole = &pattern[*h][n + i];
                for (j, weight) in row.weights.iter().enumerate() {
                    assert!((f64::from(*weight) - whole[n + j].abs()).abs() < 1e-6, "{text}");
                }
                let free = matches!(
                    form.weights.kind(),
                    "sigmoid" | "relu" | "elastic" | "lazy" | "softpick" | "clipped"
                );
                let kind = form.weights.kind();
                let beside = form.extra_key != attnlab_model::ExtraKey::None && kind != "differential";
                let null_option = architecture.null_option != attnlab_model::NullOption::None;
                assert_eq!(row.null.is_some(), free || beside || null_option || n > 0, "{text} {name}");
                if let Some(null) = row.null {
                    let registers: f64 = whole[..n].iter().sum();
                    let lacks = (1.0 - whole.iter().sum::<f64>()).max(0.0) + registers;
                    assert!((f64::from(null) - lacks).abs() < 1e-5, "{text} {name}: {null}, {lacks}");
                    with_null += 1;
                }
            }
        }
    }
    assert!(with_null > 1000);
}

#[test]
fn registers_are_tokens_that_the_text_sees_and_that_leave_no_output() {
    let plain = architecture("qkv_bias = true");
    let with = architecture("registers = 3");
    for name in ["none", "learned", "rope", "alibi"] {
        let short = config(with.clone(), position(name), Mask::Causal);
        // The same model with the registers as three more words.
        let mut longer = config(plain.clone(), position(name), Mask::Causal);
        (longer.vocab_size, longer.max_len) = (14, 19);
        let (model, parameters) = stirred(&short, DType::F32);
        let (other, others) = build(&longer, DType::F32);
        let values: BTreeMap<String, Tensor> =
            parameters.vars().into_iter().map(|(name, var)| (name, var.as_tensor().clone())).collect();
        for (name, var) in others.vars() {
            let value = match name.as_str() {
                "embed.weight" => {
                    Tensor::cat(&[&values["embed.weight"], &values["registers.weight"]], 0).unwrap()
                }
                name => values[name].clone(),
            };
            var.set(&value).unwrap();
        }
        let batch = tokens(2, 6);
        let words = Tensor::new(&[[11u32, 12, 13], [11, 12, 13]], &Device::Cpu).unwrap();
        let spelled = Tensor::cat(&[&words, &batch], 1).unwrap();
        let expected = other.predict(&spelled).unwrap().narrow(1, 3, 6).unwrap();
        let found = model.predict(&batch).unwrap();
        assert_eq!(found.dims(), [2, 6, 5]);
        assert!(largest_difference(&found, &expected) < 1e-6, "{name}");
        // Stage by stage the stream has their rows, in front.
        let entered = model.enter(&Pass::new(&batch), &mut NoHooks).unwrap();
        assert_eq!(entered.dims(), [2, 9, 8]);
        let resumed = model.logits(&model.resume(0, &entered, &batch, &mut NoHooks).unwrap()).unwrap();
        assert_eq!(bits(&resumed), bits(&found));
    }
    let placed = config(with, position("randomised"), Mask::Causal);
    assert!(placed.validate().unwrap_err().to_string().contains("3 registers stand in front"));
}
