//! Time of a forward pass in the shape of SmolLM2-135M with random weights: plain, and with statistics of every head.
//!
//! ```console
//! $ cargo run --release -p attnlab-heads --example survey_speed -- [TOKENS] [ROUNDS]
//! ```
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "an example")]

use std::time::Instant;

use attnlab_heads::{Survey, SurveyOptions};
use attnlab_ops::{
    self as ops, Activation, AttentionSpec, Extras, Result, RotaryLayout, Streams, Threads, WatchRows,
    WatchedRow,
};
use candle_core::{Device, Tensor};
use rand::Rng as _;

/// The allocator of the program itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const LAYERS: usize = 30;
const WIDTH: usize = 576;
const HEADS: usize = 9;
const GROUPS: usize = 3;
const K: usize = 64;
const MLP: usize = 1536;
const VOCABULARY: usize = 49152;

struct Layer {
    norms: [Tensor; 2],
    query: Tensor,
    key: Tensor,
    value: Tensor,
    output: Tensor,
    gate: Tensor,
    up: Tensor,
    down: Tensor,
}

struct Model {
    layers: Vec<Layer>,
    embedding: Tensor,
    norm: Tensor,
    cos: Tensor,
    sin: Tensor,
}

fn random(name: &str, dims: &[usize], size: f32) -> Tensor {
    let mut rng = Streams::new(5).rng(name, 0);
    let values: Vec<f32> = (0..dims.iter().product()).map(|_| size * rng.random_range(-1.7..1.7)).collect();
    Tensor::from_vec(values, dims, &Device::Cpu).unwrap()
}

impl Model {
    fn new(tokens: usize) -> Self {
        let layer = |l: usize| {
            let matrix = |name: &str, out: usize, inner: usize| {
                random(&format!("{l}.{name}"), &[out, inner], (inner as f32).powf(-0.5))
            };
            Layer {
                norms: [(); 2].map(|()| random("norm", &[WIDTH], 1.0)),
                query: matrix("q", HEADS * K, WIDTH),
                key: matrix("k", GROUPS * K, WIDTH),
                value: matrix("v", GROUPS * K, WIDTH),
                output: matrix("o", WIDTH, HEADS * K),
                gate: matrix("gate", MLP, WIDTH),
                up: matrix("up", MLP, WIDTH),
                down: matrix("down", WIDTH, MLP),
            }
        };
        let angle = |i: usize| (i / (K / 2)) as f32 * 1e5f32.powf(-((i % (K / 2)) as f32) / (K / 2) as f32);
        let angles: Vec<f32> = (0..tokens * K / 2).map(angle).collect();
        let angles = Tensor::from_vec(angles, (1, tokens, K / 2), &Device::Cpu).unwrap();
        Self {
            layers: (0..LAYERS).map(layer).collect(),
            embedding: random("embedding", &[VOCABULARY, WIDTH], 0.05),
            norm: random("norm", &[WIDTH], 1.0),
            cos: angles.cos().unwrap(),
            sin: angles.sin().unwrap(),
        }
    }

    fn forward<'a>(
        &self,
        ids: &Tensor,
        watch: &dyn Fn(usize) -> Option<Box<dyn WatchRows + 'a>>,
    ) -> Result<Tensor> {
        let t = ids.dim(1)?;
        let spec = AttentionSpec { scale: (K as f64).powf(-0.5), causal: true, window: None, softcap: None };
        let mut x = ops::embedding(ids, &self.embedding)?;
        for (l, layer) in self.layers.iter().enumerate() {
            let n = ops::rms_norm(&x, &layer.norms[0], 1e-5)?;
            let heads = |w: &Tensor, h: usize| ops::linear(&n, w, None)?.reshape((1, t, h, K));
            let turn = |x: Tensor| ops::rotate(&x, &self.cos, &self.sin, RotaryLayout::HalfSplit);
            let (q, k) = (turn(heads(&layer.query, HEADS)?)?, turn(heads(&layer.key, GROUPS)?)?);
            let v = heads(&layer.value, GROUPS)?;
            let z = match watch(l) {
                Some(watch) => ops::attention_watched(&q, &k, &v, &Extras::default(), &spec, &watch)?,
                None => ops::attention(&q, &k, &v, &Extras::default(), &spec)?,
            };
            x = ops::add(&x, &ops::linear(&z.reshape((1, t, HEADS * K))?, &layer.output, None)?)?;
            let n = ops::rms_norm(&x, &layer.norms[1], 1e-5)?;
            let (gate, up) = (ops::linear(&n, &layer.gate, None)?, ops::linear(&n, &layer.up, None)?);
            let inner = ops::gated(&gate, &up, Activation::Silu)?;
            x = ops::add(&x, &ops::linear(&inner, &layer.down, None)?)?;
        }
        ops::linear(&ops::rms_norm(&x, &self.norm, 1e-5)?, &self.embedding, None)
    }
}

