//! Each failure planted and found, and not found where it is not.
#![allow(clippy::unwrap_used)]

use std::collections::HashSet;

use super::testing::{D, Edit, MARK, finding, look_at_first, plant, texts};
use super::*;

fn untouched(_: &str, _: &mut [f64], _: usize) {}

/// Every head of every block one-hot: scores a thousand times as large.
fn sharp(name: &str, values: &mut [f64], _: usize) {
    if name.contains("attn.q.") {
        values.iter_mut().for_each(|x| *x *= 1000.0);
    }
}

/// Every head looks at everything alike.
fn even(name: &str, values: &mut [f64], _: usize) {
    if name.contains("attn.q.") {
        values.fill(0.0);
    }
}

fn is(edit: Edit<'_>, name: &str) -> Finding {
    finding(&plant(2, "rope", edit), &texts(6, 128), name)
}

#[test]
fn every_failure_says_what_it_is_and_has_its_own_name() {
    let mut names = HashSet::new();
    for failure in failures() {
        assert!(names.insert(failure.name), "{} is there twice", failure.name);
        for text in [failure.title, failure.about, failure.severity, failure.source] {
            assert!(!text.trim().is_empty(), "{}", failure.name);
        }
    }
}

#[test]
fn every_failure_is_examined_on_any_texts_without_an_error() {
    let model = plant(1, "rope", &untouched);
    for texts in [texts(1, 1), texts(2, 3), texts(5, 15), texts(6, 40), Vec::new()] {
        let case = Case::read(&model, &texts, Effort::default(), &|_, _, _| {}).unwrap();
        let findings = examine(&case, failures()).unwrap();
        assert_eq!(findings.len(), failures().len());
        for finding in &findings {
            let json = serde_json::to_string(finding).unwrap();
            assert!(!json.contains("NaN"), "{json}");
            assert_eq!(finding.severity.is_some(), finding.verdict == Verdict::Present);
            if texts.len() < LEAST_TEXTS {
                assert!(matches!(finding.verdict, Verdict::CannotTell { .. }), "{}", finding.name);
            }
        }
        assert!(case.pictures().unwrap().sinks.len() == 1);
    }
}

#[test]
fn a_planted_sink_is_found_with_its_key_and_its_drained_value() {
    let model = plant(1, "none", &look_at_first(8.0));
    let found = finding(&model, &texts(6, 64), "sink");
    assert_eq!((&found.verdict, found.heads.len(), found.severity), (&Verdict::Present, 2, Some(1.0)));
    let head = &found.heads[0];
    // e⁸ against 63 keys of 1, and the first rows less.
    assert!(head.estimate.mean > 0.97 && head.uniform.unwrap() < 0.08, "{head:?}");
    assert!(head.note.starts_with("key 0 in 6 of 6 texts"), "{}", head.note);
    assert_eq!(found.causal[0].unit, Unit::Loss);
    assert_eq!(found.benign, found.causal[0].role != Role::Harmful);
    assert!(found.remedies.iter().any(|remedy| remedy.name == "softmax1"));
    assert_eq!(is(&untouched, "sink").verdict, Verdict::Absent);
    assert_eq!(is(&even, "sink").verdict, Verdict::Absent);
}

#[test]
fn short_texts_and_few_texts_cannot_tell_a_sink() {
    let model = plant(1, "none", &look_at_first(8.0));
    for (texts, reason) in [(texts(6, 15), "15 tokens"), (texts(2, 64), "2 texts")] {
        let found = finding(&model, &texts, "sink");
        let Verdict::CannotTell { why } = &found.verdict else { panic!("{found:?}") };
        assert!(why.contains(reason) && found.severity.is_none() && found.remedies.is_empty(), "{why}");
    }
}

#[test]
fn heads_that_rest_on_a_drained_sink_are_dormant_and_idle() {
    // Head 0 rests, head 1 works: only its queries and keys are left as they were drawn.
    let rest = look_at_first(8.0);
    let half = |name: &str, values: &mut [f64], row: usize| {
        let of_head = if row == 1 || name.ends_with("bias") { 8 } else { 8 * row };
        if [
            "blocks.0.attn.q.weight",
            "blocks.0.attn.q.bias",
            "blocks.0.attn.k.weight",
            "blocks.0.attn.k.bias",
        ]
        .contains(&name)
        {
            rest(name, &mut values[..of_head], row);
        }
        // What is mixed in at the sink is nothing at all.
        if name == "blocks.0.attn.v.weight" {
            values.chunks_exact_mut(row).for_each(|row| {
                row[MARK] = row.iter().enumerate().filter(|(at, _)| *at != MARK).map(|(_, x)| x).sum::<f64>()
                    / (D - 1) as f64;
            });
        }
        if name == "blocks.0.attn.v.bias" {
            values.fill(0.0);
        }
    };
    let found = finding(&plant(1, "none", &half), &texts(6, 64), "dormant");
    assert_eq!(found.heads.len(), 1, "{found:?}");
    assert_eq!((found.heads[0].layer, found.heads[0].head), (0, 0));
    assert_eq!((&found.verdict, found.causal[0].role), (&Verdict::Present, Role::Idle), "{found:?}");
    assert_eq!(is(&untouched, "dormant").verdict, Verdict::Absent);
}

