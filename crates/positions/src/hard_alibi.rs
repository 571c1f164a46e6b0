//! Hard ALiBi: some heads see only the last few tokens, each another number of them; the others have no positions.

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};

use crate::error::{ConfigError, Result};
use crate::memo::Memo;
use crate::pairs::by_distance;
use crate::places::Places;
use crate::position::{Bias, Position};
use crate::registry::{Encoding, Enters, Info, Shape};

/// Options of hard ALiBi.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How many tokens each of the first heads sees, its own included. By default 1, 2, …, ⌊2H/3⌋.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub windows: Option<Vec<u32>>,
}

impl Config {
    /// m_h of the masked heads: by default two thirds of them, as 8 of 12 in Jelassi et al.'s code.
    fn windows(&self, shape: &Shape) -> Vec<u32> {
        match &self.windows {
            Some(windows) => windows.clone(),
            None => (1..).take(2 * shape.n_heads / 3).collect(),
        }
    }
}

impl Encoding for Config {
    const INFO: Info = Info {
        kind: "hard_alibi",
        title: "windows of a few tokens in some heads (hard ALiBi)",
        formula: "score_ij − ∞ where |i − j| ≥ m_h in the first heads, m_h = 1, 2, …, ⌊2H/3⌋; score_ij in the others",
        enters: Enters::Scores,
        parameters: "none",
        source: "Jelassi et al. 2024 (arXiv 2402.01032), and its code: 8 masked heads of 12",
        example: "kind = \"hard_alibi\"\nwindows = [1, 4]\n",
    };

    fn label(&self) -> String {
        match &self.windows {
            None => "hard_alibi".to_owned(),
            Some(windows) => {
                let windows: Vec<String> = windows.iter().map(u32::to_string).collect();
                format!("hard_alibi ({})", windows.join(" "))
            }
        }
    }

    fn validate(&self, shape: &Shape) -> std::result::Result<(), ConfigError> {
        let windows = self.windows(shape);
        let problem = if windows.is_empty() && self.windows.is_none() {
            format!("the default masks ⌊2H/3⌋ heads, which of {} is none; give the windows", shape.n_heads)
        } else if windows.is_empty() {
            "no head is masked: that is kind = \"none\"".to_owned()
        } else if windows.len() > shape.n_heads {
            format!("{} windows are more than the model's {} heads", windows.len(), shape.n_heads)
        } else if windows.contains(&0) {
            "a window of 0 tokens sees nothing; 1 is the token itself".to_owned()
        } else {
            return Ok(());
        };
        Err(ConfigError::new("windows", problem))
    }

    fn build(&self, shape: &Shape, _: VarBuilder) -> Result<Box<dyn Position>> {
        let (windows, heads) = (self.windows(shape), shape.n_heads);
        Ok(Box::new(HardAlibi { windows, heads, causal: shape.causal, last: Memo::new() }))
    }
}

struct HardAlibi {
    windows: Vec<u32>,
    heads: usize,
    causal: bool,
    last: Memo<(Places, Places), Bias>,
}

impl HardAlibi {
    /// (H, n) for n distances.
    fn values(&self, distances: &[i64], dtype: DType, device: &Device) -> Result<Tensor> {
        let mut values = vec![0f64; self.heads * distances.len()];
        for (row, window) in values.chunks_mut(distances.len().max(1)).zip(&self.windows) {
            for (value, distance) in row.iter_mut().zip(distances) {
                if distance.unsigned_abs() >= u64::from(*window) {
                    *value = f64::NEG_INFINITY;
                }
            }
        }
        let shape = (self.heads, distances.len());
        Ok(Tensor::from_vec(values, shape, &Device::Cpu)?.to_dtype(dtype)?.to_device(device)?)
    }
}

