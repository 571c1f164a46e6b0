//! What a trained model would miss if it saw less: types, and a table.

use comfy_table::{Cell as Field, CellAlignment};
use serde::{Deserialize, Serialize};

use crate::table::{TableStyle, clean, lined, plain, wrapped};

/// A loss that is larger by no more than this, with its interval, counts as equal: nats per token.
pub const EQUAL: f64 = 0.01;

/// A trained model on a text, whole and with each query seeing fewer keys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    /// The model.
    pub model: String,
    /// The text.
    pub text: String,
    /// Tokens T of each piece of the text.
    pub tokens: usize,
    /// Pieces.
    pub pieces: usize,
    /// Nats per token with everything in sight, mean over pieces.
    pub loss: f64,
    /// Every head, by layer.
    pub heads: Vec<HeadShare>,
    /// Every span that was tried.
    pub trials: Vec<Trial>,
}

/// How much of its map a head needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeadShare {
    /// Its layer.
    pub layer: usize,
    /// Its index.
    pub head: usize,
    /// Σ over queries of the keys that hold 95 % of the weight, over all pairs: the rest could be skipped.
    pub needed: Option<f64>,
    /// For each trial the weight that its span keeps, mean over queries, when everything is in sight.
    pub kept: Vec<f64>,
}

/// The model with a span in every layer and head.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// The form, such as `window`.
    pub form: String,
    /// With its numbers, such as `window 64, 4 sinks`.
    pub span: String,
    /// Pairs whose score is computed, over those of full attention.
    pub scored: f64,
    /// Pairs whose value is read, over those of full attention.
    pub read: f64,
    /// Nats per token.
    pub loss: f64,
    /// How much that is above the loss with everything in sight.
    pub rise: f64,
    /// Its 95 % bootstrap interval over pieces; none of one piece.
    pub rise_interval: Option<(f64, f64)>,
}

impl Trial {
    /// Operations between queries, keys and values, over those of full attention: a score costs what a value does.
    pub fn operations(&self) -> f64 {
        (self.scored + self.read) / 2.0
    }

    /// Whether the loss is equal, as far as the pieces tell.
    pub fn is_equal(&self) -> bool {
        self.rise_interval.map_or(self.rise, |(_, high)| high) <= EQUAL
    }
}

impl Saved {
    /// Of each form the span with the fewest operations at equal loss, if one has it.
    pub fn cheapest(&self) -> Vec<(&str, Option<&Trial>)> {
        let mut forms: Vec<&str> = Vec::new();
        for trial in &self.trials {
            if !forms.contains(&trial.form.as_str()) {
                forms.push(&trial.form);
            }
        }
        let best = |form: &str| {
            let equal = self.trials.iter().filter(|trial| trial.form == form && trial.is_equal());
            equal.min_by(|a, b| a.operations().total_cmp(&b.operations()))
        };
        forms.into_iter().map(|form| (form, best(form))).collect()
    }

    /// Share of all heads' maps that could be skipped with 95 % of the weight kept; none if no head has a number.
    pub fn could_skip(&self) -> Option<f64> {
        let needed: Vec<f64> = self.heads.iter().filter_map(|head| head.needed).collect();
        crate::statistics::mean(&needed).map(|mean| 1.0 - mean)
    }
}

/// Trials, what each form saves at equal loss, and how much of its map each head needs.
pub fn saved_table(saved: &Saved, style: TableStyle) -> String {
    let width = usize::from(style.width);
    let mut out = wrapped(
        &format!(
            "{} on {}: {} pieces of {} tokens, loss {:.4} nats per token with everything in sight.",
            clean(&saved.model),
            clean(&saved.text),
            saved.pieces,
            saved.tokens,
            saved.loss
        ),
        width,
    );
    out.push_str("\nSpans in every head, after training (% of full attention's pairs and operations)\n");
    let header = ["span", "scored", "read", "operations", "weight kept", "worst head", "loss", "rise"];
    let rows = saved.trials.iter().enumerate().map(|(at, trial)| {
        let kept: Vec<f64> = saved.heads.iter().filter_map(|head| head.kept.get(at).copied()).collect();
        let mean = crate::statistics::mean(&kept).unwrap_or(f64::NAN);
        let worst = kept.iter().copied().fold(f64::INFINITY, f64::min);
        let rise = match trial.rise_interval {
            Some((low, high)) => format!("{:+.4} [{low:+.4}, {high:+.4}]", trial.rise),
            None => format!("{:+.4}", trial.rise),
        };
        vec![
            trial.span.clone(),
            percent(trial.scored),
            percent(trial.read),
            percent(trial.operations()),
            percent(mean),
            percent(worst),
            format!("{:.4}", trial.loss),
            rise,
        ]
    });
    out.push_str(&laid_out(&header, rows, style));
    if let Some(skip) = saved.could_skip() {
        let text = format!(
            "With 95 % of the weight kept, {} % of the map could be skipped, mean over {} heads. At equal loss (a rise of \
             at most {EQUAL} nats, interval included) the forms really save:",
            percent(skip),
            saved.heads.len()
        );
        out.push_str(&wrapped(&text, width));
    }
    for (form, best) in saved.cheapest() {
        let found = match best {
            Some(trial) => {
                format!("{} % of the operations, with {}", percent(1.0 - trial.operations()), trial.span)
            }
            None => "nothing: each of its spans costs loss".to_owned(),
        };
        out.push_str(&wrapped(&format!("  {form}: {found}"), width));
    }
    out.push_str("\nShare of its map that a head needs for 95 % of the weight (%)\n");
    out.push_str(&heads(saved, style));
    out
}

fn heads(saved: &Saved, style: TableStyle) -> String {
    let count = saved.heads.iter().map(|head| head.head + 1).max().unwrap_or(0);
    let layers = saved.heads.iter().map(|head| head.layer + 1).max().unwrap_or(0);
    let header: Vec<String> =
        std::iter::once("layer".to_owned()).chain((0..count).map(|h| format!("{h}"))).collect();
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    let rows = (0..layers).map(|layer| {
        let one = |head| {
            let found = saved.heads.iter().find(|share| share.layer == layer && share.head == head);
            found.and_then(|share| share.needed).map_or("–".to_owned(), percent)
        };
        std::iter::once(layer.to_string()).chain((0..count).map(one)).collect()
    });
    laid_out(&header, rows, style)
}

fn percent(share: f64) -> String {
    format!("{:.1}", share * 100.0)
}

fn laid_out(header: &[&str], rows: impl Iterator<Item = Vec<String>>, style: TableStyle) -> String {
    let mut table = lined(style);
    table.set_header(header.iter().map(|text| plain(text)));
    table.add_rows(rows.map(|row| row.iter().map(|text| plain(text)).collect::<Vec<Field>>()));
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    format!("{}\n", lines.join("\n"))
}
