//! Rows of a table by id, with a gradient that touches only the rows used.
//!
//! ```text
//! y_n = table[id_n]      ∂table[v] = Σ_{n: id_n = v} ∂y_n
//! ```

use crate::fused::{Fused, Sinks, View, apply};
use crate::host::is_fusable;
use crate::real::Real;
use crate::vector::vectorised;
use crate::{OpsError, Result, composed, memory};
use candle_core::{DType, Shape, Tensor};

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
    let op = Embedding { ids: rows, dims: ids.dims().to_vec(), width: table.dim(1)? };
    apply(op, &[&table.contiguous()?])
}

struct Embedding {
    ids: Vec<u32>,
    dims: Vec<usize>,
    width: usize,
}

impl Fused for Embedding {
    const READS_INPUTS: bool = false;

    fn name(&self) -> &'static str {
        "embedding"
    }

    fn forward<T: Real>(&self, inputs: &[View<'_, T>], _: bool) -> Result<(Vec<T>, Shape)> {
        let (table, d) = (inputs[0].contiguous()?, self.width);
        let mut rows = memory::take(self.ids.len() * d);
        for (row, &id) in rows.chunks_exact_mut(d.max(1)).zip(&self.ids) {
            let begin = id as usize * d;
            row.copy_from_slice(&table[begin..begin + d]);
        }
        let dims: Vec<usize> = self.dims.iter().copied().chain([d]).collect();
        Ok((rows, Shape::from(dims)))
    }

    fn backward<T: Real>(
        &self,
        _: &[View<'_, T>],
        _: &[T],
        grad: &mut [T],
        sinks: &mut Sinks<'_, T>,
    ) -> Result<()> {
        if let Some(sink) = sinks[0].take() {
            scatter(&self.ids, grad, self.width, sink.summed());
        }
        Ok(())
    }
}

vectorised! {
    fn scatter<'a, T, S>(ids: &'a [u32], grad: &'a [T], d: usize, table: &'a mut [T]) {
        for (&id, grad) in ids.iter().zip(grad.chunks_exact(d.max(1))) {
            let begin = id as usize * d;
            for (sum, &g) in table[begin..begin + d].iter_mut().zip(grad) {
                *sum += g;
            }
        }
    }
}
