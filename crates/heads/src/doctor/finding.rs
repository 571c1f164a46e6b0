//! What the doctor says: plain structs that serialise.

use serde::Serialize;

use super::interval::Interval;
use super::remedies::Remedy;

/// Whether a failure mode is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Verdict {
    /// Measured, and not beyond threshold and baselines.
    Absent,
    /// The interval lies beyond the threshold and beyond both baselines.
    Present,
    /// It cannot be told.
    CannotTell {
        /// Why, and what would help.
        why: String,
    },
}

/// How much of a failure there is, by [`Finding::severity`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    /// Below a third.
    Mild,
    /// Below two thirds.
    Moderate,
    /// Above.
    Strong,
}

impl Grade {
    /// Of a severity from 0 to 1.
    pub fn of(severity: f64) -> Self {
        match severity {
            s if s < 1.0 / 3.0 => Self::Mild,
            s if s < 2.0 / 3.0 => Self::Moderate,
            _ => Self::Strong,
        }
    }

    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mild => "mild",
            Self::Moderate => "moderate",
            Self::Strong => "strong",
        }
    }
}

/// One failure mode, examined.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// The name in the registry.
    pub name: &'static str,
    /// A title of a few words.
    pub title: &'static str,
    /// Whether it is there.
    pub verdict: Verdict,
    /// How much of it, 0 to 1, as [`super::Failure::about`] defines it; none unless it is present.
    pub severity: Option<f64>,
    /// That it is there and the evidence says it does no harm: [`Self::is_alarm`].
    pub benign: bool,
    /// The number that the verdict is about, of the whole model.
    pub measure: Option<Measured>,
    /// The heads concerned, most first.
    pub heads: Vec<HeadEvidence>,
    /// What interventions on them did.
    pub causal: Vec<Causal>,
    /// What it means, in sentences.
    pub says: Vec<String>,
    /// What is said to help.
    pub remedies: Vec<&'static Remedy>,
}

impl Finding {
    /// Whether it is there and not known to be harmless.
    pub fn is_alarm(&self) -> bool {
        self.verdict == Verdict::Present && !self.benign
    }

    /// The grade of the severity.
    pub fn grade(&self) -> Option<Grade> {
        self.severity.map(Grade::of)
    }
}

/// A number beside what it is held against.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// What is measured, with its definition.
    pub what: String,
    /// The number.
    pub estimate: Interval,
    /// What uniform attention scores.
    pub uniform: Option<f64>,
    /// What random attention scores: softmax of independent standard normal scores, seeded.
    pub random: Option<f64>,
    /// Beyond which it counts.
    pub threshold: f64,
}

/// One head's number.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HeadEvidence {
    /// The block.
    pub layer: usize,
    /// The query head.
    pub head: usize,
    /// What is measured.
    pub metric: &'static str,
    /// The number.
    pub estimate: Interval,
    /// What uniform attention scores in the same rows.
    pub uniform: Option<f64>,
    /// What random attention scores.
    pub random: Option<f64>,
    /// Anything else about this head.
    pub note: String,
}

/// What an intervention did, text by text.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Causal {
    /// What was done.
    pub did: String,
    /// In what the effect is counted.
    pub unit: Unit,
    /// The effect: of a loss, how much it rises; of states, how far they move.
    pub effect: Interval,
    /// The loss without it, in nats a target; none without targets.
    pub loss_before: Option<f64>,
    /// What that says.
    pub role: Role,
}

/// What an effect is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Nats a target.
    Loss,
    /// ‖h′ − h‖/‖h‖ of the final states, for a model or text without targets.
    HiddenChange,
}

/// What part something plays, by what taking it away did to the loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The loss rises: the model uses it.
    Used,
    /// The loss moves by less than [`super::NOTHING`] either way: it does nothing.
    Idle,
    /// The loss falls: the model is better without.
    Harmful,
    /// The interval does not say, or there is no loss.
    Open,
}
