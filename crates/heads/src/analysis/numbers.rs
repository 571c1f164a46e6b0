//! Tensors as f64 on the CPU.

use candle_core::{DType, Device, Tensor};

use super::error::Result;

/// In f64 on the CPU.
pub(super) fn on_host(x: &Tensor) -> Result<Tensor> {
    Ok(x.to_device(&Device::Cpu)?.to_dtype(DType::F64)?)
}

/// The elements in f64.
pub(super) fn exact(x: &Tensor) -> Result<Vec<f64>> {
    Ok(on_host(x)?.flatten_all()?.to_vec1()?)
}
