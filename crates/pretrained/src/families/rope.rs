//! Rotary positions as configurations describe them, in the keys of transformers 4 and 5.

use attnlab_positions::PositionConfig;
use attnlab_positions::rope::{Config as Rope, Layout, Scaling};

use crate::config::Config;
use crate::error::Result;

/// What a family knows of its rotary positions.
pub(crate) struct RopeDefaults {
    /// The base where the configuration gives none.
    pub(crate) base: f64,
    /// The share of a head that turns where the configuration gives none; `None`: all of it, whatever it says.
    pub(crate) fraction: Option<f64>,
    /// Which dimensions form a pair.
    pub(crate) layout: Layout,
}

impl RopeDefaults {
    /// All of a head turns, in halves.
    pub(crate) fn whole(base: f64) -> Self {
        Self { base, fraction: None, layout: Layout::Half }
    }

    /// The encoding that `config` describes. `max_len` is its `max_position_embeddings`.
    pub(crate) fn read(&self, config: &Config, max_len: usize) -> Result<PositionConfig> {
        // A scaling that is there and not null stands in place of version 5's table.
        let table = match config.table("rope_scaling")? {
            Some(table) => Some(table),
            None => config.table("rope_parameters")?,
        };
        if table.as_ref().is_some_and(Config::holds_tables) {
            return Err(config.unsupported("rope_parameters", "one table for all layers"));
        }
        self.read_table(config, table.as_ref(), config.maybe_number("rope_theta")?, max_len)
    }

    /// The encoding of a table of parameters; `base` is what stands outside of it.
    pub(crate) fn read_table(
        &self,
        config: &Config,
        table: Option<&Config>,
        base: Option<f64>,
        max_len: usize,
    ) -> Result<PositionConfig> {
        let inside = |key: &str| table.map_or(Ok(None), |table| table.maybe_number(key));
        let base = inside("rope_theta")?.or(base).unwrap_or(self.base);
        let given = match inside("partial_rotary_factor")? {
            Some(fraction) => Some(fraction),
            None => config.maybe_number("partial_rotary_factor")?,
        };
        let scaling = match table {
            Some(table) => self.scaling(config, table, max_len)?,
            None => None,
        };
        let fraction = match (self.fraction, given) {
            (Some(default), given) => given.unwrap_or(default),
            // Transformers' scalings heed the factor and their plain form does not: such a model fails there.
            (None, Some(fraction)) if fraction != 1.0 && scaling.is_some() => {
                return Err(config.unsupported("partial_rotary_factor", "1 with a scaling, in this family"));
            }
            (None, _) => 1.0,
        };
        Ok(PositionConfig::Rope(Rope { base, fraction, layout: self.layout, scaling, ..Rope::default() }))
    }

    fn scaling(&self, config: &Config, table: &Config, max_len: usize) -> Result<Option<Scaling>> {
        let kind = table.maybe_text("rope_type|type")?.unwrap_or_else(|| "default".to_owned());
        let factor = || table.maybe_number("factor");
        let needed = |key: &str| -> Result<f64> {
            let value = table.maybe_number(key)?;
            value.ok_or_else(|| table.unsupported(key, "a number, which this rope_type needs"))
        };
        // A key of the whole configuration wins over the table's.
        let original = match config.maybe_count("original_max_position_embeddings")? {
            Some(original) => original,
            None => table.count_or("original_max_position_embeddings", max_len)?,
        };
        let stretch = max_len as f64 / original.max(1) as f64;
        Ok(Some(match kind.as_str() {
            "default" | "mrope" => return Ok(None),
            "linear" => Scaling::Linear { factor: needed("factor")? },
            "dynamic" => Scaling::Dynamic { factor: needed("factor")?, original: max_len },
            "llama3" => Scaling::Llama3 {
                factor: needed("factor")?,
                low_freq_factor: needed("low_freq_factor")?,
                high_freq_factor: needed("high_freq_factor")?,
                original,
            },
            "yarn" => {
                let factor = factor()?.unwrap_or(stretch);
                // 0.1·m·ln s + 1, and 1 without stretching.
                let length = |m: f64| if factor <= 1.0 { 1.0 } else { 0.1 * m * factor.ln() + 1.0 };
                let weights = (table.maybe_number("mscale")?, table.maybe_number("mscale_all_dim")?);
                let attention_factor = match (table.maybe_number("attention_factor")?, weights) {
                    (Some(given), _) => given,
                    (None, (Some(some), Some(all))) if some != 0.0 && all != 0.0 => {
                        length(some) / length(all)
                    }
                    (None, _) => length(1.0),
                };
                Scaling::Yarn {
                    factor,
                    beta_fast: table.number_or("beta_fast", 32.0)?,
                    beta_slow: table.number_or("beta_slow", 1.0)?,
                    original,
                    truncate: table.flag_or("truncate", true)?,
                    attention_factor,
                }
            }
            "longrope" | "su" => {
                let list = |key: &str| -> Result<Vec<f64>> {
                    table.maybe_numbers(key)?.ok_or_else(|| table.unsupported(key, "a list of numbers"))
                };
                let factor = factor()?.unwrap_or(stretch);
                let attention_factor = match table.maybe_number("attention_factor")? {
                    Some(given) => given,
                    None if factor <= 1.0 => 1.0,
                    None => (1.0 + factor.ln() / (original as f64).ln()).sqrt(),
                };
                Scaling::Longrope {
                    short: list("short_factor")?,
                    long: list("long_factor")?,
                    original,
                    attention_factor,
                }
            }
            _ => {
                let key = if table.has("rope_type") { "rope_type" } else { "type" };
                return Err(table.unsupported(key, "default, linear, dynamic, llama3, yarn, longrope"));
            }
        }))
    }
}
