//! What is said to help, as keys of a configuration: a remedy is a line here.
//!
//! "Said to": each expectation is its source's, for its models. `attnlab doctor --treat` tries it on the model at hand.

use serde::Serialize;

/// A change of a configuration that is said to help against some failure modes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Remedy {
    /// The name on the command line.
    pub name: &'static str,
    /// The change, as `--set` takes it.
    pub overrides: &'static [&'static str],
    /// The failure modes that it is said to help against, by name.
    pub helps: &'static [&'static str],
    /// What is expected of it.
    pub expectation: &'static str,
    /// Who says so.
    pub source: &'static str,
}

/// Every remedy there is; the first that helps against a failure mode is the one recommended.
pub fn remedies() -> &'static [Remedy] {
    const {
        &[
            Remedy {
                name: "softmax1",
                overrides: &["model.null_option=\"zero\""],
                helps: &["sink", "dormant"],
                expectation: "a head may attend to nothing; alone it often leaves the sink where it is",
                source: "Miller 2023; Xiao et al. 2023 (arXiv 2309.17453)",
            },
            Remedy {
                name: "sink_logit",
                overrides: &["model.null_option=\"learned\""],
                helps: &["sink", "dormant"],
                expectation: "as softmax1, with a learned share for nothing in each head",
                source: "gpt-oss 2025",
            },
            Remedy {
                name: "qk_norm",
                overrides: &["model.qk_norm=true"],
                helps: &["entropy_collapse"],
                expectation: "bounds the scores, so that rows cannot become one-hot by growth alone; it also bounds how \
                              far a head can stay sharp",
                source: "Henry et al. 2020 (arXiv 2010.04245); Dehghani et al. 2023 (arXiv 2302.05442)",
            },
            Remedy {
                name: "lower_learning_rate",
                overrides: &["train.learning_rate=1e-4"],
                helps: &["entropy_collapse"],
                expectation: "scores grow more slowly; sinks come later too (Gu et al. 2024: 18.2 → 2.9 % of heads)",
                source: "Zhai et al. 2023 (arXiv 2303.06296); Gu et al. 2024 (arXiv 2410.10781)",
            },
            Remedy {
                name: "alibi",
                overrides: &["position=\"alibi\""],
                helps: &["overload", "order"],
                expectation: "keeps attention near; sinks stay (Gu et al. 2024: 20.8 % of heads)",
                source: "Press et al. 2022 (arXiv 2108.12409)",
            },
            Remedy {
                name: "rope",
                overrides: &["position=\"rope\""],
                helps: &["order"],
                expectation: "scores depend on distance",
                source: "Su et al. 2021 (arXiv 2104.09864)",
            },
            Remedy {
                name: "log_n",
                overrides: &["position={ kind = \"log_n\", over = \"rope\" }"],
                helps: &["dispersion"],
                expectation: "scores grow with ln n as the number of keys does, so that weights do not spread",
                source: "Chiang & Cholak 2022 (arXiv 2202.12172)",
            },
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::super::failures;
    use super::*;

    #[test]
    fn every_remedy_has_its_own_name_a_change_and_a_failure_it_is_for() {
        let mut names = std::collections::HashSet::new();
        for remedy in remedies() {
            assert!(names.insert(remedy.name), "{} is there twice", remedy.name);
            assert!(
                !remedy.overrides.is_empty() && !remedy.expectation.is_empty() && !remedy.source.is_empty()
            );
            for failure in remedy.helps {
                assert!(failures().iter().any(|known| known.name == *failure), "{}: {failure}", remedy.name);
            }
        }
    }
}
