//! The limit that a training step is held against: the most that a dense product reaches on one thread.

use std::hint::black_box;
use std::time::{Duration, Instant};

use attnlab_ops as ops;
use candle_core::{DType, Device, Tensor};

use crate::error::Result;

/// Sides of the square matrices: from what fits a core's own cache to what does not.
const SIDES: [usize; 5] = [256, 384, 512, 768, 1024];
/// Each product is repeated for so long: the best of few repeats is not the peak on a machine that others use.
const SPAN: Duration = Duration::from_millis(80);

/// Best GFLOP/s of any square product, by Candle's own kernel or by ours.
pub(super) fn gemm_gflops() -> Result<f64> {
    let products: [fn(&Tensor) -> candle_core::Result<Tensor>; 2] =
        [|x| x.matmul(x), |x| ops::linear(x, x, None)];
    let mut best: f64 = 0.0;
    for side in SIDES {
        // Not ones or zeros, whose products cost less power and may clock higher.
        let x = Tensor::arange(0u32, (side * side) as u32, &Device::Cpu)?;
        let x = x.to_dtype(DType::F32)?.sin()?.reshape((side, side))?;
        let gflop = 2.0 * (side as f64).powi(3) / 1e9;
        for product in products {
            let first = Instant::now();
            while first.elapsed() < SPAN {
                let began = Instant::now();
                black_box(product(black_box(&x))?);
                best = best.max(gflop / began.elapsed().as_secs_f64());
            }
        }
    }
    Ok(best)
}
