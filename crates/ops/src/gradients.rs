//! One gradient tensor a parameter, in the order of [`Parameters::vars`].

use crate::host::{Host, by_dtype, contiguous, contiguous_mut, is_fusable};
use crate::vector::vectorised;
use crate::{OpsError, Parameters, Result};
use candle_core::backend::BackendStorage;
use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, DType, InplaceOp1, InplaceOp2, Layout, Tensor};

/// The gradients of all parameters.
#[derive(Debug)]
pub struct Gradients(Vec<Tensor>);

impl Gradients {
    /// Takes the gradient of every parameter from `store`; it is an error if one has none.
    ///
    /// The tensors are shared with the store and later changed in place: drop the store.
    pub fn collect(parameters: &Parameters, store: &GradStore) -> Result<Self> {
        let mut found = Vec::new();
        let mut missing = Vec::new();
        for (name, var) in parameters.vars() {
            match store.get(var.as_tensor()) {
                Some(gradient) => found.push(gradient.contiguous()?),
                None => missing.push(name),
            }
        }
        if missing.is_empty() { Ok(Self(found)) } else { Err(OpsError::NoGradient(missing).into()) }
    }

    /// `self += other`, in place.
    pub fn add(&mut self, other: &Gradients) -> Result<()> {
        self.check(other)?;
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            if is_fusable(mine) {
                mine.inplace_op2(theirs, &AddAssign)?;
            } else {
                *mine = (&*mine + theirs)?;
            }
        }
        Ok(())
    }

    /// `self *= by`, in place.
    pub fn scale(&mut self, by: f64) -> Result<()> {
        for gradient in &mut self.0 {
            if is_fusable(gradient) {
                gradient.inplace_op1(&Scale(by))?;
            } else {
                *gradient = (&*gradient * by)?;
            }
        }
        Ok(())
    }

    /// The Euclidean norm of all gradients as one vector, summed in f64.
    pub fn norm(&self) -> Result<f64> {
        let mut sum = 0.0;
        for gradient in &self.0 {
            sum += if is_fusable(gradient) {
                let host = Host::new(gradient);
                by_dtype!("norm", gradient.dtype(), T => Ok(squares::<T>(host.slice()?)))?
            } else {
                let squares = gradient.to_dtype(DType::F64)?.sqr()?;
                squares.sum_all()?.to_scalar::<f64>()?
            };
        }
        Ok(sum.sqrt())
    }

    /// Scales to norm `max` if the norm is larger (Pascanu et al., 2013), as PyTorch's
    /// `clip_grad_norm_` does; returns the norm before.
    pub fn clip(&mut self, max: f64) -> Result<f64> {
        let norm = self.norm()?;
        let factor = max / (norm + 1e-6);
        if factor < 1.0 {
            self.scale(factor)?;
        }
        Ok(norm)
    }

    /// The tensors in parameter order.
    pub fn tensors(&self) -> &[Tensor] {
        &self.0
    }

    fn check(&self, other: &Gradients) -> Result<()> {
        if self.0.len() != other.0.len() {
            return Err(OpsError::Value {
                op: "add gradients",
                argument: "other",
                found: format!("{} tensors", other.0.len()),
                expected: format!("{} tensors, from the same parameters", self.0.len()),
            }
            .into());
        }
        for (mine, theirs) in self.0.iter().zip(&other.0) {
            if mine.dims() != theirs.dims() {
                return Err(OpsError::Shape {
                    op: "add gradients",
                    argument: "other",
                    found: theirs.dims().to_vec(),
                    expected: format!("{:?}, from the same parameters", mine.dims()),
                }
                .into());
            }
        }
        Ok(())
    }
}

struct AddAssign;

impl InplaceOp2 for AddAssign {
    fn name(&self) -> &'static str {
        "add gradients"
    }

    fn cpu_fwd(
        &self,
        mine: &mut CpuStorage,
        mine_layout: &Layout,
        theirs: &CpuStorage,
        theirs_layout: &Layout,
    ) -> Result<()> {
        by_dtype!("add gradients", theirs.dtype(), T => {
            let mine = contiguous_mut::<T>(mine, mine_layout)?;
            add(mine, contiguous(theirs, theirs_layout)?);
            Ok(())
        })
    }
}

struct Scale(f64);

impl InplaceOp1 for Scale {
    fn name(&self) -> &'static str {
        "scale gradients"
    }

    fn cpu_fwd(&self, x: &mut CpuStorage, layout: &Layout) -> Result<()> {
        by_dtype!("scale gradients", x.dtype(), T => {
            scale::<T>(contiguous_mut(x, layout)?, self.0);
            Ok(())
        })
    }
}

vectorised! {
    fn add<'a, T, S>(mine: &'a mut [T], theirs: &'a [T]) {
        for (mine, &theirs) in mine.iter_mut().zip(theirs) {
            *mine += theirs;
        }
    }
}

vectorised! {
    fn scale<'a, T, S>(x: &'a mut [T], by: f64) {
        let by = T::real(by);
        for x in x {
            *x *= by;
        }
    }
}

vectorised! {
    fn squares<'a, T, S>(x: &'a [T]) -> f64 {
        let mut lanes = [0.0f64; 8];
        let (chunks, rest) = x.as_chunks::<8>();
        for x in chunks {
            for i in 0..8 {
                lanes[i] += x[i].to_f64() * x[i].to_f64();
            }
        }
        let rest: f64 = rest.iter().map(|x| x.to_f64() * x.to_f64()).sum();
        lanes.iter().sum::<f64>() + rest
    }
}
