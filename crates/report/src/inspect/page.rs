//! What an inspection page is made of, as plain data.

use super::curve::{CurveInfo, Profile};
use super::error::{InspectError, Result};
use super::packed::PackedMap;

/// Everything one page shows. Write it with [`Page::write`].
///
/// ```
/// use attnlab_report::inspect::{Map, MapPacker, Model, Page, Quantity, Reading, Statistic};
///
/// let statistics = vec![Statistic {
///     name: "first_token".into(),
///     title: "first-token mass".into(),
///     formula: "mean over i of A(i, 0)".into(),
///     higher: "the head parks its attention on the first token".into(),
/// }];
/// let model = Model { name: "demo".into(), n_layers: 1, n_heads: 1, note: String::new() };
/// let mut reading = Reading::new(0, "a text", vec!["The".into(), " cat".into()], (1, 1, 1));
/// reading.set_value(0, 0, 0, Some(0.75));
/// reading.baselines[0] = Some(0.75);
/// let mut packer = MapPacker::new(2, true, Quantity::Weight)?;
/// packer.row(0, 0, &[1.0])?;
/// packer.row(1, 0, &[0.5, 0.5])?;
/// reading.maps.push(Map { layer: 0, head: 0, map: packer.finish()? });
/// let page = Page { title: "demo".into(), note: String::new(), statistics, models: vec![model], readings: vec![reading] };
/// let mut file = Vec::new();
/// page.write(&mut file)?;
/// # Ok::<(), attnlab_report::inspect::InspectError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The page's title: the model's name, or what is compared.
    pub title: String,
    /// A sentence about how it was made; may be empty.
    pub note: String,
    /// The statistics of every head, in the order of the table's columns.
    pub statistics: Vec<Statistic>,
    /// The models or runs.
    pub models: Vec<Model>,
    /// What they read. Each can be compared with each other; the first is shown first.
    pub readings: Vec<Reading>,
}

/// A number that every head has.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Statistic {
    /// What it is called in data and in the filter: `first_token`.
    pub name: String,
    /// What it is called in the page.
    pub title: String,
    /// How it is computed, in one line.
    pub formula: String,
    /// What a high value means, in a few words; may be empty.
    pub higher: String,
}

/// A model or a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Model {
    /// Its name, unique in the page.
    pub name: String,
    /// Layers of attention.
    pub n_layers: usize,
    /// Query heads of each.
    pub n_heads: usize,
    /// A few words more: family, encoding, step; may be empty.
    pub note: String,
}

/// One model on one text, or on many texts at once.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// An index into [`Page::models`].
    pub model: usize,
    /// What the text is called.
    pub text: String,
    /// Its tokens as text, any characters; empty where the numbers are means over many texts, and then there are no maps.
    pub tokens: Vec<String>,
    /// Loss per token in nats.
    pub loss: Option<f64>,
    /// A few words more: how many texts, what was edited; may be empty.
    pub note: String,
    /// For each layer, head and statistic the value: `(layer · n_heads + head) · n_statistics + statistic`.
    pub values: Vec<Option<f64>>,
    /// Where the values are means over texts: half the width of their 95 % interval, laid out as `values`, or empty.
    pub intervals: Vec<Option<f64>>,
    /// For each statistic what uniform attention over the visible keys of this text would score.
    pub baselines: Vec<Option<f64>>,
    /// The kinds of curve that `profiles` holds.
    pub curves: Vec<CurveInfo>,
    /// Curves of heads: any heads, in any order.
    pub profiles: Vec<Profile>,
    /// Maps of heads: any heads, in any order, of each quantity at most one.
    pub maps: Vec<Map>,
    n_heads: usize,
    n_statistics: usize,
}

/// A head's map.
#[derive(Clone, Debug)]
pub struct Map {
    /// The head's layer.
    pub layer: usize,
    /// The head.
    pub head: usize,
    /// What it looks at.
    pub map: PackedMap,
}

impl Reading {
    /// A reading without numbers yet: every value and baseline `None`, no maps, no curves. `shape` is layers, heads and
    /// statistics.
    pub fn new(
        model: usize,
        text: impl Into<String>,
        tokens: Vec<String>,
        shape: (usize, usize, usize),
    ) -> Self {
        let (n_layers, n_heads, n_statistics) = shape;
        Self {
            model,
            text: text.into(),
            tokens,
            values: vec![None; n_layers * n_heads * n_statistics],
            baselines: vec![None; n_statistics],
            n_heads,
            n_statistics,
            ..Self::default()
        }
    }

    /// Sets one value; outside the shape of [`Reading::new`] it does nothing, and what is not finite counts as none.
    pub fn set_value(&mut self, layer: usize, head: usize, statistic: usize, value: Option<f64>) {
        if head < self.n_heads && statistic < self.n_statistics {
            let at = (layer * self.n_heads + head) * self.n_statistics + statistic;
            if let Some(place) = self.values.get_mut(at) {
                *place = value.filter(|v| v.is_finite());
            }
        }
    }
}

impl Page {
    /// Whether all lists fit together.
    ///
    /// # Errors
    /// The first thing that does not.
    pub fn check(&self) -> Result<()> {
        for (index, reading) in self.readings.iter().enumerate() {
            self.check_reading(index, reading)?;
        }
        Ok(())
    }

    fn check_reading(&self, index: usize, reading: &Reading) -> Result<()> {
        let Some(model) = self.models.get(reading.model) else {
            return Err(InspectError::Model {
                reading: index,
                text: reading.text.clone(),
                model: reading.model,
                models: self.models.len(),
            });
        };
        let count = |what: &'static str, found: usize, expected: usize| {
            let text = reading.text.clone();
            let wrong = InspectError::Count { reading: index, text, what, found, expected };
            if found == expected { Ok(()) } else { Err(wrong) }
        };
        let values = model.n_layers * model.n_heads * self.statistics.len();
        count("values", reading.values.len(), values)?;
        if !reading.intervals.is_empty() {
            count("intervals", reading.intervals.len(), values)?;
        }
        count("baselines", reading.baselines.len(), self.statistics.len())?;
        for curve in &reading.curves {
            if let Some(baseline) = &curve.baseline {
                count("points of a curve's baseline", baseline.len(), curve.x.len())?;
            }
        }
        let inside = |what: &'static str, layer: usize, head: usize| {
            let (n_layers, n_heads) = (model.n_layers, model.n_heads);
            let wrong = InspectError::Head { what, layer, head, n_layers, n_heads };
            if layer < n_layers && head < n_heads { Ok(()) } else { Err(wrong) }
        };
        for profile in &reading.profiles {
            inside("a curve", profile.layer, profile.head)?;
            let points = reading.curves.get(profile.curve).map(|c| c.x.len());
            count("points of a curve", profile.y.len(), points.unwrap_or(0))?;
        }
        let mut seen = std::collections::HashSet::new();
        for Map { layer, head, map } in &reading.maps {
            inside("a map", *layer, *head)?;
            count("tokens in a map", map.tokens(), reading.tokens.len())?;
            if !seen.insert((*layer, *head, map.quantity())) {
                return Err(InspectError::Twice {
                    reading: index,
                    text: reading.text.clone(),
                    layer: *layer,
                    head: *head,
                    quantity: map.quantity().name(),
                });
            }
        }
        Ok(())
    }
}
