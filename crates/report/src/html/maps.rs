//! Attention maps for the page: which runs are worth showing, and how they fit in it.

use serde::Serialize;

use crate::maps::{Example, Maps};
use crate::read::{ReadError, Results, Run, RunState};
use crate::record::{Evaluation, Metric, Outcome};
use crate::summary::Summary;
use crate::table::relative;

/// At most this many runs have their maps in the page.
pub(crate) const MOST_RUNS: usize = 8;
/// At most this many examples of each.
pub(crate) const MOST_EXAMPLES: usize = 2;
/// At most this many queries and keys of each: the first ones.
pub(crate) const MOST_TOKENS: usize = 64;
/// At most this many bytes of maps altogether, before base64.
pub(crate) const MOST_BYTES: usize = 3 << 20;

/// What the page embeds, and what is said about the rest.
#[derive(Default)]
pub(crate) struct Embedded {
    pub(crate) runs: Vec<MapRun>,
    pub(crate) notes: Vec<String>,
}

/// One run's maps as the script reads them.
#[derive(Serialize)]
pub(crate) struct MapRun {
    title: String,
    outcome: String,
    step: u64,
    layers: Vec<usize>,
    heads: usize,
    length: usize,
    /// Every key after its query has weight 0: only the lower triangle is stored.
    causal: bool,
    examples: Vec<MapExample>,
    scores: Vec<ScoreData>,
}

#[derive(Serialize)]
struct MapExample {
    tokens: Vec<String>,
    /// Weights that 0 and 255 stand for.
    low: f32,
    high: f32,
    /// Layer-major, then head, then query-major; one byte a weight.
    data: String,
}

#[derive(Serialize)]
struct ScoreData {
    layer: usize,
    head: usize,
    /// name, value, value under uniform attention; null where it is not finite.
    values: Vec<(String, Option<f64>, Option<f64>)>,
}

/// Chooses and encodes.
pub(crate) fn embed(results: &Results, summary: &Summary) -> Embedded {
    let candidates: Vec<&Run> = results.of_results().filter(|r| !r.maps.is_empty()).collect();
    let total = candidates.len();
    let chosen = ranked(candidates);
    let mut embedded = Embedded::default();
    let (mut bytes, mut cropped, mut fewer, mut damaged) = (0, 0, 0, Vec::new());
    let mut broken_weights = 0;
    for run in chosen {
        if embedded.runs.len() == MOST_RUNS {
            break;
        }
        match encode(run, summary, MOST_BYTES - bytes) {
            Ok(Some(done)) => {
                bytes += done.bytes;
                cropped += usize::from(done.cropped);
                fewer += usize::from(done.fewer);
                broken_weights += done.not_finite;
                embedded.runs.push(done.run);
            }
            Ok(None) => {}
            Err(error) => damaged.push(reason(&error)),
        }
    }
    if total > embedded.runs.len() + damaged.len() {
        embedded.notes.push(format!(
            "Maps of {} of {total} runs are in this page (at most {MOST_RUNS} runs and {} MiB; a run of each task before \
             a second one, failing runs before others).",
            embedded.runs.len(),
            MOST_BYTES >> 20
        ));
    }
    if fewer > 0 {
        embedded.notes.push(format!(
            "{fewer} of them recorded more than {MOST_EXAMPLES} examples; the first {MOST_EXAMPLES} are here."
        ));
    }
    if cropped > 0 {
        embedded
            .notes
            .push(format!("{cropped} of them are cut to the first {MOST_TOKENS} queries and keys."));
    }
    if broken_weights > 0 {
        embedded
            .notes
            .push(format!("{broken_weights} weights are not finite and are drawn as the smallest."));
    }
    embedded.notes.extend(damaged.into_iter().map(|d| format!("Left out: {d}.")));
    embedded
}

