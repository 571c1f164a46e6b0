//! The doctor: which failure modes of attention a model has on given texts, with evidence, and what is said to help.
//!
//! A [`Failure`] is a file and a line of the registry. It examines a [`Case`], a model and texts that were read once, and
//! gives a verdict. Three rules hold for all of them:
//!
//! - A verdict is about an interval over texts, by bootstrap. A failure is present only where the whole interval lies
//!   beyond the threshold and beyond what uniform and random attention score in the same rows.
//! - A pattern of weights is no illness. What an intervention on the heads concerned does to the loss is reported beside
//!   it, and a finding without harm is called [`Finding::benign`].
//! - What cannot be told is not guessed: too few texts, too short ones, and questions that need a loss where there is
//!   none end in [`Verdict::CannotTell`] with the reason.
//!
//! ```text
//! Case::read(model, texts, …)  →  examine(case, failures())  →  Finding …
//! ```

mod case;
mod dispersion;
mod dormant;
mod entropy_collapse;
mod error;
mod finding;
mod interval;
mod massive;
mod order;
mod overload;
mod periodicity;
mod pictures;
mod random;
mod rank_collapse;
mod redundancy;
mod remedies;
mod rows;
mod sink;
mod states;

pub use case::{Case, Effort, Head, Tell};
pub use error::{DoctorError, Result};
pub use finding::{Causal, Finding, Grade, HeadEvidence, Measured, Role, Unit, Verdict};
pub use interval::Interval;
pub use pictures::{MassPoint, Pictures, StreamPoint};
pub use remedies::{Remedy, remedies};

/// Texts that a verdict needs: an interval from fewer is none.
pub const LEAST_TEXTS: usize = 5;

/// A change of the loss below this many nats a target is none: one percent of perplexity. The same number is what the
/// final states may move, as a share of their length.
pub const NOTHING: f64 = 0.01;

/// A failure mode.
#[derive(Clone, Copy, Debug)]
pub struct Failure {
    /// The name in files.
    pub name: &'static str,
    /// A title of a few words.
    pub title: &'static str,
    /// What is measured and when it counts as present.
    pub about: &'static str,
    /// What its severity from 0 to 1 is.
    pub severity: &'static str,
    /// Where measure and threshold are from.
    pub source: &'static str,
    /// Whether a higher number is a worse one; else a lower one is.
    pub higher_is_worse: bool,
    /// How it is examined.
    examine: fn(&Case<'_>) -> Result<Examined>,
}

/// Every failure mode there is.
pub fn failures() -> &'static [Failure] {
    const {
        &[
            sink::FAILURE,
            dormant::FAILURE,
            overload::FAILURE,
            rank_collapse::FAILURE,
            entropy_collapse::FAILURE,
            dispersion::FAILURE,
            redundancy::FAILURE,
            massive::FAILURE,
            order::FAILURE,
            periodicity::FAILURE,
        ]
    }
}

/// What an examination found, before its failure is named.
#[derive(Clone, Debug)]
struct Examined {
    verdict: Verdict,
    severity: f64,
    benign: bool,
    measure: Option<Measured>,
    heads: Vec<HeadEvidence>,
    causal: Vec<Causal>,
    says: Vec<String>,
}

impl Examined {
    fn new(verdict: Verdict) -> Self {
        Self {
            verdict,
            severity: 0.0,
            benign: false,
            measure: None,
            heads: Vec::new(),
            causal: Vec::new(),
            says: Vec::new(),
        }
    }

    fn cannot_tell(why: impl Into<String>) -> Self {
        Self::new(Verdict::CannotTell { why: why.into() })
    }

    /// Present if any head is concerned.
    fn by_heads(heads: Vec<HeadEvidence>) -> Self {
        let verdict = if heads.is_empty() { Verdict::Absent } else { Verdict::Present };
        Self { heads, ..Self::new(verdict) }
    }
}

/// Examines a case for these failure modes, in order.
pub fn examine(case: &Case<'_>, failures: &[Failure]) -> Result<Vec<Finding>> {
    failures.iter().map(|failure| examine_one(case, failure)).collect()
}

fn examine_one(case: &Case<'_>, failure: &Failure) -> Result<Finding> {
    let mut found = match case.texts.is_empty() {
        true => Examined::cannot_tell("there are no texts"),
        false => (failure.examine)(case)?,
    };
    let texts = case.texts.len();
    if (1..LEAST_TEXTS).contains(&texts) && !matches!(found.verdict, Verdict::CannotTell { .. }) {
        let beyond = if found.verdict == Verdict::Present { "beyond" } else { "not beyond" };
        let why = format!(
            "the numbers are {beyond} the threshold, but {texts} texts give no interval to judge by; give at least \
             {LEAST_TEXTS}"
        );
        found.verdict = Verdict::CannotTell { why };
    }
    let present = found.verdict == Verdict::Present;
    let helps = |remedy: &&Remedy| remedy.helps.contains(&failure.name);
    Ok(Finding {
        name: failure.name,
        title: failure.title,
        verdict: found.verdict,
        severity: present.then(|| found.severity.clamp(0.0, 1.0)),
        benign: present && found.benign,
        measure: found.measure,
        heads: found.heads,
        causal: found.causal,
        says: found.says,
        remedies: if present { remedies().iter().filter(helps).collect() } else { Vec::new() },
    })
}

/// The most first.
fn sort(heads: &mut [HeadEvidence]) {
    heads.sort_by(|a, b| b.estimate.mean.total_cmp(&a.estimate.mean));
}

/// `1 of 4 heads`.
fn of_heads(some: usize, case: &Case<'_>) -> String {
    let all = case.heads().len();
    format!("{some} of {all} head{}", if all == 1 { "" } else { "s" })
}

/// Heads by layer, for specs that name heads of one layer.
fn by_layer<'h>(
    heads: impl IntoIterator<Item = &'h HeadEvidence>,
) -> std::collections::BTreeMap<usize, Vec<usize>> {
    let mut layers = std::collections::BTreeMap::<usize, Vec<usize>>::new();
    for at in heads {
        layers.entry(at.layer).or_default().push(at.head);
    }
    layers.values_mut().for_each(|heads| heads.sort_unstable());
    layers
}

/// Specs that make `change` of what these heads give, everywhere.
fn change_outputs<'h>(
    heads: impl IntoIterator<Item = &'h HeadEvidence>,
    change: &attnlab_hooks::Change,
) -> Vec<attnlab_hooks::HookSpec> {
    let spec = |(layer, heads): (usize, Vec<usize>)| {
        let point = attnlab_hooks::Point::block(attnlab_hooks::Site::Z, layer);
        attnlab_hooks::HookSpec::edit(point.to_string(), change.clone()).heads(heads)
    };
    by_layer(heads).into_iter().map(spec).collect()
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
