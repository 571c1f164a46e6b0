//! What holds for every entry of the registry.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Instant;

use attnlab_tasks::{
    Batch, Class, IGNORE, Info, Labelling, Labels, Protocol, Rng, Split, Tally, Task, TaskConfig, TaskError,
    registry,
};
use rand_chacha::rand_core::SeedableRng;

use crate::root;

const LENGTHS: [usize; 12] = [1, 2, 3, 4, 5, 7, 9, 10, 15, 16, 40, 150];

fn example(info: &Info) -> TaskConfig {
    // A `[task]` table names its kind in a key; serde's form has the kind's own keys in a table of that name.
    let mut own: toml::Table = info.example.parse().unwrap_or_else(|error| panic!("{}: {error}", info.kind));
    let mut table = toml::Table::new();
    for common in ["protocol", "bos"] {
        table.extend(own.remove(common).map(|value| (common.to_owned(), value)));
    }
    let kind = own.remove("kind").and_then(|kind| kind.as_str().map(str::to_owned)).unwrap();
    table.insert(kind, toml::Value::Table(own));
    table.try_into().unwrap_or_else(|error| panic!("{}: {error}", info.kind))
}

/// The example of every kind under every protocol the kind lists, with and without `<bos>` where both exist.
fn every_task() -> Vec<(&'static Info, Box<dyn Task>)> {
    let mut tasks = Vec::new();
    for info in registry() {
        for protocol in info.protocols {
            for bos in [true, false] {
                let config = TaskConfig { protocol: Some(*protocol), bos, ..example(info) };
                match config.build_at(&root()) {
                    Ok(task) => tasks.push((info, task)),
                    Err(error) => assert!(matches!(error, TaskError::Bos { .. }), "{error}"),
                }
            }
        }
    }
    tasks
}

/// How many predictions a batch takes.
fn predictions(batch: &Batch) -> usize {
    match &batch.labels {
        Labels::Classes(classes) => classes.len(),
        Labels::Sets { values, .. } => values.len(),
    }
}

/// The first length from this one on that there are strings of.
fn admitted(task: &dyn Task, length: usize) -> usize {
    let found = (length..length + 100).find(|n| task.admits(*n));
    found.unwrap_or_else(|| panic!("{}: no length from {length} on", task.label()))
}

fn batch(task: &dyn Task, length: usize, seed: u64) -> Batch {
    let mut rng = Rng::seed_from_u64(seed);
    task.batch(Split::Train, 5, length, &mut rng).unwrap()
}

#[test]
fn every_kind_is_documented_and_named_once() {
    let mut kinds = HashSet::new();
    for info in registry() {
        assert!(kinds.insert(info.kind), "{} twice", info.kind);
        assert!(!info.protocols.is_empty(), "{}", info.kind);
        let unique: HashSet<_> = info.protocols.iter().collect();
        assert_eq!(unique.len(), info.protocols.len(), "{}", info.kind);
        for text in [info.title, info.definition, info.expected, info.source] {
            assert!(text.len() > 3, "{} lacks documentation", info.kind);
            assert!(!text.contains("  "), "{}: ragged text", info.kind);
        }
    }
    assert!(kinds.len() >= 19);
}

#[test]
fn every_example_is_a_task_of_its_kind_and_survives_writing() {
    for info in registry() {
        let config = example(info);
        assert_eq!(config.kind(), info.kind);
        let tagged = serde_json::to_value(&config.problem).unwrap();
        assert_eq!(
            tagged.as_object().unwrap().keys().collect::<Vec<_>>(),
            [info.kind],
            "the variant in snake case"
        );
        let written = toml::to_string(&config).unwrap();
        assert_eq!(toml::from_str::<TaskConfig>(&written).unwrap(), config, "{written}");
        let json = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<TaskConfig>(&json).unwrap(), config, "{json}");
        config.build_at(&root()).unwrap();
    }
}

