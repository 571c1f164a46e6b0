//! What was measured, as types. Times are in milliseconds, memory in bytes, lengths in tokens.

use serde::{Deserialize, Serialize};

/// A whole measurement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CostReport {
    /// Sizes and how was measured.
    pub setting: Setting,
    /// The forms of attention, in the order of the tables.
    pub forms: Vec<Form>,
    /// A line for each form at each level, pass and batch.
    pub series: Vec<Series>,
}

/// Sizes and how was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Setting {
    /// Where the model is from: a file, or `default`.
    pub model: String,
    /// D.
    pub d_model: usize,
    /// Query heads H.
    pub n_heads: usize,
    /// Key/value heads G.
    pub n_kv_heads: usize,
    /// Width K of a head.
    pub head_dim: usize,
    /// Blocks of the whole model.
    pub n_layers: usize,
    /// Token ids of the whole model.
    pub vocab: usize,
    /// Tokens that a window form sees, itself among them.
    pub window: usize,
    /// First keys that stay visible beside the window.
    pub sinks: usize,
    /// Tokens of a block of the block-sparse form.
    pub block: usize,
    /// Earlier blocks that each of its blocks sees.
    pub keep: usize,
    /// Keys that the top-k form keeps.
    pub top_k: usize,
    /// Timings of each point, in random order among all points, after those that warm up.
    pub repeats: usize,
    /// Of weights, inputs and that order.
    pub seed: u64,
    /// The time that was to be spent.
    pub minutes: f64,
    /// Memory that no point was to exceed.
    pub most_mib: usize,
    /// Caches of a core, smallest first, where the system tells.
    pub caches: Vec<Cache>,
}

/// A cache for data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cache {
    /// `L1`, `L2`, ….
    pub name: String,
    /// Its size.
    pub bytes: u64,
}

/// A form of attention.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Form {
    /// Its name in tables and options.
    pub name: String,
    /// What it computes.
    pub about: String,
    /// Multiply-adds ×2 of its forward pass a head and sequence, as a formula in N.
    pub operations: String,
}

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Attention of given queries, keys and values.
    Attention,
    /// One block between an embedding and the final norm.
    Layer,
    /// The whole model with its head.
    Model,
}

/// In which direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pass {
    /// Forward, without recording gradients.
    Forward,
    /// Forward and backward.
    ForwardBackward,
}

/// What series have to share to be compared with one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Panel {
    /// What is timed.
    pub level: Level,
    /// In which direction.
    pub pass: Pass,
    /// Tokens of a batch, B = tokens/N; none: one sequence.
    pub batch_tokens: Option<usize>,
    /// Threads of the forward pass.
    pub threads: usize,
}

impl Level {
    /// In a title.
    pub fn title(self) -> &'static str {
        match self {
            Self::Attention => "attention alone",
            Self::Layer => "one layer",
            Self::Model => "the whole model",
        }
    }
}

impl Panel {
    /// In a title: `one layer, forward and backward, one sequence, 1 thread`.
    pub fn title(&self) -> String {
        let pass = match self.pass {
            Pass::Forward => "forward",
            Pass::ForwardBackward => "forward and backward",
        };
        let batch = match self.batch_tokens {
            Some(tokens) => format!("batches of {tokens} tokens"),
            None => "one sequence".to_owned(),
        };
        let threads =
            if self.threads == 1 { "1 thread".to_owned() } else { format!("{} threads", self.threads) };
        format!("{}, {pass}, {batch}, {threads}", self.level.title())
    }
}

/// One form against length.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// What it may be compared with.
    #[serde(flatten)]
    pub panel: Panel,
    /// The form's name.
    pub form: String,
    /// The lengths that were measured, ascending.
    pub points: Vec<Point>,
    /// From which length on nothing was measured, and why.
    pub skipped: Option<Skipped>,
    /// Between neighbouring points.
    pub exponents: Vec<Exponents>,
    /// Time of a sequence as a·N² + b·N + c; none with fewer than four points.
    pub fit: Option<Fit>,
    /// Where it becomes faster than `full`; none of `full` itself and where that is not measured.
    pub crossover: Option<Crossover>,
}

/// One length.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// N.
    pub length: usize,
    /// Sequences B of a call.
    pub batch: usize,
    /// Calls that one timing holds.
    pub calls: usize,
    /// Wall-clock time of a sequence: a call's divided by B.
    pub ms: Spread,
    /// User and system time of the process, likewise; where the system tells.
    pub cpu_ms: Option<Spread>,
    /// Most bytes that a call held at a time beyond those before it, on a thread without memory of its own.
    pub peak_bytes: Option<u64>,
    /// The smallest cache that holds so much; none if no cache does.
    pub cache: Option<String>,
    /// Pairs of query and key that the forms' definition needs in a forward pass, of all sequences, heads and layers.
    pub pairs: u64,
    /// Multiply-adds ×2 between queries, keys and values that the definition needs, backward pass included.
    pub attention_flops: u64,
    /// All matrix products of the call: projections, MLP and head besides attention.
    pub flops: u64,
    /// The wall-clock times of a sequence, in the order taken.
    pub samples: Vec<f64>,
}

/// Of repeated timings.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The middle one.
    pub median: f64,
    /// The shortest.
    pub min: f64,
}

/// Why a series ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Skipped {
    /// The first length that was not measured.
    pub length: usize,
    /// In words, with numbers.
    pub why: String,
}

/// A number with its 95 % bootstrap interval over the repeats.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimated {
    /// Of the medians.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// log(y₂/y₁)/log(N₂/N₁) of neighbouring lengths: the p of y ~ Nᵖ between them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exponents {
    /// N₁.
    pub from: usize,
    /// N₂.
    pub to: usize,
    /// Of a sequence's wall-clock time.
    pub time: Estimated,
    /// Of its CPU time.
    pub cpu: Option<Estimated>,
    /// Of peak memory over B.
    pub memory: Option<f64>,
    /// Of all counted operations over B.
    pub operations: f64,
}

/// t = a·N² + b·N + c, none of them negative, by least squares of relative errors.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fit {
    /// Milliseconds a squared token.
    pub a: Estimated,
    /// Milliseconds a token.
    pub b: Estimated,
    /// Milliseconds.
    pub c: Estimated,
    /// Root mean square of (fitted − measured)/measured.
    pub residual: f64,
    /// The length beyond which a·N² is more than half of the time; none if a is 0.
    pub quadratic_from: Option<f64>,
}

/// From which length on a form is faster than full attention, at every longer one that was measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Crossover {
    /// It is faster at every length.
    Below {
        /// The shortest one.
        length: usize,
    },
    /// The lines cross; between two lengths they are taken as straight in logarithms.
    At {
        /// Where.
        length: f64,
        /// Lower end of the 95 % bootstrap interval; none: it may be below every length.
        low: Option<f64>,
        /// Upper end; none: it may be above every length.
        high: Option<f64>,
    },
    /// It is not faster at the longest length.
    NotWithin {
        /// That length.
        length: usize,
    },
}
