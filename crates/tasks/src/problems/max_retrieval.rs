//! Max retrieval: the class of the item of largest priority. Example: 3:b 7:a 5:c → a; of the prefixes b, a, a.

use rand::Rng as _;
use serde::{Deserialize, Serialize};

use super::in_range;
use crate::registry::{Class, Info, Kind, Setting};
use crate::{IGNORE, PrefixLabels, Problem, Protocol, Rng, Symbol, Task, TaskError};

/// Options of `max_retrieval`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Number of priorities, 2 to 1000 (default 16).
    pub priorities: u32,
    /// Number of classes, 2 to 26 (default 10).
    pub classes: u32,
    /// The largest item stands among so many first ones, 1 to 1000000, at every length: the same needle in ever more hay.
    /// By default it stands anywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within: Option<u32>,
}

impl Default for Config {
    fn default() -> Self {
        Config { priorities: 16, classes: 10, within: None }
    }
}

impl Kind for Config {
    const INFO: Info = Info {
        kind: "max_retrieval",
        title: "Max retrieval",
        class: Class::Recall,
        protocols: &[Protocol::Encoder, Protocol::Language, Protocol::Prefix],
        definition: "n items, each a token that stands for a priority of 0..`priorities` and a class of `classes` → the class \
                     of the item with the largest priority. That priority is the largest of n uniform ones (not 0 unless \
                     n = 1) at a uniform place (among the first `within`), the other n − 1 are uniform below it, so that one \
                     item alone has it; classes are independent and uniform. A prefix with several largest items has no \
                     label.",
        expected: "Learned at every trained length, as order does not matter; beyond, the largest item's weight falls, as \
                   scores are bounded and ever more items share the rest: accuracy decays with length in every encoding \
                   that does not sharpen.",
        source: "Veličković et al. 2024 (arXiv 2410.01104), who train on up to 16 items with priorities of 0..1; \
                 levels are this project's, so that an item is a token",
        example: "kind = \"max_retrieval\"\nprotocol = \"encoder\"\npriorities = 16\nclasses = 10\n\
                  within = 8\n",
    };

    fn build(&self, setting: &Setting<'_>) -> Result<Box<dyn Task>, TaskError> {
        in_range("max_retrieval", "priorities", self.priorities, 2..=1000)?;
        in_range("max_retrieval", "classes", self.classes, 2..=26)?;
        if let Some(within) = self.within {
            in_range("max_retrieval", "within", within, 1..=1_000_000)?;
        }
        let within = self.within.map(|within| within as usize);
        Ok(setting.pose(MaxRetrieval { priorities: self.priorities, classes: self.classes, within }))
    }
}

/// The problem. The symbol of priority p and class c is p·classes + c.
struct MaxRetrieval {
    priorities: u32,
    classes: u32,
    within: Option<usize>,
}

fn letter(class: u32) -> char {
    char::from(b'a' + class as u8)
}

impl Problem for MaxRetrieval {
    fn label(&self) -> String {
        let within = self.within.map_or(String::new(), |within| format!(", among the first {within}"));
        format!("max retrieval ({} priorities, {} classes{within})", self.priorities, self.classes)
    }

    fn alphabet(&self) -> Vec<String> {
        let item = |p| (0..self.classes).map(move |c| format!("{p}:{}", letter(c)));
        (0..self.priorities).flat_map(item).collect()
    }

    fn answers(&self) -> Vec<String> {
        (0..self.classes).map(|c| letter(c).to_string()).collect()
    }

    fn sample(&self, length: usize, rng: &mut Rng) -> Vec<Symbol> {
        // Of two or more priorities all are 0 at most a quarter of the time, so this ends soon.
        let largest = loop {
            let largest = (0..length).map(|_| rng.random_range(0..self.priorities)).max().unwrap_or(0);
            if largest > 0 || length < 2 {
                break largest;
            }
        };
        let places = self.within.unwrap_or(length).min(length).max(1);
        let place = rng.random_range(0..places as u64) as usize;
        let mut item = |at| match at == place {
            true => largest * self.classes + rng.random_range(0..self.classes),
            // There is another item only if the largest is above 0.
            false => rng.random_range(0..largest * self.classes),
        };
        (0..length).map(&mut item).collect()
    }

