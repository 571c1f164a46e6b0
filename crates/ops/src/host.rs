//! Reading tensors on the CPU as slices.

use crate::real::Real;
use crate::{OpsError, Result, composed};
use candle_core::{CpuStorage, DType, InplaceOp1, Layout, Storage, Tensor, WithDType};
use std::cell::RefCell;
use std::ops::Deref;

/// True for the devices and dtypes the kernels are written for.
pub(crate) fn on_host(x: &Tensor) -> bool {
    x.device().is_cpu() && matches!(x.dtype(), DType::F32 | DType::F64)
}

/// True if the fused form of an operation runs, false if the composed one does.
pub(crate) fn is_fusable(x: &Tensor) -> bool {
    on_host(x) && !composed::is_forced()
}

/// Runs an expression with `T` the element type of a tensor, f32 or f64.
macro_rules! by_dtype {
    ($op:expr, $dtype:expr, $t:ident => $body:expr) => {
        match $dtype {
            candle_core::DType::F32 => {
                type $t = f32;
                $body
            }
            candle_core::DType::F64 => {
                type $t = f64;
                $body
            }
            other => Err($crate::host::unsupported($op, other)),
        }
    };
}
pub(crate) use by_dtype;

pub(crate) fn unsupported(op: &'static str, found: DType) -> candle_core::Error {
    OpsError::DType { op, argument: "x", found: found.as_str(), expected: "f32 or f64" }.into()
}

/// The elements of a contiguous operand of a custom operation.
pub(crate) fn contiguous<'a, T: Real>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [T]> {
    match layout.contiguous_offsets() {
        Some((begin, end)) => Ok(&storage.as_slice::<T>()?[begin..end]),
        None => Err(candle_core::Error::RequiresContiguous { op: "attnlab-ops" }.bt()),
    }
}

/// The elements of a contiguous operand, to be changed in place.
pub(crate) fn contiguous_mut<'a, T: Real>(
    storage: &'a mut CpuStorage,
    layout: &Layout,
) -> Result<&'a mut [T]> {
    match layout.contiguous_offsets() {
        Some((begin, end)) => Ok(&mut T::slice_mut(storage)?[begin..end]),
        None => Err(candle_core::Error::RequiresContiguous { op: "attnlab-ops" }.bt()),
    }
}

/// A tensor whose storage is held for reading.
pub(crate) struct Host<'a> {
    guard: Box<dyn Deref<Target = Storage> + 'a>,
    layout: &'a Layout,
}

impl<'a> Host<'a> {
    pub(crate) fn new(tensor: &'a Tensor) -> Self {
        let (guard, layout) = tensor.storage_and_layout();
        Self { guard: Box::new(guard), layout }
    }

    /// The elements, which must be contiguous.
    pub(crate) fn slice<T: Real>(&self) -> Result<&[T]> {
        contiguous(self.storage()?, self.layout)
    }

    /// Storage and layout, as a custom operation's forward pass gets them.
    pub(crate) fn operand(&self) -> Result<(&CpuStorage, &'a Layout)> {
        Ok((self.storage()?, self.layout))
    }

    fn storage(&self) -> Result<&CpuStorage> {
        match &**self.guard {
            Storage::Cpu(storage) => Ok(storage),
            _ => Err(candle_core::Error::msg("a fused operation met a tensor off the CPU")),
        }
    }
}

/// Rows along the last dimension of a tensor of any rank whose last stride is 1.
pub(crate) struct Rows4 {
    start: usize,
    strides: [usize; 3],
}

impl Rows4 {
    /// `None` if the last dimension is not contiguous or the rank is not 4.
    pub(crate) fn new(layout: &Layout) -> Option<Self> {
        match (layout.stride(), layout.dims()) {
            (&[s0, s1, s2, s3], &[.., last]) if s3 == 1 || last == 1 => {
                Some(Self { start: layout.start_offset(), strides: [s0, s1, s2] })
            }
            _ => None,
        }
    }

    /// Those of a contiguous tensor.
    pub(crate) fn contiguous((_, b, c, d): (usize, usize, usize, usize)) -> Self {
        Self { start: 0, strides: [b * c * d, c * d, d] }
    }

    /// Where row `(a, b, c)` begins in the storage.
    #[inline(always)]
    pub(crate) fn at(&self, a: usize, b: usize, c: usize) -> usize {
        let [s0, s1, s2] = self.strides;
        self.start + a * s0 + b * s1 + c * s2
    }
}

/// `x` itself if its last dimension is contiguous, else a contiguous copy.
pub(crate) fn with_rows(x: &Tensor) -> Result<Tensor> {
    if x.rank() == 4 && Rows4::new(x.layout()).is_some() { Ok(x.clone()) } else { x.contiguous() }
}

/// The memory of a tensor that nobody else reads; the tensor is left without elements.
pub(crate) fn take_storage(tensor: &Tensor) -> Result<CpuStorage> {
    let mut storage = by_dtype!("take", tensor.dtype(), T => Ok(T::to_cpu_storage_owned(Vec::new())))?;
    swap(tensor, &mut storage)?;
    Ok(storage)
}

/// Exchanges the memory of a tensor that nobody else holds.
pub(crate) fn swap(tensor: &Tensor, storage: &mut CpuStorage) -> Result<()> {
    tensor.inplace_op1(&Swap(RefCell::new(storage)))
}

struct Swap<'a>(RefCell<&'a mut CpuStorage>);

impl InplaceOp1 for Swap<'_> {
    fn name(&self) -> &'static str {
        "swap"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, _: &Layout) -> Result<()> {
        std::mem::swap(storage, *self.0.borrow_mut());
        Ok(())
    }
}
