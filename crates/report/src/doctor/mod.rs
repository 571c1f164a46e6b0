//! What the doctor found, as text for tables and as one page that opens offline.
//!
//! Everything here is words and numbers that others computed. Every string passes askama's escaping or
//! `html::svg::escape`; the page runs no script and loads nothing.

mod pictures;

use askama::Template;

pub use pictures::{Curve, Map, Pictures, Stream};

/// One model on some texts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checkup {
    /// The model's name.
    pub model: String,
    /// Its family and size.
    pub note: String,
    /// What it read.
    pub texts: String,
    /// One a failure mode.
    pub entries: Vec<Entry>,
    /// What is drawn.
    pub pictures: Pictures,
    /// What became of remedies, if they were tried.
    pub trial: Option<Trial>,
}

/// What a verdict comes to at a glance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mark {
    /// Absent, or there and harmless.
    Good,
    /// There.
    Bad,
    /// Cannot be told.
    #[default]
    Open,
}

impl Mark {
    fn class(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Bad => "bad",
            Self::Open => "part",
        }
    }
}

/// One failure mode.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entry {
    /// The name in the registry.
    pub name: String,
    /// A title of a few words.
    pub title: String,
    /// At a glance.
    pub mark: Mark,
    /// `absent`, `present`, `present, harmless`, `cannot tell`.
    pub verdict: String,
    /// Severity in words and as a number; empty unless present.
    pub severity: String,
    /// The heads concerned, shortened.
    pub heads: String,
    /// The number with its interval.
    pub number: String,
    /// What uniform and random attention score, and the threshold.
    pub baseline: String,
    /// What the main intervention did.
    pub causal: String,
    /// What it means.
    pub says: Vec<String>,
    /// What is measured, and when it counts.
    pub about: String,
    /// Where that is from.
    pub source: String,
    /// Head by head: name, what, number with interval, baselines, note.
    pub evidence: Vec<[String; 5]>,
    /// Each intervention: what was done, effect with interval, what that says.
    pub interventions: Vec<[String; 3]>,
    /// What is said to help: name, change, expectation, source.
    pub remedies: Vec<[String; 4]>,
}

impl Entry {
    fn class(&self) -> &'static str {
        self.mark.class()
    }

    /// Whether there is more to say than the line of the table.
    fn has_more(&self) -> bool {
        !(self.says.is_empty() && self.evidence.is_empty() && self.interventions.is_empty())
    }
}

/// What became of remedies.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trial {
    /// What was trained, how often.
    pub setting: String,
    /// The names of the columns.
    pub columns: Vec<String>,
    /// One a remedy, the baseline first.
    pub rows: Vec<TrialRow>,
}

/// One remedy.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrialRow {
    /// At a glance.
    pub mark: Mark,
    /// One a column.
    pub cells: Vec<String>,
}

#[derive(Template)]
#[template(path = "doctor.html")]
struct Page<'a> {
    checkup: &'a Checkup,
    headline: String,
    sinks: String,
    entropy: String,
    mass: String,
    residual: String,
    norms: String,
    training: String,
    style: &'static str,
}

impl Checkup {
    /// How many failure modes came out how, in a sentence.
    pub fn headline(&self) -> String {
        let count = |mark: Mark| self.entries.iter().filter(|entry| entry.mark == mark).count();
        let (bad, open) = (count(Mark::Bad), count(Mark::Open));
        let harmless = self.entries.iter().filter(|e| e.mark == Mark::Good && e.verdict != "absent").count();
        format!(
            "Of {} failure modes {bad} {} present, {harmless} {} there without harm, and of {open} it cannot be told.",
            self.entries.len(),
            if bad == 1 { "is" } else { "are" },
            if harmless == 1 { "is" } else { "are" },
        )
    }

    /// The page. The same findings give the same bytes.
    pub fn html(&self) -> Result<String, askama::Error> {
        let p = &self.pictures;
        Page {
            checkup: self,
            headline: self.headline(),
            sinks: pictures::map("Largest sink rate α of each head", &p.sinks),
            entropy: pictures::map("Entropy of each head over its maximum", &p.entropy),
            mass: pictures::curves(
                "Keys that hold a share of the weight",
                "share of a row's weight",
                &p.mass,
                Some(1.0),
            ),
            residual: pictures::stream("What tells states apart, by layer", &p.residual, Some(1.0)),
            norms: pictures::stream("The first state's length over the others', by layer", &p.peak, None),
            training: pictures::curves("Entropy over training", "step", &p.training, Some(1.0)),
            style: concat!(include_str!("../../assets/report.css"), include_str!("../../assets/doctor.css")),
        }
        .render()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const EVIL: &str = "<script>alert('1')</script>\"&";

    /// A checkup in which every string is hostile.
    fn hostile() -> Checkup {
        let evil = || EVIL.to_owned();
        let entry = Entry {
            name: evil(),
            title: evil(),
            mark: Mark::Bad,
            verdict: evil(),
            severity: evil(),
            heads: evil(),
            number: evil(),
            baseline: evil(),
            causal: evil(),
            says: vec![evil()],
            about: evil(),
            source: evil(),
            evidence: vec![std::array::from_fn(|_| evil())],
            interventions: vec![std::array::from_fn(|_| evil())],
            remedies: vec![std::array::from_fn(|_| evil())],
        };
        let curve = Curve { name: evil(), points: vec![(0.9, 0.1), (0.95, 0.2)] };
        Checkup {
            model: evil(),
            note: evil(),
            texts: evil(),
            entries: vec![entry],
            pictures: Pictures {
                sinks: vec![vec![Some(0.1), None], vec![Some(0.9), Some(f64::NAN)]],
                entropy: vec![vec![Some(0.5)]],
                mass: vec![curve.clone()],
                residual: vec![curve.clone()],
                peak: vec![curve.clone()],
                training: vec![curve],
            },
            trial: Some(Trial {
                setting: evil(),
                columns: vec![evil()],
                rows: vec![TrialRow { mark: Mark::Good, cells: vec![evil()] }],
            }),
        }
    }

    #[test]
    fn no_string_of_a_finding_becomes_markup() {
        let page = hostile().html().unwrap();
        assert!(!page.contains("<script") && !page.contains("alert('1')"));
        let shown = page.matches("alert(").count();
        assert!(shown >= 25, "{shown}: every string is shown somewhere");
        assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("NaN"));
        assert_eq!(page, hostile().html().unwrap());
    }

    #[test]
    fn a_checkup_of_nothing_is_a_page_without_pictures() {
        let page = Checkup::default().html().unwrap();
        assert!(page.contains("Of 0 failure modes") && !page.contains("<svg"));
    }
}
