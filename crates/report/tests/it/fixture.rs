//! Grids that look like real ones, written into a folder the way a runner writes them.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use attnlab_report::record::{
    Accuracy, Axis, BinScore, Claim, ControlKind, Evaluation, Grid, HeadScore, LengthScore, Metric,
    MetricLine, Outcome, PlannedRun, Population, Provenance, Session, Target, Targets, Tolerance,
};
use safetensors::Dtype;
use safetensors::tensor::{TensorView, serialize};

/// How the runs of one task × encoding come out.
#[derive(Clone, Copy)]
pub enum Fate {
    Holds,
    /// In-distribution 1, then down to chance over this many lengths.
    Breaks(f64),
    Untrained,
    Diverges,
    /// Learns the training lengths and is tested on no others.
    Fits,
    /// A constant scores as well as the model: 1.
    Trivial,
    Waits,
    /// A text: this loss at the training lengths, and as much more per hundred lengths beyond.
    Text(f64, f64),
    /// The last seed does not fit, the others break over this many lengths.
    Partly(f64),
}

/// A task without a right answer.
pub const TEXT: &str = "text (a.txt, bytes)";

pub const BINS: [(usize, usize); 3] = [(1, 40), (41, 80), (81, 160)];

pub fn planned(task: &str, position: &str, seed: u64) -> PlannedRun {
    let plain = |text: &str| -> String {
        text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
    };
    PlannedRun {
        id: format!("{}-{}-s{seed}", plain(task), plain(position)),
        settings: BTreeMap::from([
            ("task".to_owned(), task.to_owned()),
            ("position".to_owned(), position.to_owned()),
        ]),
        task: task.to_owned(),
        position: position.to_owned(),
        seed,
        ..PlannedRun::default()
    }
}

/// Writes a grid of `tasks` (name, chance) × `positions` × seeds.
pub fn write(
    dir: &Path,
    tasks: &[(&str, f64)],
    positions: &[&str],
    seeds: u64,
    fate: impl Fn(&str, &str) -> Fate,
) -> Grid {
    let mut runs = Vec::new();
    for (task, _) in tasks {
        for position in positions {
            for seed in 0..seeds {
                runs.push(planned(task, position, seed));
            }
        }
    }
    let grid = Grid {
        name: "order-and-length".to_owned(),
        description: "Which encodings carry word order, and how far beyond the lengths they were trained on?"
            .to_owned(),
        axes: vec![
            Axis { key: "task".into(), values: tasks.iter().map(|t| t.0.to_owned()).collect() },
            Axis { key: "position".into(), values: positions.iter().map(|p| (*p).to_owned()).collect() },
        ],
        runs,
        targets: Targets::default(),
    };
    write_grid(dir, &grid);
    for run in &grid.runs {
        let chance = tasks.iter().find(|t| t.0 == run.task).unwrap().1;
        let mut fate = fate(&run.task, &run.position);
        if let Fate::Partly(over) = fate {
            fate = if run.seed + 1 == seeds { Fate::Untrained } else { Fate::Breaks(over) };
        }
        write_run(dir, run, fate, chance);
    }
    grid
}

pub fn write_grid(dir: &Path, grid: &Grid) {
    fs::create_dir_all(dir).unwrap();
    fs::write(dir.join("grid.json"), serde_json::to_string_pretty(grid).unwrap()).unwrap();
}

