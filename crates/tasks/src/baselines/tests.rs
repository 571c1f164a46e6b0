//! Baselines of tasks where they can be counted by hand.
#![allow(clippy::unwrap_used)]
use rand::SeedableRng;

use super::*;
use crate::{
    Ones, ProblemConfig, Protocol, TaskConfig,
    problems::{
        aa_star, bucket_sort, copy, dyck, even_pairs, first_token, majority, modular_arithmetic_brackets,
        parity, position_mod,
    },
};

fn compute(problem: ProblemConfig, protocol: Protocol, length: usize) -> Baselines {
    let config = TaskConfig { protocol: Some(protocol), ..TaskConfig::new(problem) };
    let task = config.build().unwrap();
    baselines(task.as_ref(), length, 4000, &mut Rng::seed_from_u64(3)).unwrap()
}

#[track_caller]
fn near(score: Score, token: f64, exact: f64) {
    let close = |a: f64, b: f64| (a - b).abs() < 0.03;
    assert!(close(score.token, token) && close(score.exact, exact), "{score:?}");
}

#[test]
fn fair_parity_is_a_coin_and_uniform_ones_make_even_likelier() {
    let parity = |ones| ProblemConfig::Parity(parity::Config { ones });
    near(compute(parity(Ones::Iid), Protocol::Encoder, 2).best(), 0.5, 0.5);
    // Of 0, 1, 2 ones two are even.
    let uniform = compute(parity(Ones::Uniform), Protocol::Encoder, 2);
    near(uniform.commonest, 2.0 / 3.0, 2.0 / 3.0);
    near(uniform.uniform, 0.5, 0.5);
}

#[test]
fn the_bag_control_is_a_coin_although_half_of_its_language_labels_are_free() {
    let problem = ProblemConfig::Majority(majority::Config::default());
    let found = compute(problem, Protocol::Language, 9);
    // Labels: the answer, then <eos>; three classes occur.
    near(found.by_position, 0.75, 0.5);
    near(found.commonest, 0.5, 0.0);
    near(found.uniform, 1.0 / 3.0, 1.0 / 9.0);
    near(found.best(), 0.75, 0.5);
}

#[test]
fn a_skewed_task_is_mostly_won_by_its_commonest_class() {
    let problem = ProblemConfig::AaStar(aa_star::Config { period: 4 });
    let found = compute(problem, Protocol::Prefix, 8);
    assert_eq!(found.commonest, Score { token: 0.75, exact: 0.0 });
    assert_eq!(found.uniform, Score { token: 0.5, exact: 0.5f64.powi(8) });
}

#[test]
fn a_task_of_places_is_wholly_won_by_the_class_of_each_place() {
    let problem = ProblemConfig::PositionMod(position_mod::Config { period: 3 });
    let found = compute(problem, Protocol::Prefix, 7);
    assert_eq!(found.by_position, Score { token: 1.0, exact: 1.0 });
    assert_eq!(found.commonest.token, 3.0 / 7.0);
}

#[test]
fn copying_many_symbols_leaves_nothing_to_guess() {
    let problem = ProblemConfig::Copy(copy::Config { distinct: true, symbols: None });
    let found = compute(problem, Protocol::Language, 10);
    // One label in eleven is <eos>; by its place it is certain.
    near(found.by_position, (1.0 + 10.0 / 150.0) / 11.0, 0.0);
}

#[test]
fn a_set_counts_as_one_class() {
    let problem =
        ProblemConfig::Dyck(dyck::Config { brackets: 1, max_depth: Some(1), ..dyck::Config::default() });
    // ()() : after ( only ), after ) only (.
    let found = compute(problem, Protocol::Prefix, 4);
    assert_eq!(found.by_position, Score { token: 1.0, exact: 1.0 });
    assert_eq!(found.uniform, Score { token: 0.5, exact: 0.0625 });
}

#[test]
fn an_automaton_of_one_symbol_sees_the_last_input_token_of_an_encoder() {
    let first =
        |length| compute(ProblemConfig::FirstToken(first_token::Config {}), Protocol::Encoder, length);
    near(first(1).by_token, 1.0, 1.0);
    near(first(2).by_token, 0.5, 0.5);
    near(first(2).by_bigram, 1.0, 1.0);
    near(first(3).by_bigram, 0.5, 0.5);
    // What reads the input is no guess.
    near(first(1).best(), 0.5, 0.5);
}

#[test]
fn an_automaton_of_one_symbol_sees_the_labelled_token_of_a_causal_task() {
    let dyck = dyck::Config { brackets: 1, max_depth: Some(1), ..dyck::Config::default() };
    let found = compute(ProblemConfig::Dyck(dyck), Protocol::Prefix, 6);
    assert_eq!(found.by_token, Score { token: 1.0, exact: 1.0 });

    // x₁ = xᵢ: certain at the first symbol, after <bos>, and at the second from both; else a coin.
    let found = compute(ProblemConfig::EvenPairs(even_pairs::Config {}), Protocol::Prefix, 3);
    near(found.by_bigram, 2.5 / 3.0, 0.5);

    // Copying one bit: after x₁ <sep> the answer is known, after <sep> alone a coin; then <eos>.
    let bits = copy::Config { distinct: false, symbols: Some(2) };
    let found = compute(ProblemConfig::Copy(bits), Protocol::Language, 1);
    near(found.by_bigram, 1.0, 1.0);
    near(found.by_token, 0.75, 0.5);
}

#[test]
fn products_make_zero_common_in_modular_arithmetic_with_brackets() {
    let config = modular_arithmetic_brackets::Config::default();
    let at =
        |length| compute(ProblemConfig::ModularArithmeticBrackets(config.clone()), Protocol::Encoder, length);
    // A model that scores 30 % at lengths 41 to 500 has learned nothing of the task.
    for length in [41, 150, 500] {
        let found = at(length);
        near(found.uniform, 0.2, 0.2);
        near(found.commonest, 0.308, 0.308);
        near(found.best(), 0.308, 0.308);
    }
}

#[test]
fn bucket_sort_is_mostly_won_by_the_class_of_each_place() {
    let problem = ProblemConfig::BucketSort(bucket_sort::Config::default());
    let task = TaskConfig { protocol: Some(Protocol::Encoder), ..TaskConfig::new(problem) }.build().unwrap();
    let lengths = [41, 100, 200, 300, 400, 500];
    let at = |length| baselines(task.as_ref(), length, 400, &mut Rng::seed_from_u64(5)).unwrap();
    let found = lengths.map(|length| at(length).by_position.token);
    // The published bar for solved is 90 % on average over lengths 41 to 500.
    let mean = found.iter().sum::<f64>() / found.len() as f64;
    assert!((mean - 0.9).abs() < 0.02 && found[0] > 0.75, "{found:?}");
}
