//! Sequences as people read them: every token, and under it what the model should say there.
//!
//! ```text
//! <bos> 0 1 <sep> 1 0
//! ·     · · 1     0 <eos>
//! ```

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Batch, IGNORE, Labels, Rng, Split, Task, TaskError};

/// Stands in print where a position has no label.
const NO_LABEL: &str = "·";

/// The most members of a set that are printed.
const MEMBERS: usize = 6;

/// One sequence in printed names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Example {
    /// What the model is given.
    pub tokens: Vec<String>,
    /// What it should say at each token, if anything: a class, or a set as its members between braces.
    pub labels: Vec<Option<String>>,
}

/// Draws `count` training sequences of one problem length.
pub fn examples(
    task: &dyn Task,
    length: usize,
    count: usize,
    rng: &mut Rng,
) -> Result<Vec<Example>, TaskError> {
    let batch = task.batch(Split::Train, count, length, rng)?;
    let name = |names: &[String], id: u32| match names.get(id as usize) {
        Some(name) => name.clone(),
        None => format!("<{id}>"),
    };
    let tokens: Vec<String> = batch.tokens.iter().map(|id| name(task.vocabulary(), *id)).collect();
    let labels: Vec<Option<String>> = labels(&batch, |class| name(task.output_names(), class));
    let len = batch.len.max(1);
    let rows = tokens.chunks(len).zip(labels.chunks(len));
    Ok(rows.map(|(tokens, labels)| Example { tokens: tokens.to_vec(), labels: labels.to_vec() }).collect())
}

fn labels(batch: &Batch, name: impl Fn(u32) -> String) -> Vec<Option<String>> {
    match &batch.labels {
        Labels::Classes(classes) => classes.iter().map(|c| (*c != IGNORE).then(|| name(*c))).collect(),
        Labels::Sets { classes, values, mask } => {
            let set = |members: &[f32]| {
                let members = members.iter().zip(0..).filter(|(member, _)| **member != 0.0);
                let mut names: Vec<String> = members.map(|(_, class)| name(class)).collect();
                if names.len() > MEMBERS {
                    names.truncate(MEMBERS);
                    names.push("…".to_owned());
                }
                format!("{{{}}}", names.join(","))
            };
            let sets = values.chunks((*classes).max(1)).zip(mask);
            sets.map(|(members, mask)| (*mask != 0.0).then(|| set(members))).collect()
        }
    }
}

/// Two lines in columns: tokens over labels.
impl fmt::Display for Example {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels: Vec<&str> = self.labels.iter().map(|l| l.as_deref().unwrap_or(NO_LABEL)).collect();
        let width = |i: usize| {
            let label = labels.get(i).map_or(0, |label| label.chars().count());
            label.max(self.tokens[i].chars().count())
        };
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            let cells: Vec<String> =
                cells.enumerate().map(|(i, cell)| format!("{cell:w$}", w = width(i))).collect();
            cells.join(" ").trim_end().to_owned()
        };
        writeln!(f, "{}", line(&mut self.tokens.iter().map(String::as_str)))?;
        write!(f, "{}", line(&mut labels.iter().copied()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use rand::SeedableRng;

    use super::*;
    use crate::problems::{bracket_depth, dyck, reverse, which_closes};
    use crate::{ProblemConfig, Protocol, TaskConfig};

    fn printed(problem: ProblemConfig, protocol: Protocol, length: usize) -> Vec<String> {
        let config = TaskConfig { protocol: Some(protocol), ..TaskConfig::new(problem) };
        let task = config.build().unwrap();
        let drawn = examples(task.as_ref(), length, 3, &mut Rng::seed_from_u64(1)).unwrap();
        assert_eq!(drawn.len(), 3);
        drawn.iter().map(Example::to_string).collect()
    }

    #[test]
    fn labels_stand_under_the_tokens_they_belong_to() {
        let reverse = ProblemConfig::Reverse(reverse::Config::default());
        for example in printed(reverse, Protocol::Language, 2) {
            let [first, last] = [6, 8].map(|at| &example[at..=at]);
            let expected =
                format!("<bos> {first} {last} <sep> {last} {first}\n·     · · {last}     {first} <eos>");
            assert_eq!(example, expected);
        }
    }

    #[test]
    fn sets_are_printed_by_their_members_up_to_six() {
        let bounded = dyck::Config { brackets: 1, max_depth: Some(1), ..dyck::Config::default() };
        let example = &printed(ProblemConfig::Dyck(bounded), Protocol::Prefix, 4)[0];
        assert_eq!(example, "<bos> (   )   (   )\n·     {)} {(} {)} {(}");
        let wide = dyck::Config { brackets: 9, ..dyck::Config::default() };
        let example = &printed(ProblemConfig::Dyck(wide), Protocol::Prefix, 2)[0];
        assert!(example.contains("{(0,(1,(2,(3,(4,(5,…}"), "{example}");
    }

    #[test]
    fn a_place_without_a_label_is_a_dot() {
        let closes = ProblemConfig::WhichCloses(which_closes::Config { brackets: 2, ..Default::default() });
        let example = &printed(closes, Protocol::Prefix, 2)[0];
        assert!(example.starts_with("<bos> ") && example.ends_with(" ·"), "{example}");
        let depth = ProblemConfig::BracketDepth(bracket_depth::Config::default());
        assert_eq!(printed(depth, Protocol::Prefix, 2)[0], "<bos> ( )\n·     1 0");
    }
}