/// Sees rows and does nothing.
struct Idle;

impl WatchRows for Idle {
    fn row(&self, row: &WatchedRow<'_>) {
        std::hint::black_box(row);
    }
}

/// Seconds that the processor spent on this program, on all threads: of use where others want the processor too.
fn processor() -> Option<f64> {
    let nanoseconds = |task: std::io::Result<std::fs::DirEntry>| {
        let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<f64>().ok()
    };
    Some(std::fs::read_dir("/proc/self/task").ok()?.filter_map(nanoseconds).sum::<f64>() * 1e-9)
}

/// The least of the clock and of the processor's time, seconds.
fn best(rounds: usize, mut f: impl FnMut()) -> [f64; 2] {
    let time = |()| {
        let (start, used) = (Instant::now(), processor());
        f();
        let wall = start.elapsed().as_secs_f64();
        [wall, processor().zip(used).map_or(wall, |(end, begin)| end - begin)]
    };
    let least = |a: [f64; 2], b: [f64; 2]| [a[0].min(b[0]), a[1].min(b[1])];
    (0..rounds).map(|_| ()).map(time).fold([f64::INFINITY; 2], least)
}

fn main() {
    let mut arguments = std::env::args().skip(1).map(|x| x.parse::<usize>().unwrap());
    let (t, rounds) = (arguments.next().unwrap_or(1024), arguments.next().unwrap_or(5));
    let model = Model::new(t);
    let mut rng = Streams::new(1).rng("ids", 0);
    let tokens: Vec<u32> = (0..t).map(|_| rng.random_range(0..VOCABULARY as u32)).collect();
    let ids = Tensor::from_slice(&tokens, (1, t), &Device::Cpu).unwrap();
    let per_token =
        LAYERS * (2 * WIDTH * HEADS * K + 2 * WIDTH * GROUPS * K + 3 * WIDTH * MLP) + WIDTH * VOCABULARY;
    let attention = LAYERS * HEADS * K * t * (t + 1); // q·k and p·v, of half the pairs
    let operations = (2 * per_token * t + 2 * attention) as f64;
    let (a, b) = (random("a", &[1024, 1024], 1.0), random("b", &[1024, 1024], 1.0));
    let product = best(20, || drop(ops::linear(&a, &b, None).unwrap()));
    let peak = 2.0 * 1024f64.powi(3) / product[1];
    println!("{t} tokens, {:.1} GFLOP; 1024³ on one thread: {:.1} GFLOP/s", operations / 1e9, peak / 1e9);
    println!(
        "milliseconds by the clock and by the processor, share of the peak, ratio to plain, by the processor:"
    );
    for count in [1, 2] {
        ops::on_threads(&Threads::new(count).unwrap(), || {
            let report = |what: &str, [wall, used]: [f64; 2], plain: f64| {
                println!(
                    "{count} threads | {what:<10} | {:6.0} | {:6.0} | {:3.0} % | {:.3}",
                    1e3 * wall,
                    1e3 * used,
                    100.0 * operations / used / peak,
                    used / plain
                );
            };
            let plain = best(rounds, || drop(model.forward(&ids, &|_| None).unwrap()));
            report("plain", plain, plain[1]);
            let idle = best(rounds, || drop(model.forward(&ids, &|_| Some(Box::new(Idle))).unwrap()));
            report("idle", idle, plain[1]);
            let survey = best(rounds, || {
                let mut survey = Survey::new(SurveyOptions::default());
                survey.begin_text(&tokens);
                model.forward(&ids, &|layer| Some(Box::new(survey.watch(layer)))).unwrap();
                assert_eq!(survey.finish().layers.len(), LAYERS);
            });
            report("survey", survey, plain[1]);
        });
    }
}
