//! f32 and f64 as vectors of an instruction set.

use pulp::Simd;
use std::array::from_fn;

/// An element type that is computed with a vector at a time.
///
/// Most kernels leave the vectors to the compiler. The blocks of a matrix product name them: out of
/// plain arrays the compiler sometimes forms vectors down the columns of a block instead of along its
/// rows, which was measured forty times slower.
pub(crate) trait Lanes: Copy + 'static {
    type Vector<S: Simd>: Copy;
    /// x in every lane.
    fn splat<S: Simd>(simd: S, x: Self) -> Self::Vector<S>;
    /// `a + b`.
    fn sum<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    /// `a · b + c`, rounded once where the processor has the instruction.
    fn fused<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>, c: Self::Vector<S>)
    -> Self::Vector<S>;
    /// The elements as vectors, without those left over.
    fn vectors<S: Simd>(x: &[Self]) -> &[Self::Vector<S>];
    /// The elements as vectors, without those left over.
    fn vectors_mut<S: Simd>(x: &mut [Self]) -> &mut [Self::Vector<S>];
    /// The four columns of eight rows.
    fn transpose<S: Simd>(simd: S, rows: [[Self; 4]; 8]) -> [[Self; 8]; 4];
}

macro_rules! lanes {
    ($t:ty, $v:ident, $splat:ident, $sum:ident, $fused:ident, $vectors:ident, $vectors_mut:ident, $transpose:ident) => {
        impl Lanes for $t {
            type Vector<S: Simd> = S::$v;
            #[inline(always)]
            fn splat<S: Simd>(simd: S, x: Self) -> S::$v {
                simd.$splat(x)
            }
            #[inline(always)]
            fn sum<S: Simd>(simd: S, a: S::$v, b: S::$v) -> S::$v {
                simd.$sum(a, b)
            }
            #[inline(always)]
            fn fused<S: Simd>(simd: S, a: S::$v, b: S::$v, c: S::$v) -> S::$v {
                simd.$fused(a, b, c)
            }
            #[inline(always)]
            fn vectors<S: Simd>(x: &[Self]) -> &[S::$v] {
                S::$vectors(x).0
            }
            #[inline(always)]
            fn vectors_mut<S: Simd>(x: &mut [Self]) -> &mut [S::$v] {
                S::$vectors_mut(x).0
            }
            #[inline(always)]
            fn transpose<S: Simd>(simd: S, rows: [[Self; 4]; 8]) -> [[Self; 8]; 4] {
                $transpose(simd, rows)
            }
        }
    };
}

lanes!(f32, f32s, splat_f32s, add_f32s, mul_add_e_f32s, as_simd_f32s, as_mut_simd_f32s, transpose_f32);
lanes!(f64, f64s, splat_f64s, add_f64s, mul_add_e_f64s, as_simd_f64s, as_mut_simd_f64s, transpose_plainly);

#[inline(always)]
fn transpose_plainly<T: Copy, S: Simd>(_: S, rows: [[T; 4]; 8]) -> [[T; 8]; 4] {
    from_fn(|c| from_fn(|r| rows[r][c]))
}

/// In registers if there is AVX: a fifth of a cycle an element, and a whole one by plain code.
#[inline(always)]
fn transpose_f32<S: Simd>(simd: S, rows: [[f32; 4]; 8]) -> [[f32; 8]; 4] {
    #[cfg(target_arch = "x86_64")]
    if let Some(pulp::x86::V3 { avx, .. }) = v3(simd) {
        use pulp::cast;
        use std::arch::x86_64::{__m128, __m256};
        /// The lower two of either operand, in each half of a register; the upper two.
        const LOWER: i32 = 0b01_00_01_00;
        const UPPER: i32 = 0b11_10_11_10;
        // Row i in the lower half of a register, row i + 4 in the upper.
        let [a, b, c, d]: [__m256; 4] = from_fn(|i| {
            let (lower, upper): (__m128, __m128) = (cast(rows[i]), cast(rows[i + 4]));
            avx._mm256_insertf128_ps::<1>(avx._mm256_castps128_ps256(lower), upper)
        });
        // Columns 0 and 1 of two rows, columns 2 and 3 of two rows.
        let (ab01, ab23) = (avx._mm256_unpacklo_ps(a, b), avx._mm256_unpackhi_ps(a, b));
        let (cd01, cd23) = (avx._mm256_unpacklo_ps(c, d), avx._mm256_unpackhi_ps(c, d));
        return [
            cast(avx._mm256_shuffle_ps::<LOWER>(ab01, cd01)),
            cast(avx._mm256_shuffle_ps::<UPPER>(ab01, cd01)),
            cast(avx._mm256_shuffle_ps::<LOWER>(ab23, cd23)),
            cast(avx._mm256_shuffle_ps::<UPPER>(ab23, cd23)),
        ];
    }
    transpose_plainly(simd, rows)
}

/// The instruction set as one with AVX2, if it is; decided when compiled.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn v3<S: Simd>(simd: S) -> Option<pulp::x86::V3> {
    use pulp::x86::{V3, V4};
    let simd: &dyn std::any::Any = &simd;
    simd.downcast_ref::<V4>().map(|v4| **v4).or_else(|| simd.downcast_ref::<V3>().copied())
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulp::{Arch, WithSimd};

    struct Transpose<T>([[T; 4]; 8]);

    impl<T: Lanes> WithSimd for Transpose<T> {
        type Output = [[T; 8]; 4];

        fn with_simd<S: Simd>(self, simd: S) -> [[T; 8]; 4] {
            T::transpose(simd, self.0)
        }
    }

    #[test]
    fn rows_become_columns() {
        let rows: [[f32; 4]; 8] = from_fn(|r| from_fn(|c| (4 * r + c) as f32));
        let columns: [[f32; 8]; 4] = from_fn(|c| from_fn(|r| (4 * r + c) as f32));
        assert_eq!(Arch::new().dispatch(Transpose(rows)), columns);
        assert_eq!(Arch::Scalar.dispatch(Transpose(rows)), columns);
        let columns = columns.map(|column| column.map(f64::from));
        assert_eq!(Arch::new().dispatch(Transpose(rows.map(|row| row.map(f64::from)))), columns);
    }
}
