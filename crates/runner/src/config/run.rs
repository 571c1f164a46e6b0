//! One run, with everything resolved: what is written beside its results.

use attnlab_model::{Architecture, Details, Mask, ModelConfig};
use attnlab_positions::PositionConfig;
use attnlab_report::record::ControlKind;
use attnlab_tasks::{Task, TaskConfig};
use serde::Serialize;

use super::check::{built, findings};
use super::controls;
use super::eval::EvalConfig;
use super::experiment::load_single;
use super::kind::KindTable;
use super::plants::Plants;
use super::source::{ConfigError, Problem};
use super::train::TrainConfig;

/// One run of an experiment, with every default filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct RunConfig {
    /// The experiment's name.
    pub name: String,
    /// What is asked; its protocol is always given, and so is the digest of a text, so that what the file holds is
    /// part of the run's identity.
    pub task: TaskConfig,
    /// The model's choices; vocabulary, outputs, mask and longest sequence follow from the task.
    pub model: Architecture,
    /// The positional encoding.
    pub position: PositionConfig,
    /// How the model is trained.
    pub train: TrainConfig,
    /// How it is scored; the bins are always given.
    pub eval: EvalConfig,
    /// Where all randomness of the run comes from.
    pub seed: u64,
    /// What the run is there to guard against, and how it is trained other than its siblings; none for a result.
    pub control: Option<ControlKind>,
    /// What the doctor must find in it, and what it must not.
    pub plants: Plants,
}

/// The resolved file, in the order in which people read it.
#[derive(Serialize)]
struct Document<'a> {
    name: &'a str,
    seed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    control: Option<ControlKind>,
    task: KindTable,
    model: &'a Architecture,
    position: KindTable,
    train: &'a TrainConfig,
    eval: &'a EvalConfig,
    #[serde(skip_serializing_if = "Plants::is_empty")]
    plants: &'a Plants,
}

/// Longest name of a run's folder; with the experiment's folder and a file it stays below every system's limit.
const LONGEST_ID: usize = 100;

impl RunConfig {
    /// The resolved configuration as a file that loads to the same run.
    pub fn to_toml(&self) -> Result<String, ConfigError> {
        self.written(&self.name)
    }

    fn written(&self, name: &str) -> Result<String, ConfigError> {
        let document = Document {
            name,
            seed: self.seed,
            control: self.control,
            task: self.task_table()?,
            model: &self.model,
            position: self.position_table()?,
            train: &self.train,
            eval: &self.eval,
            plants: &self.plants,
        };
        Ok(toml::to_string(&document)?)
    }

    pub(crate) fn task_table(&self) -> Result<KindTable, toml::ser::Error> {
        let common = vec![
            ("protocol".to_string(), toml::Value::String(self.task.protocol().name().to_string())),
            ("bos".to_string(), toml::Value::Boolean(self.task.bos)),
        ];
        KindTable::new(&self.task.problem, common)
    }

    pub(crate) fn position_table(&self) -> Result<KindTable, toml::ser::Error> {
        KindTable::new(&self.position, Vec::new())
    }

    /// Reads what [`RunConfig::to_toml`] wrote, or any configuration of a single run.
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        load_single("config.toml", text)
    }

    /// 16 hexadecimal digits that change with anything that the results depend on, which the experiment's name
    /// is not part of: an entry added to a grid leaves the other runs' hashes alone.
    pub fn hash(&self) -> String {
        // Only numbers beyond TOML's range cannot be written, and no loaded configuration has any.
        let text = self.written("").unwrap_or_else(|_| format!("{self:?}"));
        format!("{:016x}", hashed(text.as_bytes()))
    }

    /// The run's folder: `aa_star-prefix.rope.l2-d32-h2.lr0.003.s0-1f2e3d4c`. Lower-case letters, digits and `._-`
    /// only, at most 100 characters. It depends on the resolved configuration and not on the grid around it, so
    /// that a grid that grows finds its finished runs again.
    pub fn id(&self) -> String {
        let m = &self.model;
        let words = format!(
            "{}-{}.{}.l{}-d{}-h{}.lr{}",
            self.task.kind(),
            self.task.protocol().name(),
            slug(&self.position.label()),
            m.n_layers,
            m.d_model,
            m.n_heads,
            self.train.learning_rate,
        );
        let control = self.control.map(|control| format!(".{}", controls::name_of(control)));
        let tail = format!("{}.s{}-{}", control.unwrap_or_default(), self.seed, &self.hash()[..8]);
        let words: String = words.chars().take(LONGEST_ID - tail.len()).collect();
        format!("{}{tail}", words.trim_end_matches(['.', '-']))
    }

    /// The longest token sequence among the training and test lengths.
    pub fn longest_sequence(&self, task: &dyn Task) -> usize {
        let ranges = std::iter::once(&self.train.lengths).chain(&self.eval.bins);
        ranges.map(|lengths| task.token_len(lengths[1])).max().unwrap_or(0)
    }

    /// The whole model, for the task that [`RunConfig::task`] builds.
    pub fn model_config(&self, task: &dyn Task) -> ModelConfig {
        ModelConfig {
            vocab_size: task.vocabulary().len(),
            n_outputs: task.outputs(),
            max_len: self.longest_sequence(task),
            mask: if task.causal() { Mask::Causal } else { Mask::Bidirectional },
            position: self.position.clone(),
            architecture: self.model.clone(),
            details: Details::default(),
        }
    }

    /// Refuses what cannot be run. A loaded configuration has passed this, with places in its messages.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let found = findings(self, &built(&self.task));
        if found.is_empty() {
            return Ok(());
        }
        let problem =
            |message| Problem { place: None, source: self.name.clone(), message, notes: Vec::new() };
        Err(ConfigError::Invalid(found.into_iter().map(|f| problem(f.message)).collect()))
    }
}

/// FNV-1a, then a finalizer (MurmurHash3's) so that every digit depends on every byte. The standard library's
/// hasher may change between versions of Rust, and folders are named by this.
fn hashed(bytes: &[u8]) -> u64 {
    let mut hash = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    for multiplier in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
        hash = (hash ^ (hash >> 33)).wrapping_mul(multiplier);
    }
    hash ^ (hash >> 33)
}

/// Only what every file system takes: lower-case letters, digits, `_`, and `-` for runs of anything else.
fn slug(text: &str) -> String {
    let mut out = String::new();
    for c in text.to_lowercase().chars() {
        if c.is_ascii_alphanumeric() || c == '_' {
            out.push(c);
        } else if !out.ends_with('-') {
            out.push('-');
        }
    }
    out.trim_matches('-').to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_holds_nothing_that_a_file_system_minds() {
        assert_eq!(slug("RoPE (25 %)"), "rope-25");
        assert_eq!(slug("../a\\b:c\u{e9}"), "a-b-c");
        assert_eq!(slug("learned+offset"), "learned-offset");
    }

    #[test]
    fn the_hash_is_this_function_for_ever() {
        assert_eq!(format!("{:016x}", hashed(b"attnlab")), "b2af56d84db1083a");
    }
}