    /// Of several items with the largest priority the first one's.
    fn answer(&self, x: &[Symbol]) -> Option<Vec<Symbol>> {
        let best = x.iter().rev().max_by_key(|item| *item / self.classes)?;
        Some(vec![best % self.classes])
    }

    fn prefix_labels(&self, x: &[Symbol]) -> Option<PrefixLabels> {
        let mut best: Option<Symbol> = None;
        let mut alone = true;
        let labels = x.iter().map(|item| {
            let (priority, largest) = (item / self.classes, best.map(|best| best / self.classes));
            if largest.is_none_or(|largest| priority > largest) {
                (best, alone) = (Some(*item), true);
            } else if largest == Some(priority) {
                alone = false;
            }
            best.filter(|_| alone).map_or(IGNORE, |best| best % self.classes)
        });
        Some(PrefixLabels::Classes(labels.collect()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand::SeedableRng;

    use super::*;
    use crate::problems::exhaustive::{answers_are, prefixes_are, strings};

    #[test]
    fn every_short_string_has_the_class_of_the_item_that_no_other_beats() {
        for (priorities, classes, max) in [(2, 2, 6), (3, 2, 5), (2, 3, 4)] {
            let problem = MaxRetrieval { priorities, classes, within: None };
            answers_are(&problem, max, |x| {
                let (mut winner, mut class) = (x[0] / classes, x[0] % classes);
                for item in &x[1..] {
                    if item / classes > winner {
                        (winner, class) = (item / classes, item % classes);
                    }
                }
                class
            });
            prefixes_are(&problem, max, |x| {
                let beaten = |item: &&Symbol| x.iter().any(|other| other / classes > **item / classes);
                let best: Vec<&Symbol> = x.iter().filter(|item| !beaten(item)).collect();
                if best.len() == 1 { best[0] % classes } else { IGNORE }
            });
        }
    }

    #[test]
    fn strings_have_one_largest_item_and_are_distributed_as_said() {
        for (length, within) in [(1, None), (2, None), (3, None), (3, Some(1)), (3, Some(2)), (2, Some(9))] {
            let problem = MaxRetrieval { priorities: 3, classes: 2, within };
            let places = within.unwrap_or(length).min(length);
            // The law by hand: P(largest = m) of n uniform priorities, given that it is not 0; then all alike.
            let cube = |m: f64| (m / 3.0).powi(length as i32);
            let p = |x: &[Symbol]| {
                let priorities: Vec<u32> = x.iter().map(|item| item / 2).collect();
                let m = priorities.iter().copied().max().unwrap_or(0);
                let alone = priorities.iter().filter(|p| **p == m).count() == 1;
                if !alone || !priorities[..places].contains(&m) || (m == 0 && length > 1) {
                    return 0.0;
                }
                let given = if length > 1 { 1.0 - cube(1.0) } else { 1.0 };
                let largest = (cube(f64::from(m) + 1.0) - cube(f64::from(m))) / given;
                // Place, its class, and the other items.
                largest / places as f64 / 2.0 / f64::from(2 * m.max(1)).powi(length as i32 - 1)
            };
            let all = strings(6, length);
            assert!((all.iter().map(|x| p(x)).sum::<f64>() - 1.0).abs() < 1e-12);
            let mut rng = Rng::seed_from_u64(5);
            let mut seen: BTreeMap<Vec<Symbol>, f64> = BTreeMap::new();
            let draws = 60_000.0;
            (0..draws as usize)
                .for_each(|_| *seen.entry(problem.sample(length, &mut rng)).or_default() += 1.0);
            for x in all {
                let (count, expected) = (seen.get(&x).copied().unwrap_or(0.0), draws * p(&x));
                assert!((count - expected).abs() <= 5.0 * expected.sqrt(), "{x:?}: {count}, {expected}");
            }
        }
    }
}
