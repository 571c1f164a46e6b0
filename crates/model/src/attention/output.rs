//! From each head's z to the stream.

use attnlab_hooks::{Observer, Point, Scope, Select, Site, Want};
use attnlab_ops as ops;
use candle_core::Tensor;

use super::Attention;
use crate::error::Result;

impl Attention {
    /// z·Wo, (B, T, D). Each head's own contribution, (B, T, H, D) without the bias, is computed only for those who
    /// look at it, and summed up only for those who edit it.
    pub(super) fn project<O: Observer>(&self, z: &Tensor, observer: &mut O) -> Result<Tensor> {
        let (b, t, h, k) = z.dims4()?;
        let point = Point::block(Site::HeadOut, self.layer);
        let edited = match observer.wants(point) {
            Want::Nothing => None,
            Want::Look(scope) => {
                let heads = scope.heads.indices(h);
                let rest = Scope { heads: Select::All, ..scope.clone() };
                observer.see(point, &rest.cut(Site::HeadOut, &self.head_outputs(z, &heads)?)?)?;
                None
            }
            Want::Edit => {
                let all: Vec<usize> = (0..h).collect();
                observer.see(point, &self.head_outputs(z, &all)?)?
            }
        };
        match edited {
            None => self.output.forward(&ops::reshape(z, (b, t, h * k))?),
            Some(outputs) => self.output.add_bias(&outputs.sum(2)?),
        }
    }

    /// z_h·Wo_hᵀ of the given heads, (B, T, heads, D).
    fn head_outputs(&self, z: &Tensor, heads: &[usize]) -> Result<Tensor> {
        let output = |&h: &usize| {
            let weight = self.output.weight_columns(h * self.head_dim, self.head_dim)?; // (D, K)
            Ok(ops::linear(&z.narrow(2, h, 1)?.contiguous()?, &weight, None)?) // (B, T, 1, D)
        };
        Ok(Tensor::cat(&heads.iter().map(output).collect::<Result<Vec<_>>>()?, 2)?)
    }
}