/// The most informative run of the task and encoding seen least so far, again and again. The first of all is the most
/// informative one of the grid; among equals the grid's order decides, so that the page is the same each time.
fn ranked(mut candidates: Vec<&Run>) -> Vec<&Run> {
    let mut chosen: Vec<&Run> = Vec::new();
    // Past the bound a run is only reached when one before it is damaged or too large.
    while chosen.len() < MOST_RUNS * 2 && !candidates.is_empty() {
        let seen = |run: &Run| {
            let task = chosen.iter().filter(|c| c.planned.task == run.planned.task);
            let position = chosen.iter().filter(|c| c.planned.position == run.planned.position);
            (task.count(), position.count())
        };
        let best = candidates.iter().enumerate().min_by(|(_, a), (_, b)| {
            let ((task_a, position_a), (task_b, position_b)) = (seen(a), seen(b));
            task_a
                .cmp(&task_b)
                .then(interest(b).floor().total_cmp(&interest(a).floor()))
                .then(position_a.cmp(&position_b))
                .then(interest(b).total_cmp(&interest(a)))
        });
        let Some((index, _)) = best else { break };
        chosen.push(candidates.remove(index));
    }
    chosen
}

/// Without the folder: the page must not tell where on a machine it was made.
fn reason(error: &ReadError) -> String {
    match error {
        ReadError::Content { file, reason } => format!("{} ({reason})", tail(file)),
        ReadError::Io { file, source } => format!("{} ({source})", tail(file)),
        ReadError::NoGrid { file } => tail(file),
    }
}

/// The last three parts of a path: run, folder, file.
fn tail(file: &std::path::Path) -> String {
    let parts: Vec<String> =
        file.components().rev().take(3).map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
    parts.into_iter().rev().collect::<Vec<_>>().join("/")
}

/// How much there is to learn from a run: the drop of one that fails to generalise first, then one that did not train, then
/// the rest.
fn interest(run: &Run) -> f64 {
    let RunState::Done(evaluation) = &run.state else {
        return 0.0;
    };
    match evaluation.outcome {
        Outcome::FailsToGeneralise { .. } => 10.0 + 0.99 * drop(evaluation),
        Outcome::FailsToTrain => 5.0,
        Outcome::Diverged { .. } => 4.0,
        Outcome::Generalises | Outcome::Fits => 3.0,
        Outcome::Measured => 2.0,
        Outcome::Trivial => 1.0,
    }
}

fn drop(evaluation: &Evaluation) -> f64 {
    let metric: Metric = evaluation.metric;
    let scores: Vec<f64> =
        evaluation.bins.iter().map(|bin| relative(bin.accuracy.of(metric), bin.chance.of(metric))).collect();
    let worst = scores.iter().skip(1).copied().fold(1.0, f64::min);
    scores.first().map_or(0.0, |first| first - worst)
}

struct Encoded {
    run: MapRun,
    bytes: usize,
    cropped: bool,
    fewer: bool,
    not_finite: usize,
}

/// `Ok(None)` when not even one example fits into `room` bytes.
fn encode(run: &Run, summary: &Summary, room: usize) -> Result<Option<Encoded>, ReadError> {
    let Some(file) = run.maps.last() else {
        return Ok(None);
    };
    let maps: Maps = file.open()?;
    let length = maps.length.min(MOST_TOKENS);
    let wanted = maps.examples.min(MOST_EXAMPLES);
    let mut examples = Vec::new();
    for index in 0..wanted {
        examples.push(maps.example(index)?);
    }
    let causal = examples.iter().all(|e| is_causal(e, maps.length));
    let one =
        if causal { length * (length + 1) / 2 } else { length * length } * maps.heads * maps.layers.len();
    let fitting = room.checked_div(one).unwrap_or(0).min(wanted);
    if fitting == 0 {
        return Ok(None);
    }
    let mut not_finite = 0;
    let encoded = examples
        .iter()
        .take(fitting)
        .map(|example| quantise(example, maps.length, length, causal, &mut not_finite))
        .collect();
    let (outcome, scores) = match &run.state {
        RunState::Done(evaluation) => (evaluation.outcome.to_string(), scores(evaluation)),
        RunState::Running { step } => (format!("under way at step {step}"), Vec::new()),
        RunState::Waiting => ("waiting".to_owned(), Vec::new()),
        RunState::Unreadable { .. } => ("scores unreadable".to_owned(), Vec::new()),
    };
    let planned = &run.planned;
    let mut title = format!("{} · {}", planned.task, planned.position);
    let said = ["task", "position", "seed"];
    for key in summary.keys.iter().chain(&summary.mixed).filter(|key| !said.contains(&key.as_str())) {
        if let Some(value) = planned.setting(key) {
            title.push_str(&format!(" · {key} = {value}"));
        }
    }
    title.push_str(&format!(" · seed {}", planned.seed));
    Ok(Some(Encoded {
        bytes: one * fitting,
        cropped: length < maps.length,
        fewer: maps.examples > fitting,
        not_finite,
        run: MapRun {
            title,
            outcome,
            step: file.step,
            layers: maps.layers,
            heads: maps.heads,
            length,
            causal,
            examples: encoded,
            scores,
        },
    }))
}