/// Deterministic noise in -1..1.
fn noise(run: &PlannedRun, at: usize) -> f64 {
    let mut hash = 0xcbf2_9ce4_8422_2325u64 ^ (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for byte in run.id.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash ^= hash >> 29;
    hash = hash.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (hash >> 11) as f64 / (1u64 << 52) as f64 - 1.0
}

fn token(run: &PlannedRun, fate: Fate, chance: f64, length: usize) -> f64 {
    let beyond = length.saturating_sub(40) as f64;
    let wobble = noise(run, length);
    let value = match fate {
        Fate::Breaks(over) => {
            let over = over * (1.0 + 0.3 * noise(run, 0));
            chance
                + (1.0 - chance) * (-(beyond / over).powi(2)).exp()
                + 0.01 * wobble * f64::from(beyond > 0.0)
        }
        Fate::Untrained | Fate::Diverges => chance + 0.02 * wobble,
        Fate::Text(..) => 0.45,
        _ => 1.0,
    };
    value.clamp(0.0, 1.0)
}

/// Seeds differ by at most 0.02, and by nothing else.
fn loss(run: &PlannedRun, fate: Fate, length: usize) -> f64 {
    match fate {
        Fate::Text(trained, slope) => {
            trained + 0.02 * noise(run, 0) + slope * length.saturating_sub(40) as f64 / 100.0
        }
        Fate::Diverges => f64::NAN,
        _ => 0.1,
    }
}

pub fn write_run(dir: &Path, run: &PlannedRun, fate: Fate, chance: f64) {
    if matches!(fate, Fate::Waits) {
        return;
    }
    let folder = dir.join(&run.id);
    fs::create_dir_all(folder.join("maps")).unwrap();
    let accuracy = |length: usize| {
        let token = token(run, fate, chance, length);
        Accuracy { token, exact: token.powi(6) }
    };
    let trivial = match fate {
        Fate::Trivial => Accuracy { token: 1.0, exact: 1.0 },
        _ => Accuracy { token: chance, exact: chance.powi(6) },
    };
    let (tested, longest) = if matches!(fate, Fate::Fits) { (1, 40) } else { (BINS.len(), 160) };
    let curve: Vec<LengthScore> = (0..20)
        .map(|i| {
            let length = if i < 8 { 5 + 5 * i } else { 50 + 10 * (i - 8) };
            LengthScore {
                length,
                sequences: 200,
                loss: loss(run, fate, length),
                accuracy: accuracy(length),
                chance: trivial,
            }
        })
        .filter(|point| point.length <= longest)
        .collect();
    let bins = BINS.map(|(from, to)| {
        let inside: Vec<Accuracy> = (from..=to).map(accuracy).collect();
        let n = inside.len() as f64;
        BinScore {
            from,
            to,
            sequences: 2_000,
            distinct: 1_990,
            loss: (from..=to).map(|length| loss(run, fate, length)).sum::<f64>() / n,
            accuracy: Accuracy {
                token: inside.iter().map(|a| a.token).sum::<f64>() / n,
                exact: inside.iter().map(|a| a.exact).sum::<f64>() / n,
            },
            chance: trivial,
            permuted: None,
            seen: None,
            unseen: None,
            parts: Vec::new(),
        }
    });
    let outcome = match fate {
        Fate::Breaks(over) => {
            Outcome::FailsToGeneralise { breaks_at: 41 + (over * 0.25) as usize + run.seed as usize }
        }
        Fate::Fits => Outcome::Fits,
        Fate::Trivial => Outcome::Trivial,
        Fate::Untrained => Outcome::FailsToTrain,
        Fate::Text(..) => Outcome::Measured,
        Fate::Diverges => Outcome::Diverged { step: 700, reason: "loss is NaN".into() },
        _ => Outcome::Generalises,
    };
    let heads = (0..2)
        .flat_map(|layer| (0..4).map(move |head| (layer, head)))
        .map(|(layer, head)| {
            let names =
                ["entropy", "first_token_mass", "previous_token_mass", "sink_rate", "effective_support"];
            let value = |i: usize| (noise(run, 1000 + layer * 100 + head * 10 + i) + 1.0) / 2.0;
            HeadScore {
                layer,
                head,
                values: names.iter().enumerate().map(|(i, n)| ((*n).to_owned(), value(i))).collect(),
                uniform: names
                    .iter()
                    .enumerate()
                    .map(|(i, n)| ((*n).to_owned(), 0.1 + 0.15 * i as f64))
                    .collect(),
            }
        })
        .collect();
    let evaluation = Evaluation {
        id: run.id.clone(),
        outcome,
        steps: 3_000,
        parameters: 206_336,
        metric: Metric::Exact,
        train_lengths: (1, 40),
        bins: bins.into_iter().take(tested).collect(),
        curve,
        heads,
    };
    let mut metrics = String::new();
    for i in 0..120u32 {
        let t = f64::from(i) / 120.0;
        let learned = match fate {
            Fate::Untrained => 0.05 * t,
            _ => 1.0 / (1.0 + (-(t - 0.3 - 0.1 * noise(run, 7)) * 18.0).exp()),
        };
        let loss = if matches!(fate, Fate::Diverges) && i > 28 {
            f64::NAN
        } else {
            0.69 * (1.0 - learned) + 0.03 * (1.0 + noise(run, 2000 + i as usize)) * (1.0 - learned * 0.9)
        };
        let line = MetricLine {
            step: u64::from(i * 25 + 25),
            loss,
            learning_rate: 1e-3,
            gradient_norm: 1.0,
            labels: u64::from(i) * 1000,
            accuracy: (i % 6 == 5).then_some(Accuracy { token: 0.5 + 0.5 * learned, exact: learned }),
            longest: None,
        };
        metrics.push_str(&serde_json::to_string(&line).unwrap());
        metrics.push('\n');
    }
    let provenance = Provenance {
        version: "0.1.0".into(),
        revision: Some("3f2c9ab1d0e4".into()),
        machine: "linux x86_64".into(),
        config_hash: format!("{:016x}", (noise(run, 3) * 1e15) as i64 as u64),
        sessions: vec![Session { started: 1_790_000_000, seconds: Some(61.5), ..Session::default() }],
    };
    fs::write(folder.join("config.toml"), "seed = 0\n").unwrap();
    fs::write(folder.join("metrics.jsonl"), metrics).unwrap();
    fs::write(folder.join("provenance.json"), serde_json::to_string(&provenance).unwrap()).unwrap();
    fs::write(folder.join("eval.json"), serde_json::to_string(&evaluation).unwrap()).unwrap();
    fs::write(folder.join("DONE"), "").unwrap();
    write_maps(&folder, run, 24, 3, &[]);
}

/// Two layers of four causal heads: previous token, first token, broad, diagonal … with `words` in place of the first tokens.
pub fn write_maps(folder: &Path, run: &PlannedRun, length: usize, examples: usize, words: &[&str]) {
    let mut tensors: Vec<(String, Vec<u8>)> = Vec::new();
    for layer in 0..2 {
        let mut bytes = Vec::new();
        for example in 0..examples {
            for head in 0..4 {
                for query in 0..length {
                    let raw: Vec<f64> = (0..length)
                        .map(|key| match () {
                            () if key > query => 0.0,
                            () => {
                                let distance = (query - key) as f64;
                                let wobble = 1.0 + 0.4 * noise(run, example * 7 + layer * 31 + key);
                                wobble
                                    * match (head + layer) % 4 {
                                        0 => (-(distance - 1.0).abs() * 2.0).exp(),
                                        1 => {
                                            if key == 0 {
                                                8.0
                                            } else {
                                                0.2
                                            }
                                        }
                                        2 => 1.0,
                                        _ => (-(key as f64 - query as f64 / 2.0).abs()).exp(),
                                    }
                            }
                        })
                        .collect();
                    let sum: f64 = raw.iter().sum();
                    bytes.extend(raw.iter().flat_map(|w| ((w / sum) as f32).to_le_bytes()));
                }
            }
        }
        tensors.push((format!("blocks.{layer}.attn.hook_pattern"), bytes));
    }
    let ids: Vec<u8> = (0..examples * length).flat_map(|i| (i as i64 % 7).to_le_bytes()).collect();
    let tokens: Vec<Vec<String>> = (0..examples)
        .map(|example| {
            (0..length)
                .map(|i| match (words.get(i), i) {
                    (Some(word), _) => (*word).to_owned(),
                    (None, 0) => "<bos>".to_owned(),
                    _ => ["0", "1"][(noise(run, 50 + example * 100 + i) > 0.0) as usize].to_owned(),
                })
                .collect()
        })
        .collect();
    let views: Vec<(String, TensorView<'_>)> = tensors
        .iter()
        .map(|(name, bytes)| {
            (name.clone(), TensorView::new(Dtype::F32, vec![examples, 4, length, length], bytes).unwrap())
        })
        .chain([("input_ids".to_owned(), TensorView::new(Dtype::I64, vec![examples, length], &ids).unwrap())])
        .collect();
    let metadata = HashMap::from([("tokens".to_owned(), serde_json::to_string(&tokens).unwrap())]);
    fs::create_dir_all(folder.join("maps")).unwrap();
    fs::write(folder.join("maps/step-003000.safetensors"), serialize(views, Some(metadata)).unwrap())
        .unwrap();
}

/// A published number of every cell, within five points.
pub fn target(percent: &[f64]) -> Target {
    Target {
        task: None,
        position: None,
        metric: Metric::Exact,
        of: Population::Fitting,
        percent: percent.into(),
        tolerance: Tolerance(vec![5.0]),
        bins: None,
        source: "Huang et al. 2024, fig. 1".into(),
        protocol: None,
        note: None,
    }
}

fn findings() -> Vec<Claim> {
    let claim =
        |says: &str, task: &str| Claim { says: says.into(), task: Some(task.into()), ..Claim::default() };
    vec![
        Claim {
            better: Some("learned+offset".into()),
            worse: Some("none".into()),
            by: Some(20.0),
            ..claim("With random offsets unique copy holds, without an encoding it fails", "unique copy")
        },
        Claim {
            position: Some("*".into()),
            below: Some(90.0),
            ..claim("No encoding solves parity beyond the training lengths", "parity")
        },
        Claim {
            position: Some("alibi".into()),
            drop: Some(20.0),
            ..claim("ALiBi learns reverse and loses it", "reverse")
        },
        Claim {
            position: Some("none".into()),
            above: Some(90.0),
            ..claim("Without an encoding Dyck-1 holds", "Dyck-1")
        },
    ]
}

/// Control runs of two tasks, and shuffled and unseen scores for two.
fn add_controls(dir: &Path, grid: &mut Grid) {
    use ControlKind::{Frozen, Positive, ShuffledLabels};
    for run in &mut grid.runs {
        let class = match run.task.as_str() {
            "majority" => "control",
            "reverse" | "unique copy" => "order",
            _ => continue,
        };
        run.class = Some(class.into());
        if matches!(class, "control") || run.task == "reverse" {
            let shuffled = if class == "control" { 1.0 } else { 0.03 };
            edit(dir, run, |e| e.bins[0].permuted = Some(Accuracy { token: 0.6, exact: shuffled }));
        }
        if run.task == "reverse" {
            edit(dir, run, |e| {
                e.bins[0].seen = Some(0.25);
                e.bins[0].unseen = Some(e.bins[0].accuracy);
            });
        }
    }
    for (task, chance) in [("reverse", 0.5), ("parity", 0.5)] {
        let fates = [(ShuffledLabels, Fate::Untrained), (Frozen, Fate::Untrained), (Positive, Fate::Holds)];
        for (kind, fate) in fates {
            grid.runs.push(control(dir, kind, planned(task, "rope", 0), fate, chance));
        }
    }
}

/// Writes a control run.
pub fn control(dir: &Path, kind: ControlKind, mut run: PlannedRun, fate: Fate, chance: f64) -> PlannedRun {
    run.id = format!("{}-{kind:?}", run.id);
    run.control = Some(kind);
    write_run(dir, &run, fate, chance);
    run
}

/// Changes what a run came to.
pub fn edit(dir: &Path, run: &PlannedRun, change: impl FnOnce(&mut Evaluation)) {
    let file = dir.join(&run.id).join("eval.json");
    let Ok(text) = fs::read_to_string(&file) else { return };
    let mut evaluation = serde_json::from_str(&text).unwrap();
    change(&mut evaluation);
    fs::write(file, serde_json::to_string(&evaluation).unwrap()).unwrap();
}

/// The grid that the sample page shows: every kind of outcome at once, published numbers included.
pub fn sample(dir: &Path) -> Grid {
    let positions = ["none", "sinusoidal", "learned", "learned+offset", "rope", "alibi", "t5"];
    let tasks = [
        ("majority", 0.5),
        ("reverse", 0.5),
        ("unique copy", 0.02),
        ("parity", 0.5),
        ("sort", 0.02),
        ("cycle navigation", 0.2),
        (TEXT, 0.0),
        ("recall", 0.1),
        ("last symbol", 1.0),
    ];
    let mut grid = write(dir, &tasks, &positions, 3, |task, position| match (task, position) {
        ("majority", _) => Fate::Holds,
        ("recall", _) => Fate::Fits,
        ("last symbol", _) => Fate::Trivial,
        ("parity", "alibi" | "t5") => Fate::Breaks(60.0),
        ("parity", "rope") => Fate::Diverges,
        ("parity", "learned+offset") => Fate::Partly(90.0),
        ("parity", _) => Fate::Untrained,
        (TEXT, "none") => Fate::Text(2.04, 0.3),
        (TEXT, "sinusoidal") => Fate::Text(1.96, 1.6),
        (TEXT, "learned") => Fate::Text(1.97, 2.1),
        (TEXT, "learned+offset") => Fate::Text(2.01, 0.1),
        (TEXT, "rope") => Fate::Text(1.90, 0.9),
        (TEXT, _) => Fate::Text(1.91, -0.03),
        ("cycle navigation", "t5") => Fate::Waits,
        ("cycle navigation", "none") => Fate::Untrained,
        ("unique copy", "learned+offset" | "alibi") => Fate::Holds,
        ("sort", "none") => Fate::Breaks(150.0),
        ("sort", _) => Fate::Holds,
        (_, "alibi") => Fate::Breaks(400.0),
        (_, "t5") => Fate::Breaks(120.0),
        (_, "rope") => Fate::Breaks(45.0),
        (_, "sinusoidal") => Fate::Breaks(12.0),
        (_, "learned") => Fate::Breaks(6.0),
        (_, "learned+offset") => Fate::Breaks(70.0),
        _ => Fate::Breaks(25.0),
    });
    let published = |task: &str, position: &str, percent: [f64; 3]| Target {
        task: Some(task.into()),
        position: Some(position.into()),
        ..target(&percent)
    };
    grid.targets.target = vec![
        published("unique copy", "none", [100.0, 18.0, 0.0]),
        published("unique copy", "learned+offset", [100.0, 99.9, 98.7]),
        published("sort", "none", [100.0, 99.8, 80.6]),
        published("tomita 3", "none", [60.5, 7.7, 0.0]),
    ];
    grid.targets.finding = findings();
    add_controls(dir, &mut grid);
    write_grid(dir, &grid);
    fs::remove_file(dir.join("cycle-navigation-rope-s1/DONE")).unwrap();
    fs::write(dir.join("cycle-navigation-learned-s2/eval.json"), "{\"id\":").unwrap();
    grid
}
