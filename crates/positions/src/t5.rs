//! T5's relative bias: a learned number for each head and bucket of distances, near ones alone in a bucket, far ones
//! sharing it with ever more others.

use candle_core::{DType, Device, Tensor};
use candle_nn::{Init, VarBuilder};
use serde::{Deserialize, Serialize};

use crate::error::{ConfigError, Result};
use crate::pairs::by_distance;
use crate::places::Places;
use crate::position::{Bias, Position};
use crate::registry::{Encoding, Enters, Info, Shape};

/// Options of the bucketed bias.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Number of buckets; of a model that sees ahead, one half serves keys after the query.
    pub buckets: usize,
    /// The distance from which all share the last bucket.
    pub max_distance: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { buckets: 32, max_distance: 128 }
    }
}

impl Config {
    /// The bucket of the distance i − j.
    ///
    /// Computed in f32 as transformers does, so that distances at the edge of a bucket fall on the same side.
    fn bucket(&self, distance: i64, causal: bool) -> usize {
        let (buckets, first) = if causal {
            (self.buckets, 0)
        } else {
            (self.buckets / 2, if distance < 0 { self.buckets / 2 } else { 0 })
        };
        let distance = if causal { distance.max(0) } else { distance.abs() } as usize;
        let exact = buckets / 2;
        if distance < exact {
            return first + distance;
        }
        let ratio =
            (distance as f32 / exact as f32).ln() / (self.max_distance as f64 / exact as f64).ln() as f32;
        let far = exact + (ratio * (buckets - exact) as f32) as usize;
        first + far.min(buckets - 1)
    }
}

impl Encoding for Config {
    const INFO: Info = Info {
        kind: "t5",
        title: "bucketed relative bias (T5)",
        formula: "score_ij + b_h[bucket(i − j)]; the first half of the buckets hold one distance each, the others \
                  widen logarithmically up to max_distance",
        enters: Enters::Scores,
        parameters: "b: buckets × n_heads",
        source: "Raffel et al. 2019 (arXiv 1910.10683)",
        example: "kind = \"t5\"\nbuckets = 16\nmax_distance = 64\n",
    };

    fn label(&self) -> String {
        if *self == Self::default() {
            return "t5".to_owned();
        }
        format!("t5 ({} buckets to {})", self.buckets, self.max_distance)
    }

    fn validate(&self, shape: &Shape) -> std::result::Result<(), ConfigError> {
        let per_side = if shape.causal { self.buckets } else { self.buckets / 2 };
        if per_side < 2 || !self.buckets.is_multiple_of(2) || self.buckets > 1 << 20 {
            let problem = format!("{} is not an even number from 4 to 1048576", self.buckets);
            return Err(ConfigError::new("buckets", problem));
        }
        if self.max_distance <= per_side / 2 || self.max_distance > 1 << 30 {
            return Err(ConfigError::new(
                "max_distance",
                format!(
                    "{} is not above {}, the distances with a bucket of their own",
                    self.max_distance,
                    per_side / 2
                ),
            ));
        }
        Ok(())
    }

    fn parameter_count(&self, shape: &Shape) -> usize {
        self.buckets.saturating_mul(shape.n_heads)
    }

    fn build(&self, shape: &Shape, vb: VarBuilder) -> Result<Box<dyn Position>> {
        let init = Init::Randn { mean: 0.0, stdev: 0.02 };
        let table = vb.get_with_hints((self.buckets, shape.n_heads), "weight", init)?;
        Ok(Box::new(T5 { config: self.clone(), causal: shape.causal, table }))
    }
}

struct T5 {
    config: Config,
    causal: bool,
    table: Tensor, // (buckets, H)
}

impl T5 {
    /// The table's values for each of some distances, (H, n).
    fn values(&self, distances: &[i64], dtype: DType, device: &Device) -> Result<Tensor> {
        let bucket = |distance: &i64| self.config.bucket(*distance, self.causal) as u32;
        let buckets: Vec<u32> = distances.iter().map(bucket).collect();
        let buckets = Tensor::new(buckets, device)?;
        Ok(self.table.index_select(&buckets, 0)?.t()?.contiguous()?.to_dtype(dtype)?)
    }
}

impl Position for T5 {
    fn bias(&self, queries: &Places, keys: &Places, dtype: DType, device: &Device) -> Result<Bias> {
        by_distance(queries, keys, self.causal, |distances| self.values(distances, dtype, device))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_distances_have_their_own_bucket_and_far_ones_share_the_last() {
        let config = Config::default();
        let causal: Vec<usize> = (-2..18).map(|d| config.bucket(d, true)).collect();
        assert_eq!(causal, [0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 16]);
        assert_eq!([127, 128, 5000].map(|d| config.bucket(d, true)), [31, 31, 31]);
        assert_eq!(
            [0, 1, -1, 7, -7, 8, -8, 900, -900].map(|d| config.bucket(d, false)),
            [0, 1, 17, 7, 23, 8, 24, 15, 31]
        );
    }

    #[test]
    fn buckets_that_leave_no_room_for_distances_are_refused() {
        let shape = Shape { d_model: 4, n_heads: 2, head_dim: 2, max_len: 8, causal: false };
        for (buckets, max_distance, field) in
            [(2, 128, "buckets"), (7, 128, "buckets"), (32, 8, "max_distance")]
        {
            let error = Config { buckets, max_distance }.validate(&shape);
            assert_eq!(error.map_err(|e| e.field), Err(field), "{buckets} {max_distance}");
        }
    }
}