#[test]
fn every_example_sets_every_field() {
    for info in registry() {
        let own: toml::Table = info.example.parse().unwrap();
        let written = toml::Table::try_from(example(info)).unwrap();
        let missing = |key: &&String| !own.contains_key(*key);
        let missing: Vec<&String> = written[info.kind].as_table().unwrap().keys().filter(missing).collect();
        assert!(missing.is_empty(), "{}: the example leaves out {missing:?}", info.kind);
    }
}

#[test]
fn every_label_is_there_and_no_other_kinds() {
    let mut labels = BTreeMap::new();
    for (info, task) in every_task() {
        assert!(!task.label().trim().is_empty(), "{} has no label", info.kind);
        let first = *labels.entry(task.label()).or_insert(info.kind);
        assert_eq!(first, info.kind, "both are called {}", task.label());
    }
}

#[test]
fn every_example_resolves_to_a_task_that_stays_as_it_is() {
    for info in registry() {
        let resolved = example(info).resolved_at(&root()).unwrap();
        assert_eq!(resolved.protocol, Some(resolved.protocol()));
        assert_eq!(resolved.resolved_at(&root()).unwrap(), resolved, "{}", info.kind);
        let written = toml::to_string(&resolved).unwrap();
        assert_eq!(toml::from_str::<TaskConfig>(&written).unwrap(), resolved, "{written}");
        assert_eq!(written.contains("digest"), info.kind == "text", "{written}");
        resolved.build_at(&root()).unwrap();
    }
}

#[test]
fn the_protocols_listed_are_the_ones_that_build() {
    for info in registry() {
        for protocol in [Protocol::Encoder, Protocol::Language, Protocol::Prefix] {
            let config = TaskConfig { protocol: Some(protocol), bos: true, ..example(info) };
            match config.build_at(&root()) {
                Ok(_) => assert!(info.protocols.contains(&protocol), "{}", info.kind),
                Err(error) => {
                    assert!(!info.protocols.contains(&protocol), "{}: {error}", info.kind);
                    assert!(error.to_string().contains(info.protocols[0].name()), "{error}");
                }
            }
        }
    }
}

#[test]
fn every_batch_has_its_shape_and_its_tokens_and_labels_in_range() {
    for (info, task) in every_task() {
        let lengths = BTreeSet::from(LENGTHS.map(|n| admitted(task.as_ref(), n)));
        assert!(lengths.len() >= 3, "{}: {lengths:?}", info.kind);
        for length in lengths {
            let batch = batch(task.as_ref(), length, 1);
            let what = format!("{} ({}) at {length}", task.label(), task.setting());
            assert_eq!((batch.rows, batch.len), (5, task.token_len(length)), "{what}");
            assert_eq!(batch.tokens.len(), 5 * batch.len, "{what}");
            let vocabulary = task.vocabulary().len() as u32;
            assert!(batch.tokens.iter().all(|t| *t < vocabulary), "{what}");
            let outputs = task.outputs();
            match &batch.labels {
                Labels::Classes(classes) => {
                    assert!(!task.labels_are_sets(), "{what}");
                    assert_eq!(classes.len(), batch.tokens.len(), "{what}");
                    let legal = |c: &u32| *c == IGNORE || (*c as usize) < outputs;
                    assert!(classes.iter().all(legal), "{what}");
                }
                Labels::Sets { classes, values, mask } => {
                    assert!(task.labels_are_sets(), "{what}");
                    assert_eq!(*classes, outputs, "{what}");
                    assert_eq!(mask.len(), batch.tokens.len(), "{what}");
                    assert_eq!(values.len(), mask.len() * outputs, "{what}");
                    assert!(values.iter().chain(mask).all(|v| *v == 0.0 || *v == 1.0), "{what}");
                }
            }
            for row in batch.right(&vec![0; predictions(&batch)]).unwrap().chunks(batch.len) {
                assert!(row.iter().any(Option::is_some), "{what}: a row without a label");
            }
        }
    }
}