fn is_causal(example: &Example, length: usize) -> bool {
    example.patterns.iter().flatten().all(|map| {
        map.chunks_exact(length)
            .enumerate()
            .all(|(query, row)| row.iter().skip(query + 1).all(|weight| *weight == 0.0))
    })
}

/// One byte a weight, over 0..=1 or, where the weights leave it (un-normalised attention), over their range.
fn quantise(
    example: &Example,
    stride: usize,
    length: usize,
    causal: bool,
    not_finite: &mut usize,
) -> MapExample {
    let mut kept: Vec<f32> = Vec::new();
    for map in example.patterns.iter().flatten() {
        for (query, row) in map.chunks_exact(stride).take(length).enumerate() {
            let keys = if causal { query + 1 } else { length };
            kept.extend(row.iter().take(keys));
        }
    }
    let finite = || kept.iter().copied().filter(|w| w.is_finite());
    let low = finite().fold(0.0f32, f32::min);
    let high = finite().fold(1.0f32, f32::max);
    *not_finite += kept.iter().filter(|w| !w.is_finite()).count();
    let bytes: Vec<u8> = kept
        .iter()
        .map(|w| ((w - low) / (high - low) * 255.0).round() as u8) // `as` saturates, and sends NaN to 0
        .collect();
    MapExample {
        tokens: example.tokens.iter().take(length).cloned().collect(),
        low,
        high,
        data: base64(&bytes),
    }
}

fn scores(evaluation: &Evaluation) -> Vec<ScoreData> {
    let finite = |value: f64| value.is_finite().then_some(value);
    evaluation
        .heads
        .iter()
        .map(|head| ScoreData {
            layer: head.layer,
            head: head.head,
            values: head
                .values
                .iter()
                .map(|(name, value)| {
                    let uniform = head.uniform.get(name).copied().and_then(finite);
                    (name.clone(), finite(*value), uniform)
                })
                .collect(),
        })
        .collect()
}

/// RFC 4648, with padding.
pub(crate) fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let mut word = 0u32;
        for i in 0..3 {
            word = word << 8 | u32::from(chunk.get(i).copied().unwrap_or(0));
        }
        for i in 0..4 {
            if i > chunk.len() {
                out.push('=');
            } else {
                let letter = (word >> (18 - 6 * i)) & 63;
                out.push(char::from(LETTERS[letter as usize]));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_agrees_with_the_vectors_of_rfc_4648() {
        let cases = [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
        for (plain, coded) in cases {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn weights_outside_zero_to_one_widen_the_range_and_broken_ones_are_counted() {
        let example = Example {
            tokens: vec!["a".into(), "b".into()],
            patterns: vec![vec![vec![-1.0, 3.0, f32::NAN, 1.0]]],
        };
        let mut broken = 0;
        let coded = quantise(&example, 2, 2, false, &mut broken);
        assert_eq!((coded.low, coded.high, broken), (-1.0, 3.0, 1));
        assert_eq!(coded.data, base64(&[0, 255, 0, 128]));
    }
}
