//! Made-up heads of known kinds, for looking at the inspection page without a model.

use attnlab_report::inspect::{
    CurveInfo, Map, MapPacker, Model, Page, Profile, Quantity, Reading, Statistic, Thin,
};

/// What to make.
#[derive(Clone, Copy)]
pub struct Size {
    pub layers: usize,
    pub heads: usize,
    pub tokens: usize,
    /// Every so many heads has a map.
    pub map_every: usize,
    /// Whether there are value-weighted maps and scores as well.
    pub extras: bool,
}

const WORDS: [&str; 24] = [
    "The", " cat", " sat", " on", " the", " mat", ",", " and", " a", " dog", " saw", " it", ".", " When",
    " Mary", " gave", " John", " some", " milk", "ing", " ▁", "\n", " naïve", " 日本",
];

/// A number of 0..1 that depends on the arguments alone.
pub fn draw(a: usize, b: usize, c: usize) -> f32 {
    let mut x =
        (a as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (b as u64).wrapping_mul(0xC2B2_AE3D_27D4_EB4F);
    x ^= (c as u64).wrapping_mul(0x1656_67B1_9E37_79F9);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((x ^ (x >> 31)) >> 40) as f32 / 16_777_216.0
}

pub fn tokens(n: usize, seed: usize) -> Vec<String> {
    // The second half repeats the first, as the induction heads need.
    let word = |i: usize| WORDS[(draw(i % n.div_ceil(2), seed, 5) * WORDS.len() as f32) as usize];
    (0..n).map(|i| if i == 0 { "<|endoftext|>".to_owned() } else { word(i).to_owned() }).collect()
}

/// Weights of a row: a mixture of shapes in proportions that depend on the head.
pub fn row(head: usize, seed: usize, query: usize, tokens: usize, out: &mut Vec<f32>) {
    out.clear();
    let kind = draw(head, seed, 1);
    let noise = 0.15 + draw(head, seed, 2);
    let span = 2.0 + 60.0 * draw(head, seed, 3);
    out.extend((0..=query).map(|key| {
        let spark = draw(head * 131 + seed, query, key);
        let spark = spark * spark * spark * spark * noise;
        match kind {
            x if x < 0.3 => 0.02 * spark,
            x if x < 0.55 => spark / (1.0 + (query - key) as f32 / span),
            _ => spark,
        }
    }));
    let sum: f32 = out.iter().sum::<f32>().max(1e-9);
    let peak = (draw(head, query, 9) * 0.35 + 0.6) * if kind < 0.85 { 1.0 } else { 0.0 };
    let at = match kind {
        x if x < 0.35 => 0,
        x if x < 0.55 => query.saturating_sub(1),
        x if x < 0.7 && query >= tokens / 2 => (query + 1).saturating_sub(tokens / 2),
        x if x < 0.7 => 0,
        _ => query,
    };
    for w in out.iter_mut() {
        *w *= (1.0 - peak) / sum;
    }
    if let Some(w) = out.get_mut(at.min(query)) {
        *w += peak;
    }
}

pub fn statistics() -> Vec<Statistic> {
    [
        ("entropy", "entropy", "mean over i of −Σ_j A_ij ln A_ij, in nats", "spread out"),
        (
            "first_token",
            "first-token mass",
            "mean over i of A_i0",
            "parks its attention on the first token: a sink",
        ),
        ("previous", "previous-token score", "mean over i of A_i,i−1", "looks one token back"),
        (
            "induction",
            "induction score",
            "mean weight on the token after the last occurrence",
            "copies what followed before",
        ),
        ("self", "current-token mass", "mean over i of A_ii", "looks at itself"),
        ("max", "largest weight", "mean over i of max_j A_ij", "sure of one key"),
        ("distance", "mean distance", "mean over i of Σ_j A_ij (i − j)", "looks far back"),
        (
            "n_90",
            "keys for 90 % of the mass",
            "mean over i of the fewest keys that hold 0.9",
            "needs many keys",
        ),
        ("support", "effective support", "mean over i of 1 / Σ_j A_ij²", "needs many keys"),
        ("sparsity", "weights below 1 % of the row's largest", "share of visible keys", "sparse"),
    ]
    .map(|(name, title, formula, higher)| Statistic {
        name: name.into(),
        title: title.into(),
        formula: formula.into(),
        higher: higher.into(),
    })
    .into()
}

/// Adds one row's part of each statistic.
fn add(sums: &mut [f64], row: &[f32], query: usize, tokens: usize) {
    let most = row.iter().copied().fold(0f32, f32::max);
    let (mut entropy, mut distance, mut squares, mut small) = (0f64, 0f64, 0f64, 0usize);
    for (key, &w) in row.iter().enumerate() {
        let v = f64::from(w);
        entropy -= if w > 0.0 { v * f64::from(w.ln()) } else { 0.0 };
        distance += v * (query - key) as f64;
        squares += v * v;
        small += usize::from(w < 0.01 * most);
    }
    let at = |key: Option<usize>| key.and_then(|k| row.get(k)).map_or(0.0, |w| f64::from(*w));
    let mut sorted = row.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let mut mass = 0.0;
    let n90 = sorted
        .iter()
        .take_while(|w| {
            mass += **w;
            mass - **w < 0.9
        })
        .count();
    let induced = (query + 1).checked_sub(tokens / 2).filter(|k| *k > 0);
    let parts = [
        entropy,
        at(Some(0)),
        at(query.checked_sub(1)),
        at(induced) * 2.0,
        at(Some(query)),
        f64::from(most),
        distance,
        n90 as f64,
        1.0 / squares.max(1e-12),
        small as f64 / row.len() as f64,
    ];
    for (sum, part) in sums.iter_mut().zip(parts) {
        *sum += part;
    }
}

pub fn reading(size: &Size, model: usize, text: &str, seed: usize) -> Reading {
    let n = size.tokens;
    let names = statistics().len();
    let mut reading = Reading::new(model, text, tokens(n, seed), (size.layers, size.heads, names));
    reading.loss = Some(2.0 + f64::from(draw(seed, 1, 1)));
    let distances: Vec<f64> = (0..n).map(|x| x as f64).collect();
    let curve = |name: &str, title: &str, x: &str, y: &str, log_x: bool, thin| CurveInfo {
        name: name.into(),
        title: title.into(),
        x_title: x.into(),
        y_title: y.into(),
        log_x,
        x: distances.clone(),
        baseline: None,
        thin,
    };
    reading.curves = vec![
        curve("distance", "Distance profile", "distance", "mean weight", true, Thin::Mean),
        curve("alpha", "Sink profile α", "key", "mean weight received", true, Thin::Max),
    ];
    let mut weights = Vec::new();
    // Long texts: the statistics of a sample of the rows.
    let stride = (n / 256).max(1);
    for layer in 0..size.layers {
        for head in 0..size.heads {
            let id = layer * size.heads + head;
            let mapped = id.is_multiple_of(size.map_every);
            let mut packer = mapped.then(|| MapPacker::new(n, true, Quantity::Weight).unwrap());
            let mut extras = (mapped && size.extras).then(|| {
                [Quantity::Contribution, Quantity::Score].map(|q| MapPacker::new(n, true, q).unwrap())
            });
            let (mut sums, mut seen) = (vec![0f64; names], 0);
            let (mut by_distance, mut received) = (vec![0f32; n], vec![0f32; n]);
            for query in 0..n {
                if !mapped && !query.is_multiple_of(stride) {
                    continue;
                }
                row(id, seed, query, n, &mut weights);
                if query.is_multiple_of(stride) {
                    add(&mut sums, &weights, query, n);
                    seen += 1;
                    for (key, w) in weights.iter().enumerate() {
                        by_distance[query - key] += w * stride as f32 / n as f32;
                        received[key] += w * stride as f32 / (n - key) as f32;
                    }
                }
                if let Some(packer) = &mut packer {
                    packer.row(query, 0, &weights).unwrap();
                }
                if let Some([values, scores]) = &mut extras {
                    let valued: Vec<f32> = weights
                        .iter()
                        .enumerate()
                        .map(|(k, w)| w * if k == 0 { 0.05 } else { 1.0 + draw(id, k, 3) })
                        .collect();
                    values.row(query, 0, &valued).unwrap();
                    let logs: Vec<f32> = weights.iter().map(|w| (w + 1e-6).ln() + 3.0).collect();
                    scores.row(query, 0, &logs).unwrap();
                }
            }
            for (statistic, sum) in sums.iter().enumerate() {
                reading.set_value(layer, head, statistic, Some(sum / f64::from(seen)));
            }
            for packer in packer.into_iter().chain(extras.into_iter().flatten()) {
                reading.maps.push(Map { layer, head, map: packer.finish().unwrap() });
            }
            for (curve, y) in [by_distance, received].into_iter().enumerate() {
                reading.profiles.push(Profile { layer, head, curve, y });
            }
        }
    }
    let mean = |f: &dyn Fn(f64) -> f64| (1..=n).map(|i| f(i as f64)).sum::<f64>() / n as f64;
    reading.baselines[0] = Some(mean(&f64::ln));
    for statistic in [1, 2, 4, 5] {
        reading.baselines[statistic] = Some(mean(&|i| 1.0 / i));
    }
    reading.baselines[6] = Some(mean(&|i| (i - 1.0) / 2.0));
    reading.baselines[8] = Some(mean(&|i| i));
    reading.baselines[9] = Some(0.0);
    reading
}

/// Two models on one text each and the first on a second text when `compared`.
pub fn page(size: Size, compared: bool) -> Page {
    let model = |name: &str, note: &str| Model {
        name: name.into(),
        n_layers: size.layers,
        n_heads: size.heads,
        note: note.into(),
    };
    let mut models = vec![model("made-up-135M", "causal, RoPE")];
    let mut readings = vec![reading(&size, 0, "the cat sat on the mat", 0)];
    if compared {
        models.push(model("made-up-135M step 500", "causal, RoPE"));
        readings.push(reading(&size, 1, "the cat sat on the mat", 1));
        readings[1].tokens = readings[0].tokens.clone();
        let shorter = Size { tokens: (size.tokens * 3 / 4).max(2), ..size };
        readings.push(reading(&shorter, 0, "a shorter text", 2));
    }
    Page {
        title: if compared { "Two made-up models" } else { "made-up-135M" }.into(),
        note: "Made-up heads of known kinds; no model was run.".into(),
        statistics: statistics(),
        models,
        readings,
    }
}