#[test]
fn one_hot_heads_everywhere_are_entropy_collapse_and_redundancy() {
    let found = is(&sharp, "entropy_collapse");
    assert_eq!((&found.verdict, found.heads.len()), (&Verdict::Present, 4));
    assert!(found.measure.as_ref().unwrap().estimate.high < 0.5);
    assert_eq!(is(&untouched, "entropy_collapse").verdict, Verdict::Absent);
    let found = is(&sharp, "redundancy");
    assert_eq!((&found.verdict, found.benign), (&Verdict::Present, true));
    assert_eq!(is(&even, "redundancy").verdict, Verdict::Absent);
}

#[test]
fn heads_that_cancel_are_overloaded_unless_they_are_used() {
    // Values whose mean over the vocabulary is nothing: what even attention gathers cancels.
    let quiet = |name: &str, values: &mut [f64], row: usize| {
        even(name, values, row);
        if name.ends_with("attn.o.weight") {
            values.iter_mut().for_each(|x| *x *= 1e-3);
        }
        if name.ends_with("attn.v.bias") {
            values.fill(0.0);
        }
    };
    let found = is(&quiet, "overload");
    assert_eq!((&found.verdict, found.causal[0].role), (&Verdict::Present, Role::Idle), "{found:?}");
    assert_eq!(is(&sharp, "overload").verdict, Verdict::Absent);
}

#[test]
fn states_that_are_one_are_a_rank_collapse() {
    let loud = |name: &str, values: &mut [f64], _: usize| {
        if name == "blocks.1.mlp.down.bias" {
            values.iter_mut().enumerate().for_each(|(at, x)| *x = 1000.0 * (at as f64).cos());
        }
    };
    let found = is(&loud, "rank_collapse");
    assert_eq!(found.verdict, Verdict::Present);
    assert!(found.severity.unwrap() > 0.9 && found.causal.len() == 1);
    assert_eq!(is(&untouched, "rank_collapse").verdict, Verdict::Absent);
}

#[test]
fn a_number_that_dwarfs_all_others_is_massive() {
    let huge = |name: &str, values: &mut [f64], row: usize| {
        if name == "embed.weight" {
            values[..row][MARK] = 3000.0;
        }
    };
    let found = is(&huge, "massive");
    assert_eq!(found.verdict, Verdict::Present);
    assert!(found.says[0].contains(&format!("channel {MARK} at position 0")), "{}", found.says[0]);
    assert_eq!(found.causal.len(), 1);
    assert_eq!(is(&untouched, "massive").verdict, Verdict::Absent);
}

#[test]
fn one_block_without_positions_has_no_notion_of_order() {
    // As drawn, attention moves the logits too little to tell.
    let loud = |name: &str, values: &mut [f64], _: usize| {
        if name == "blocks.0.attn.o.weight" {
            values.iter_mut().for_each(|x| *x *= 30.0);
        }
    };
    let blind = finding(&plant(1, "none", &loud), &texts(6, 20), "order");
    assert_eq!(blind.verdict, Verdict::Present, "{blind:?}");
    assert!(blind.measure.unwrap().estimate.high < 1e-12);
    assert_eq!(finding(&plant(1, "rope", &loud), &texts(6, 20), "order").verdict, Verdict::Absent);
}

#[test]
fn a_head_that_is_sharp_among_few_keys_only_disperses() {
    // e³ against n − 1: 0.65 of twelve keys, 0.15 of 112.
    let model = plant(1, "none", &look_at_first(3.0));
    let found = finding(&model, &texts(6, 128), "dispersion");
    assert_eq!((&found.verdict, found.heads.len()), (&Verdict::Present, 2), "{found:?}");
    assert!(found.heads[0].note.contains("past about 21 keys"), "{}", found.heads[0].note);
    let firm = plant(1, "none", &look_at_first(12.0));
    assert_eq!(finding(&firm, &texts(6, 128), "dispersion").verdict, Verdict::Absent);
    let short = finding(&model, &texts(6, 40), "dispersion");
    assert!(matches!(short.verdict, Verdict::CannotTell { .. }));
}