impl Position for HardAlibi {
    fn bias(&self, queries: &Places, keys: &Places, dtype: DType, device: &Device) -> Result<Bias> {
        Places::common_rows(queries, keys)?;
        let key = (queries.clone(), keys.clone());
        self.last.get(&key, dtype, device, || {
            by_distance(queries, keys, self.causal, |distances| self.values(distances, dtype, device))
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use attnlab_ops::{self as ops, AttentionSpec, Extras};

    use super::*;
    use crate::testing::numbers;

    const HEADS: usize = 3;

    fn built(windows: Option<Vec<u32>>, causal: bool) -> Box<dyn Position> {
        let shape = Shape { d_model: 6, n_heads: HEADS, head_dim: 2, max_len: 8, causal };
        let config = Config { windows };
        config.validate(&shape).unwrap();
        config.build(&shape, VarBuilder::zeros(DType::F64, &Device::Cpu)).unwrap()
    }

    /// The weights of the softmax over the keys that head `h` may see, one at a time.
    fn weights(scores: impl Fn(usize) -> f64, sees: impl Fn(usize) -> bool, keys: usize) -> Vec<f64> {
        let exp: Vec<f64> = (0..keys).map(|j| if sees(j) { scores(j).exp() } else { 0.0 }).collect();
        let sum: f64 = exp.iter().sum();
        exp.iter().map(|e| e / sum).collect()
    }

    #[test]
    fn the_fused_kernel_averages_the_windows_tokens_and_no_others() {
        let t = 40; // several of the kernel's blocks, most of them hidden altogether
        let (q, k, v) =
            (numbers((1, t, HEADS, 2), 1), numbers((1, t, HEADS, 2), 2), numbers((1, t, HEADS, 2), 3));
        let at = |x: &Tensor, t: usize, h: usize| -> Vec<f64> {
            x.get(0).unwrap().get(t).unwrap().get(h).unwrap().to_vec1().unwrap()
        };
        for causal in [true, false] {
            let places = Places::range(0, t);
            let position = built(Some(vec![1, 3]), causal);
            let Bias::Distance(bias) = position.bias(&places, &places, DType::F64, &Device::Cpu).unwrap()
            else {
                panic!("a run of positions has a bias per distance")
            };
            let spec = AttentionSpec { scale: 1.0, causal, window: None, softcap: None };
            let extras = Extras { bias: Some(&bias), ..Extras::default() };
            let z = ops::attention(&q, &k, &v, &extras, &spec).unwrap();
            for h in 0..HEADS {
                for i in 0..t {
                    let query = at(&q, i, h);
                    let score = |j| at(&k, j, h).iter().zip(&query).map(|(k, q)| k * q).sum::<f64>();
                    let window = [1, 3, usize::MAX][h];
                    let sees = |j: usize| i.abs_diff(j) < window && (j <= i || !causal);
                    let weights = weights(score, sees, t);
                    for c in 0..2 {
                        let expected: f64 = (0..t).map(|j| weights[j] * at(&v, j, h)[c]).sum();
                        assert!((at(&z, i, h)[c] - expected).abs() < 1e-12, "head {h}, query {i}");
                    }
                }
            }
        }
    }

    #[test]
    fn positions_that_do_not_count_up_are_masked_by_their_own_distance() {
        let rows = Places::rows(vec![vec![0, 1, 5]]).unwrap();
        let bias = built(Some(vec![2]), true).bias(&rows, &rows, DType::F64, &Device::Cpu).unwrap();
        let Bias::Full(full) = bias else { panic!("expected a value per pair") };
        let first: Vec<Vec<f64>> = full.get(0).unwrap().get(0).unwrap().to_vec2().unwrap();
        let hidden = f64::NEG_INFINITY;
        assert_eq!(first, [[0.0, 0.0, hidden], [0.0, 0.0, hidden], [hidden, hidden, 0.0]]);
        assert_eq!(full.get(0).unwrap().get(1).unwrap().to_vec2::<f64>().unwrap(), [[0.0; 3]; 3]);
    }

    #[test]
    fn two_thirds_of_the_heads_are_masked_by_default_and_senseless_windows_are_refused() {
        let shape = Shape { d_model: 12, n_heads: 12, head_dim: 1, max_len: 8, causal: true };
        assert_eq!(Config::default().windows(&shape), [1, 2, 3, 4, 5, 6, 7, 8]);
        let one_head = Shape { n_heads: 1, ..shape };
        for (windows, shape) in
            [(Some(vec![]), shape), (Some(vec![1, 0]), shape), (Some(vec![1, 2]), one_head), (None, one_head)]
        {
            assert_eq!(Config { windows }.validate(&shape).unwrap_err().field, "windows");
        }
    }
}
