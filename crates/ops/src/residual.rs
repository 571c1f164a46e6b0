//! Sums of two tensors, and the same elements in another shape.
//!
//! Plain Candle operations do the same, and where Candle's autograd records they are what runs. On a tape these cost
//! less: the gradient of a sum is handed on, and that of another shape is the same.

use crate::fused::{computed, records_gradients};
use crate::host::{Host, by_dtype, is_fusable};
use crate::threads::Team;
use crate::vector::add_to;
use crate::{Result, memory, tape};
use candle_core::{Shape, Tensor};

/// `x + y`, of one shape.
pub fn add(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    /// Elements that are added together.
    const PIECE: usize = 1 << 14;
    let alike = x.dims() == y.dims() && x.dtype() == y.dtype() && x.is_contiguous() && y.is_contiguous();
    if !is_fusable(x) || !alike {
        return x + y;
    }
    if !tape::is_recording() {
        if records_gradients(&[x, y]) {
            return x + y;
        }
        let (hx, hy) = (Host::new(x), Host::new(y));
        return by_dtype!("add", x.dtype(), T => {
            let mut sum = memory::take(x.elem_count());
            let pieces = sum.chunks_mut(PIECE).zip(hx.slice::<T>()?.chunks(PIECE)).zip(hy.slice()?.chunks(PIECE));
            Team::of_forward(false, x.elem_count()).each(pieces, |((sum, x), y)| {
                sum.copy_from_slice(x);
                add_to(sum, y);
            });
            computed(sum, x.shape().clone(), x.device(), false)
        });
    }
    tape::record_sum(x, y, |keep| {
        let (hx, hy) = (Host::new(x), Host::new(y));
        by_dtype!("add", x.dtype(), T => {
            let mut sum = memory::copy_of(hx.slice::<T>()?);
            add_to(&mut sum, hy.slice()?);
            computed(sum, x.shape().clone(), x.device(), keep)
        })
    })
}

/// The elements of x in the same order, in another shape.
pub fn reshape(x: &Tensor, shape: impl Into<Shape>) -> Result<Tensor> {
    let y = x.reshape(shape.into())?;
    if tape::is_recording() {
        tape::record_alias(x, &y);
    }
    Ok(y)
}
