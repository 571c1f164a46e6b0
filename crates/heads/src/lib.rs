//! Per-head statistics of attention maps.
//!
//! Each statistic is a number per query row, averaged over the rows of a head for which it is defined:
//! see [`registry`] for the definitions. A row is read as a distribution over the keys it may see,
//! `p_ij = A_ij / Σ_j A_ij`; rows without mass have none and are counted instead. Everything is computed in f64.
//!
//! A long text has no map: a [`Survey`] watches the kernel of attention and has the same statistics of every head, and
//! more, from rows that stream by.
//!
//! ```
//! use attnlab_heads::{Survey, SurveyOptions};
//! use attnlab_ops::{AttentionSpec, Extras, attention_watched};
//! use candle_core::{DType, Device, Tensor};
//!
//! let (tokens, spec) =
//!     ([5, 3, 5, 3], AttentionSpec { scale: 1.0, causal: true, window: None, softcap: None });
//! let q = Tensor::zeros((1, 4, 1, 8), DType::F32, &Device::Cpu)?; // looks at everything alike
//! let mut survey = Survey::new(SurveyOptions::default());
//! survey.begin_text(&tokens);
//! attention_watched(&q, &q, &q, &Extras::default(), &spec, &survey.watch(0))?;
//! let result = survey.finish();
//! let found = result.head(0, 0).and_then(|head| head.mean("normalised_entropy"));
//! assert!(found.is_some_and(|found| (found - 1.0).abs() < 1e-6));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A number says little without its baseline: [`uniform_statistics`] gives what uniform attention of the same
//! shape and mask would score.
//!
//! ```
//! use attnlab_heads::{Mask, head_statistics, uniform_statistics};
//! use candle_core::{Device, Tensor};
//!
//! // One head of one sequence: everything at the first token.
//! let pattern = Tensor::new(&[[[[1f32, 0.], [1., 0.]]]], &Device::Cpu)?;
//! let head = &head_statistics(&pattern, Mask::Causal)?[0];
//! assert_eq!(head.get("first_token"), Some(1.0));
//! assert_eq!(uniform_statistics(2, Mask::Causal).get("first_token"), Some(0.75));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod analysis;
mod bins;
mod captured;
mod digest;
pub mod doctor;
mod error;
mod estimate;
mod gather;
mod lanes;
mod metric;
mod record;
mod result;
mod statistics;
mod survey;
mod text;

pub use captured::{CapturedHead, captured_statistics};
pub use digest::{Constants, Hit, RowDigest, SHARES};
pub use error::{HeadsError, Result};
pub use estimate::Estimate;
pub use metric::{Measure, Metric, registry};
pub use record::{MapRecorder, MapScope};
pub use result::{CurvePoint, DistanceBin, HeadResult, LayerSummary, Sink, SurveyResult};
pub use statistics::{
    HeadStatistics, Mask, Tally, head_statistics, uniform_statistics, uniform_statistics_of_rows,
};
pub use survey::{LayerWatch, Survey, SurveyOptions};
pub use text::Repeat;