#[test]
fn names_of_tokens_and_outputs_are_unique() {
    for (info, task) in every_task() {
        for names in [task.vocabulary(), task.output_names()] {
            let unique: HashSet<&String> = names.iter().collect();
            assert_eq!(unique.len(), names.len(), "{}: {names:?}", info.kind);
            assert!(names.iter().all(|name| !name.is_empty()), "{}", info.kind);
        }
    }
}

#[test]
fn the_labels_scored_against_themselves_are_all_right() {
    for (_, task) in every_task() {
        let batch = batch(task.as_ref(), admitted(task.as_ref(), 16), 2);
        let perfect: Vec<u32> = match &batch.labels {
            Labels::Classes(classes) => classes.clone(),
            Labels::Sets { values, .. } => values.iter().map(|v| *v as u32).collect(),
        };
        let mut tally = Tally::default();
        tally.add(&batch, &perfect).unwrap();
        assert_eq!(tally.sequences_right, 5, "{}", task.label());
        assert_eq!(tally.labels_right, batch.labelled() as u64);
        let wrong: Vec<u32> = perfect.iter().map(|p| p.wrapping_add(1) % 2 + 1000).collect();
        let mut tally = Tally::default();
        tally.add(&batch, &wrong).unwrap();
        assert_eq!(tally.sequences_right, 0, "{}", task.label());
    }
}

#[test]
fn a_seed_gives_the_same_batch_and_another_seed_another() {
    for (info, task) in every_task() {
        let length = admitted(task.as_ref(), 40);
        let first = batch(task.as_ref(), length, 3);
        assert_eq!(first, batch(task.as_ref(), length, 3), "{}", info.kind);
        // Of some languages there is one string of each length: then all rows are the same.
        let single = first.tokens.chunks(first.len).all(|row| *row == first.tokens[..first.len]);
        assert_eq!(first == batch(task.as_ref(), length, 4), single, "{}", info.kind);
    }
}

#[test]
fn a_length_that_is_not_admitted_is_an_error_and_never_a_panic() {
    for (info, task) in every_task() {
        let refused: Vec<usize> =
            [0, 1, 3, 151, usize::MAX].into_iter().filter(|n| !task.admits(*n)).collect();
        assert!(refused.contains(&0) && refused.contains(&usize::MAX), "{}", info.kind);
        for length in refused {
            let result = task.batch(Split::Test, 1, length, &mut Rng::seed_from_u64(0));
            assert!(matches!(result, Err(TaskError::Length { .. })), "{} at {length}", info.kind);
        }
        if let Some(max) = task.max_length() {
            assert!(!task.admits(max + 1), "{}", info.kind);
        }
        assert!(task.token_len(usize::MAX - 1) >= usize::MAX - 1);
    }
}

#[test]
fn a_batch_of_no_rows_is_empty() {
    for (_, task) in every_task() {
        let length = admitted(task.as_ref(), 4);
        let empty = task.batch(Split::Train, 0, length, &mut Rng::seed_from_u64(0)).unwrap();
        assert!(empty.tokens.is_empty());
        assert_eq!(empty.labelled(), 0);
    }
}

#[test]
fn every_control_has_the_shape_of_the_true_batch_and_a_text_has_none() {
    for (info, task) in every_task() {
        let length = admitted(task.as_ref(), 16);
        for labelling in [Labelling::Shuffled, Labelling::Permuted] {
            let mut rng = Rng::seed_from_u64(5);
            let control = task.batch_as(Split::Train, 5, length, labelling, &mut rng);
            if info.class == Class::Text {
                let error = control.unwrap_err().to_string();
                assert!(error.contains(&format!("no {labelling} labels")), "{error}");
                continue;
            }
            let (control, own) = (control.unwrap(), batch(task.as_ref(), length, 5));
            assert_eq!((control.rows, control.len), (own.rows, own.len), "{}", info.kind);
            assert_eq!(control.tokens.len(), own.tokens.len(), "{}", info.kind);
            assert_eq!(predictions(&control), predictions(&own), "{}", info.kind);
        }
    }
}

