//! Weights laid out for the forward product, once for all micro-batches of a step.

use crate::host::{Host, on_host};
use crate::linear::PackedWeight;
use crate::{Parameters, Result};
use candle_core::{DType, Tensor, TensorId, Var};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The bytes of packed weights that are worth it: what a cache shared by the cores holds. Beyond, reading them anew
/// costs what laying them out does.
const MOST_BYTES: usize = 4 << 20;

/// The f32 matrices among some parameters, packed when they are first needed. Threads share them. None if they are
/// too large to stay in the cache.
///
/// A packed weight is a copy: [`Packs::parameters_changed`] must be called after every change of a parameter.
#[derive(Default)]
pub struct Packs(HashMap<TensorId, Mutex<Pack>>);

#[derive(Default)]
struct Pack {
    weight: Option<Arc<PackedWeight<f32>>>,
    current: bool,
}

impl Packs {
    /// For the parameters that exist now.
    pub fn new(parameters: &Parameters) -> Self {
        let vars = parameters.vars().into_iter().map(|(_, var)| var);
        let matrix = |var: &Var| var.rank() == 2 && var.dtype() == DType::F32 && on_host(var);
        let mut matrices: Vec<Var> = vars.filter(matrix).collect();
        let bytes: usize = matrices.iter().map(|var| size_of::<f32>() * var.elem_count()).sum();
        if bytes > MOST_BYTES {
            matrices.clear();
        }
        Self(matrices.iter().map(|var| (var.as_tensor().id(), Mutex::default())).collect())
    }

    /// Forgets what is packed, but not its memory.
    pub fn parameters_changed(&self) {
        for pack in self.0.values() {
            pack.lock().unwrap_or_else(PoisonError::into_inner).current = false;
        }
    }

    /// `weight`, packed; `None` if it is not one of the matrices.
    pub(crate) fn get(&self, weight: &Tensor) -> Result<Option<Arc<PackedWeight<f32>>>> {
        let Some(pack) = self.0.get(&weight.id()) else { return Ok(None) };
        // A thread that panicked while it packed has not said that the pack is current.
        let mut pack = pack.lock().unwrap_or_else(PoisonError::into_inner);
        if !pack.current {
            let (out, inner) = weight.dims2()?;
            let host = Host::new(weight);
            let values = host.slice()?;
            match pack.weight.as_mut().and_then(Arc::get_mut) {
                Some(weight) => weight.repack(values),
                None => pack.weight = Some(Arc::new(PackedWeight::new(values, out, inner))),
            }
            pack.current = true;
        }
        Ok(pack.weight.clone())
    }
}
