//! Hook points as a user types them: a name whose layer may be a set, and near matches for a mistyped one.

use std::ops::RangeInclusive;
use std::str::FromStr;

use crate::error::{HookError, Result};
use crate::site::{Point, Site};

/// A point's name whose layer may be `*` or a set: `blocks.*.attn.hook_pattern`, `blocks.{0,3-5}.attn.hook_z`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PointPattern {
    text: String,
    site: Site,
    layers: Layers,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Layers {
    /// The site occurs once per model.
    Model,
    All,
    Ranges(Vec<RangeInclusive<usize>>),
}

impl PointPattern {
    /// The site the pattern names.
    pub fn site(&self) -> Site {
        self.site
    }

    /// The text it was read from.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The points meant in a model of `n_layers` blocks. A named layer that does not exist is an error.
    pub fn points(&self, n_layers: usize) -> Result<Vec<Point>> {
        let layers: Vec<usize> = match &self.layers {
            Layers::Model => return Ok(vec![Point::model(self.site)]),
            Layers::All => (0..n_layers).collect(),
            Layers::Ranges(ranges) => {
                // Checked before the ranges are walked: `{0-99999999999}` must not allocate.
                if let Some(last) = ranges.iter().map(|r| *r.end()).find(|end| *end >= n_layers) {
                    return Err(HookError::NoSuchLayer { name: self.text.clone(), layer: last, n_layers });
                }
                let mut layers: Vec<usize> = ranges.iter().cloned().flatten().collect();
                layers.sort_unstable();
                layers.dedup();
                layers
            }
        };
        Ok(layers.into_iter().map(|layer| Point::block(self.site, layer)).collect())
    }
}

impl FromStr for PointPattern {
    type Err = HookError;

    fn from_str(text: &str) -> Result<Self> {
        let set = text.strip_prefix("blocks.").and_then(|rest| rest.split_once('.'));
        let Some((found, name)) = set else {
            let point: Point = text.parse()?;
            return Ok(Self { text: text.to_owned(), site: point.site, layers: Layers::Model });
        };
        let bad = || HookError::BadLayers { name: text.to_owned(), found: found.to_owned() };
        let site = Site::ALL
            .into_iter()
            .find(|site| site.in_block() && site.name() == name)
            .ok_or_else(|| HookError::UnknownPoint { name: text.to_owned(), near: near_matches(text) })?;
        let layers = if found == "*" {
            Layers::All
        } else if let Some(set) = found.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            Layers::Ranges(
                set.split(',').map(|part| range(part.trim()).ok_or_else(bad)).collect::<Result<_>>()?,
            )
        } else {
            let layer = number(found).ok_or_else(bad)?;
            Layers::Ranges(vec![layer..=layer])
        };
        Ok(Self { text: text.to_owned(), site, layers })
    }
}

/// `3` or `3-5`.
fn range(text: &str) -> Option<RangeInclusive<usize>> {
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(text)?, number(text)?),
    };
    (first <= last).then_some(first..=last)
}

/// Digits only: `parse` alone would take `+3`.
fn number(text: &str) -> Option<usize> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// The three names nearest to `text`, with the layer as the user gave it.
pub(crate) fn near_matches(text: &str) -> String {
    let (layer, name) = match text.strip_prefix("blocks.").and_then(|rest| rest.split_once('.')) {
        Some((layer, name)) => (layer, name),
        None => ("*", text),
    };
    // Only the last part is compared when the module is missing, so that `hook_q` finds `attn.hook_q`.
    let tail = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    let mut near: Vec<(usize, usize, Site)> = Site::ALL
        .into_iter()
        .enumerate()
        .map(|(order, site)| {
            let whole = edit_distance(name, site.name());
            let tails = edit_distance(&tail(name), &tail(site.name())) + 1;
            (whole.min(tails), order, site)
        })
        .collect();
    near.sort_by_key(|(distance, order, _)| (*distance, *order));
    let names: Vec<String> = near
        .into_iter()
        .take(3)
        .map(|(_, _, site)| if site.in_block() { format!("blocks.{layer}.{site}") } else { site.to_string() })
        .collect();
    names.join(", ")
}

/// Levenshtein distance in characters.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let above = row[j + 1];
            let here = (diagonal + usize::from(ca != *cb)).min(left + 1).min(above + 1);
            diagonal = above;
            row[j] = left;
            left = here;
        }
        row[b.len()] = left;
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn names(pattern: &str, n_layers: usize) -> Vec<String> {
        let pattern: PointPattern = pattern.parse().unwrap();
        pattern.points(n_layers).unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_star_means_every_layer_and_a_set_means_those() {
        assert_eq!(
            names("blocks.*.hook_resid_pre", 2),
            ["blocks.0.hook_resid_pre", "blocks.1.hook_resid_pre"]
        );
        let layers = names("blocks.{0,3-5,4}.attn.hook_z", 6);
        assert_eq!(layers.len(), 4);
        assert_eq!(layers[1], "blocks.3.attn.hook_z");
        assert_eq!(names("blocks.1.attn.hook_z", 6), ["blocks.1.attn.hook_z"]);
        assert_eq!(names("hook_embed", 6), ["hook_embed"]);
    }

    #[test]
    fn layers_that_cannot_be_read_are_an_error() {
        for set in ["{}", "{1,}", "{5-3}", "{a}", "x", "+1", "{1", "1}", "**", "1-2", ""] {
            let text = format!("blocks.{set}.attn.hook_z");
            assert!(matches!(text.parse::<PointPattern>(), Err(HookError::BadLayers { .. })), "{text}");
        }
    }

    #[test]
    fn a_layer_beyond_the_model_is_an_error_and_is_not_walked() {
        let pattern: PointPattern = "blocks.{0-99999999999}.attn.hook_z".parse().unwrap();
        let error = pattern.points(4).unwrap_err().to_string();
        assert!(error.contains("the model has layers 0 to 3"), "{error}");
    }

    #[test]
    fn the_edit_distance_is_levenshteins() {
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!(edit_distance("", "abc"), 3);
        assert_eq!(edit_distance("abc", "abc"), 0);
        assert_eq!(edit_distance("flaw", "lawn"), 2);
    }
}