/// What the first `length` symbols of 4000 sequences of length `drawn` are and are labelled with, and how often.
fn starts(task: &dyn Task, drawn: usize, length: usize, seed: u64) -> BTreeMap<Vec<u32>, f64> {
    let batch = task.batch(Split::Train, 4000, drawn, &mut Rng::seed_from_u64(seed)).unwrap();
    let end = batch.len - drawn + length;
    let (classes, width) = match &batch.labels {
        Labels::Classes(classes) => (classes.clone(), 1),
        Labels::Sets { classes, values, .. } => (values.iter().map(|v| *v as u32).collect(), *classes),
    };
    let mut counts = BTreeMap::new();
    for (tokens, classes) in batch.tokens.chunks(batch.len).zip(classes.chunks(batch.len * width)) {
        *counts.entry([&tokens[..end], &classes[..end * width]].concat()).or_insert(0.0) += 1.0;
    }
    counts
}

/// Whether two samples of equal size are of one distribution: under it (a − b)² / (a + b) is 1 on average for every
/// value, however rare, and the sum over k values leaves k + 5√2k less than once in a thousand times.
fn alike(a: &BTreeMap<Vec<u32>, f64>, b: &BTreeMap<Vec<u32>, f64>) -> bool {
    let values: BTreeSet<_> = a.keys().chain(b.keys()).collect();
    let term = |value: &&Vec<u32>| {
        let [a, b] = [a, b].map(|sample| sample.get(*value).copied().unwrap_or(0.0));
        (a - b).powi(2) / (a + b)
    };
    let k = values.len() as f64;
    values.iter().map(term).sum::<f64>() < k + 5.0 * (2.0 * k).sqrt()
}

#[test]
fn prefixes_said_to_be_alike_are_distributed_and_labelled_as_whole_strings() {
    let mut kinds = HashSet::new();
    for (info, task) in every_task().iter().filter(|(_, task)| task.prefixes_alike()) {
        kinds.insert(info.kind);
        for (long, short) in [(2, 1), (4, 3), (12, 3), (9, 8)] {
            if task.admits(long) && task.admits(short) {
                let whole = starts(task.as_ref(), short, short, 6);
                let cut = starts(task.as_ref(), long, short, 7);
                assert!(alike(&whole, &cut), "{}: {short} of {long}", task.label());
            }
        }
    }
    assert!(kinds.contains("parity") && !kinds.contains("dyck"), "{kinds:?}");
    // The measure tells: a string without ties has prefixes with ties.
    let majority = every_task().into_iter().find(|(info, _)| info.kind == "majority").unwrap().1;
    assert!(!alike(&starts(majority.as_ref(), 2, 2, 6), &starts(majority.as_ref(), 3, 2, 7)));
}

#[test]
fn no_generator_keeps_training_waiting() {
    // `attnlab bench tasks` measures; ten million tokens a second are the aim. A fifth of it, the best of many tries,
    // holds on a busy machine too, and not for a loop that draws until a string happens to fit.
    for (info, task) in every_task() {
        let Some(length) = (40..60).find(|n| task.admits(*n)) else { continue };
        let mut rng = Rng::seed_from_u64(8);
        let rate = |_| {
            let start = Instant::now();
            let tokens = task.batch(Split::Train, 64, length, &mut rng).unwrap().tokens.len();
            tokens as f64 / start.elapsed().as_secs_f64()
        };
        let best = (0..20).map(rate).fold(0.0, f64::max);
        assert!(best > 2e6, "{} ({}): {best:.0} tokens a second", info.kind, task.setting());
    }
}
