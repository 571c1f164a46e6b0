//! Readings as a page and as pictures.

use attnlab_heads::{HeadResult, Metric, SurveyResult, registry};
use attnlab_report::inspect::{
    CurveInfo, Model as PageModel, Page, Profile, Reading as PageReading, Statistic, Thin,
};

use super::survey::Reading;
use crate::model::Model;

/// A number that heads have besides their statistics.
pub(super) struct Extra {
    pub(super) statistic: Statistic,
    /// Layer, head, value.
    pub(super) values: Vec<(usize, usize, f64)>,
}

/// What people look for first, in this order; the others follow as the registry has them.
const FIRST: [&str; 10] = [
    "first_token",
    "previous_token",
    "induction",
    "duplicate_token",
    "induction_copy",
    "duplicate_copy",
    "normalised_entropy",
    "top1_mass",
    "n_95",
    "mean_distance",
];

/// The metrics that some head has a value of, that of `by` in front.
fn metrics(models: &[(Model, Vec<Reading>)], by: &str) -> Vec<&'static Metric> {
    let heads = || {
        let readings = models.iter().flat_map(|(_, readings)| readings);
        readings.flat_map(|reading| &reading.survey.layers).flat_map(|layer| &layer.heads)
    };
    let mut metrics: Vec<&Metric> =
        registry().iter().filter(|metric| heads().any(|head| head.mean(metric.name).is_some())).collect();
    let rank = |metric: &&Metric| {
        let first = FIRST.iter().position(|name| *name == metric.name).unwrap_or(FIRST.len());
        (metric.name != by, first)
    };
    metrics.sort_by_key(rank);
    metrics
}

/// One page of several models' readings, coloured by the statistic `by` at first.
pub(super) fn page(models: &[(Model, Vec<Reading>)], extras: &[Extra], by: &str) -> Page {
    let metrics = metrics(models, by);
    let mut statistics: Vec<Statistic> = metrics
        .iter()
        .map(|metric| Statistic {
            name: metric.name.into(),
            title: metric.title.into(),
            formula: metric.formula.into(),
            higher: String::new(),
        })
        .collect();
    statistics.extend(extras.iter().map(|extra| extra.statistic.clone()));
    let mut page = Page {
        title: models.iter().map(|(model, _)| model.name.clone()).collect::<Vec<_>>().join(" and "),
        note: String::new(),
        statistics,
        ..Page::default()
    };
    for (at, (model, readings)) in models.iter().enumerate() {
        let a = &model.transformer.config().architecture;
        page.models.push(PageModel {
            name: model.name.clone(),
            n_layers: a.n_layers,
            n_heads: a.n_heads,
            note: model.note.clone(),
        });
        let shape = (a.n_layers, a.n_heads, page.statistics.len());
        page.readings.extend(readings.iter().map(|reading| {
            let extras = if at == 0 { extras } else { &[] };
            reading_of(at, model, reading, shape, &metrics, extras)
        }));
    }
    page
}

fn reading_of(
    at: usize,
    model: &Model,
    reading: &Reading,
    shape: (usize, usize, usize),
    metrics: &[&Metric],
    extras: &[Extra],
) -> PageReading {
    let tokens = reading.ids.iter().map(|&id| model.label(id)).collect();
    let mut page = PageReading::new(at, reading.label.clone(), tokens, shape);
    page.loss = reading.loss;
    page.maps = reading.maps.clone();
    if reading.texts > 1 {
        page.note = format!("means over {} texts", reading.texts);
        page.intervals = vec![None; page.values.len()];
    }
    let place = |layer: usize, head: usize, metric: usize| (layer * shape.1 + head) * shape.2 + metric;
    for layer in &reading.survey.layers {
        for head in &layer.heads {
            let Some(number) = head.head else { continue };
            for (metric, entry) in metrics.iter().enumerate() {
                let Some(estimate) = head.values.get(entry.name) else { continue };
                page.set_value(layer.layer, number, metric, estimate.mean);
                if let Some(interval) = page.intervals.get_mut(place(layer.layer, number, metric)) {
                    *interval = estimate.half_width;
                }
            }
        }
    }
    if let Some(layer) = reading.survey.layers.first() {
        for (baseline, metric) in page.baselines.iter_mut().zip(metrics) {
            *baseline = layer.uniform.mean(metric.name);
        }
    }
    for (extra, metric) in extras.iter().zip(metrics.len()..) {
        for &(layer, head, value) in &extra.values {
            page.set_value(layer, head, metric, Some(value));
        }
    }
    curves(&reading.survey, &mut page);
    page
}

/// What a curve takes from a head: its name, titles, and points.
struct Curve {
    name: &'static str,
    title: &'static str,
    x_title: &'static str,
    y_title: &'static str,
    log_x: bool,
    thin: Thin,
    points: fn(&HeadResult) -> Vec<(f64, f32)>,
}

const CURVES: [Curve; 3] = [
    Curve {
        name: "distance",
        title: "Distance profile",
        x_title: "distance of the key behind the query (tokens)",
        y_title: "mean weight of such a pair",
        log_x: true,
        thin: Thin::Mean,
        points: |head| head.distance_profile.iter().map(|bin| (bin.begin as f64, bin.weight)).collect(),
    },
    Curve {
        name: "alpha",
        title: "Sink profile α",
        x_title: "key (position)",
        y_title: "mean weight from the queries that see it",
        log_x: true,
        thin: Thin::Max,
        points: |head| head.sink_profile.iter().enumerate().map(|(key, rate)| (key as f64, *rate)).collect(),
    },
    Curve {
        name: "mass",
        title: "Mass curve",
        x_title: "share of a row's mass",
        y_title: "keys that hold it",
        log_x: false,
        thin: Thin::Last,
        points: |head| head.mass_curve.iter().map(|point| (point.share, point.keys as f32)).collect(),
    },
];

fn curves(survey: &SurveyResult, page: &mut PageReading) {
    for curve in &CURVES {
        let Some(layer) = survey.layers.first() else { return };
        // Windows differ by layer, and with them the distances; the longest serves all.
        let heads =
            || survey.layers.iter().flat_map(|layer| layer.heads.iter().map(move |head| (layer.layer, head)));
        let longest = heads().map(|(_, head)| (curve.points)(head)).max_by_key(Vec::len).unwrap_or_default();
        if longest.len() < 2 {
            continue;
        }
        let x: Vec<f64> = longest.iter().map(|(x, _)| *x).collect();
        let on_grid = |head: &HeadResult| -> Vec<f32> {
            let mut y: Vec<f32> = (curve.points)(head).into_iter().map(|(_, y)| y).collect();
            y.resize(x.len(), f32::NAN);
            y
        };
        let at = page.curves.len();
        page.profiles.extend(heads().filter_map(|(layer, head)| {
            Some(Profile { layer, head: head.head?, curve: at, y: on_grid(head) })
        }));
        page.curves.push(CurveInfo {
            name: curve.name.into(),
            title: curve.title.into(),
            x_title: curve.x_title.into(),
            y_title: curve.y_title.into(),
            log_x: curve.log_x,
            baseline: Some(on_grid(&layer.uniform).into_iter().map(f64::from).collect()),
            x,
            thin: curve.thin,
        });
    }
}
