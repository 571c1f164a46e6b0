//! The two element types of the fused operations.
//!
//! f32 is the type of production: its transcendental functions are the branch-free ones of
//! [`crate::vector`], which the compiler vectorises. f64 is the type of gradient tests and uses
//! the mathematics library.

use crate::Result;
use crate::lanes::Lanes;
use crate::linear::PackedWeight;
use crate::vector;
use candle_core::{CpuStorage, WithDType};
use std::ops::Neg;

/// f32 or f64.
pub(crate) trait Real: WithDType + Lanes + Neg<Output = Self> + Default {
    const ZERO: Self;
    const ONE: Self;
    const LOWEST: Self;
    fn real(x: f64) -> Self;
    fn exp(self) -> Self;
    fn ln(self) -> Self;
    /// 2ˣ for x ≤ 0, given what fuses `a · b + c` on this machine.
    fn exp2(self, fused: impl Fn(Self, Self, Self) -> Self) -> Self;
    fn log2(self) -> Self;
    fn erf(self) -> Self;
    fn tanh(self) -> Self;
    /// Rounded to f32.
    fn single(self) -> f32;
    fn sqrt(self) -> Self;
    /// A packed weight of f32, if that is the type.
    fn packed(weight: &PackedWeight<f32>) -> Option<&PackedWeight<Self>>;
    /// The elements of a storage, to be changed in place.
    fn slice_mut(storage: &mut CpuStorage) -> Result<&mut [Self]>;
    /// The elements of a storage.
    fn vector(storage: CpuStorage) -> Result<Vec<Self>>;
    /// How many elements a storage has room for, if it is of this type.
    fn capacity(storage: &CpuStorage) -> Option<usize>;
    /// `self · a + b` with one rounding; only fast where the processor has the instruction.
    fn mul_add(self, a: Self, b: Self) -> Self;
}

macro_rules! real {
    ($t:ty, $dtype:ident, $packed:expr, $exp:path, $exp2:expr, $erf:path, $tanh:path) => {
        impl Real for $t {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const LOWEST: Self = <$t>::NEG_INFINITY;
            #[inline(always)]
            fn real(x: f64) -> Self {
                x as $t
            }
            #[inline(always)]
            fn exp(self) -> Self {
                $exp(self)
            }
            #[inline(always)]
            fn ln(self) -> Self {
                <$t>::ln(self)
            }
            #[inline(always)]
            fn exp2(self, fused: impl Fn(Self, Self, Self) -> Self) -> Self {
                $exp2(self, fused)
            }
            #[inline(always)]
            fn log2(self) -> Self {
                <$t>::log2(self)
            }
            #[inline(always)]
            fn erf(self) -> Self {
                $erf(self)
            }
            #[inline(always)]
            fn tanh(self) -> Self {
                $tanh(self)
            }
            #[inline(always)]
            #[allow(clippy::unnecessary_cast, reason = "f32 too")]
            fn single(self) -> f32 {
                self as f32
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                <$t>::sqrt(self)
            }
            fn packed(weight: &PackedWeight<f32>) -> Option<&PackedWeight<Self>> {
                $packed(weight)
            }
            fn slice_mut(storage: &mut CpuStorage) -> Result<&mut [Self]> {
                match storage {
                    CpuStorage::$dtype(values) => Ok(values),
                    _ => Err(candle_core::Error::msg(concat!(
                        "an operation in place met another dtype than ",
                        stringify!($dtype)
                    ))),
                }
            }
            fn vector(storage: CpuStorage) -> Result<Vec<Self>> {
                match storage {
                    CpuStorage::$dtype(values) => Ok(values),
                    _ => Err(candle_core::Error::msg(concat!(
                        "a gradient has another dtype than ",
                        stringify!($dtype)
                    ))),
                }
            }
            fn capacity(storage: &CpuStorage) -> Option<usize> {
                match storage {
                    CpuStorage::$dtype(values) => Some(values.capacity()),
                    _ => None,
                }
            }
            #[inline(always)]
            fn mul_add(self, a: Self, b: Self) -> Self {
                <$t>::mul_add(self, a, b)
            }
        }
    };
}

real!(f32, F32, Some, vector::exp, vector::exp2, vector::erf, vector::tanh);
real!(f64, F64, |_| None, f64::exp, |x: f64, _| x.exp2(), candle_core::cpu::erf::erf_f64, f64::tanh);
