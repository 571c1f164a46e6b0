//! Rows of a table by id, with a gradient that touches only the rows used.
//!
//! ```text
//! y_n = table[id_n]      ∂table[v] = Σ_{n: id_n = v} ∂y_n
//! ```

use crate::host::{Host, by_dtype, contiguous, is_fusable};
use crate::real::Real;
use crate::{OpsError, Result, composed};
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, DType, Layout, Shape, Tensor, WithDType};

/// `(…, D)` from ids `(…)` of u32, usually `(B, T)` or `(T)`, and a table `(V, D)`.
pub fn embedding(ids: &Tensor, table: &Tensor) -> Result<Tensor> {
    let &[v, _] = table.dims() else {
        return Err(OpsError::Shape {
            op: "embedding",
            argument: "table",
            found: table.dims().to_vec(),
            expected: "(V, D)".into(),
        }
        .into());
    };
    if ids.dtype() != DType::U32 {
        return Err(OpsError::DType {
            op: "embedding",
            argument: "ids",
            found: ids.dtype().as_str(),
            expected: "u32",
        }
        .into());
    }
    if !is_fusable(table) {
        return composed::embedding(ids, table);
    }
    let rows: Vec<u32> = ids.flatten_all()?.to_vec1()?;
    if let Some(id) = rows.iter().find(|&&id| id as usize >= v) {
        return Err(OpsError::Value {
            op: "embedding",
            argument: "ids",
            found: id.to_string(),
            expected: format!("ids below the {v} rows of the table"),
        }
        .into());
    }
    let op = Embedding { ids: rows, dims: ids.dims().to_vec() };
    table.contiguous()?.apply_op1(op)
}

struct Embedding {
    ids: Vec<u32>,
    dims: Vec<usize>,
}

impl CustomOp1 for Embedding {
    fn name(&self) -> &'static str {
        "embedding"
    }

    fn cpu_fwd(&self, table: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (_, d) = layout.shape().dims2()?;
        let mut dims = self.dims.clone();
        dims.push(d);
        by_dtype!("embedding", table.dtype(), T => {
            let table = contiguous::<T>(table, layout)?;
            let mut rows = Vec::with_capacity(self.ids.len() * d);
            for &id in &self.ids {
                let begin = id as usize * d;
                rows.extend_from_slice(&table[begin..begin + d]);
            }
            Ok((T::to_cpu_storage_owned(rows), Shape::from(dims)))
        })
    }

    fn bwd(&self, table: &Tensor, _rows: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let (v, d) = table.dims2()?;
        let grad = grad.contiguous()?;
        let host = Host::new(&grad);
        by_dtype!("embedding", table.dtype(), T => {
            let gradient = scatter(&self.ids, host.slice::<T>()?, v, d);
            Ok(Some(Tensor::from_vec(gradient, (v, d), table.device())?))
        })
    }
}

fn scatter<T: Real>(ids: &[u32], grad: &[T], v: usize, d: usize) -> Vec<T> {
    let mut gradient = vec![T::ZERO; v * d];
    for (&id, grad) in ids.iter().zip(grad.chunks_exact(d.max(1))) {
        let begin = id as usize * d;
        for (sum, &g) in gradient[begin..begin + d].iter_mut().zip(grad) {
            *sum += g;
        }
    }
    gradient
}
