//! One gradient tensor a parameter, in the order of [`Parameters::vars`].

use crate::host::{Host, by_dtype, contiguous, contiguous_mut, on_host, swap, take_storage};
use crate::vector::{add_to, vectorised};
use crate::{OpsError, Parameters, Result};
use candle_core::backend::BackendStorage;
use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, DType, InplaceOp1, InplaceOp2, Layout, Tensor};

/// The gradients of all parameters, or a sum of such.
#[derive(Debug)]
pub struct Gradients {
    tensors: Vec<Tensor>,
    /// Whether the tensors hold anything; if not, the first gradient is written over whatever they contain.
    filled: bool,
}

impl Gradients {
    /// Room for the gradients of `parameters`, a sum of none.
    pub fn none(parameters: &Parameters) -> Result<Self> {
        let zeros = |(_, var): (String, candle_core::Var)| var.as_detached_tensor().zeros_like();
        let tensors = parameters.vars().into_iter().map(zeros).collect::<Result<_>>()?;
        Ok(Self { tensors, filled: false })
    }

    /// Becomes a sum of none again; the memory stays, and what [`Gradients::tensors`] show until the next gradient means
    /// nothing.
    pub fn clear(&mut self) {
        self.filled = false;
    }

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
        if missing.is_empty() {
            Ok(Self { tensors: found, filled: true })
        } else {
            Err(OpsError::NoGradient(missing).into())
        }
    }

    /// `self += other`, in place.
    pub fn add(&mut self, other: &Gradients) -> Result<()> {
        self.check(other)?;
        if !other.filled {
            return Ok(());
        }
        for (mine, theirs) in self.tensors.iter_mut().zip(&other.tensors) {
            if on_host(mine) {
                mine.inplace_op2(theirs, &Add { to: self.filled })?;
            } else {
                *mine = if self.filled { (&*mine + theirs)? } else { theirs.clone() };
            }
        }
        self.filled = true;
        Ok(())
    }

    /// `self *= by`, in place.
    pub fn scale(&mut self, by: f64) -> Result<()> {
        if !self.filled {
            return Ok(());
        }
        for gradient in &mut self.tensors {
            if on_host(gradient) {
                gradient.inplace_op1(&Scale(by))?;
            } else {
                *gradient = (&*gradient * by)?;
            }
        }
        Ok(())
    }

    /// The Euclidean norm of all gradients as one vector, summed in f64.
    pub fn norm(&self) -> Result<f64> {
        if !self.filled {
            return Ok(0.0);
        }
        let mut sum = 0.0;
        for gradient in &self.tensors {
            sum += if on_host(gradient) {
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
        &self.tensors
    }

    pub(crate) fn check_count(&self, expected: usize) -> Result<()> {
        if self.tensors.len() == expected {
            return Ok(());
        }
        Err(OpsError::Value {
            op: "add gradients",
            argument: "other",
            found: format!("{} tensors", self.tensors.len()),
            expected: format!("{expected} tensors, from the same parameters"),
        }
        .into())
    }

    /// Takes the sums out, to be added to where they lie; [`Sums::close`] puts them back.
    pub(crate) fn open(&mut self) -> Result<Sums<'_>> {
        let take = |tensor: &Tensor| -> Result<Option<CpuStorage>> {
            if !on_host(tensor) {
                return Ok(None);
            }
            Ok(Some(take_storage(tensor)?))
        };
        let storages = self.tensors.iter().map(take).collect::<Result<Vec<_>>>()?;
        let (written, touched) = (vec![self.filled; storages.len()], vec![false; storages.len()]);
        Ok(Sums { gradients: self, storages, written, touched })
    }

    fn check(&self, other: &Gradients) -> Result<()> {
        other.check_count(self.tensors.len())?;
        for (mine, theirs) in self.tensors.iter().zip(&other.tensors) {
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

/// The sums of gradients while a backward pass adds to them.
pub(crate) struct Sums<'a> {
    gradients: &'a mut Gradients,
    /// `None` while taken, and for parameters elsewhere than on the CPU.
    storages: Vec<Option<CpuStorage>>,
    written: Vec<bool>,
    touched: Vec<bool>,
}

impl Sums<'_> {
    /// The memory of one sum, and whether it is fresh: whether what it holds is to be written over.
    pub(crate) fn take(&mut self, place: usize) -> Option<(CpuStorage, bool)> {
        self.storages[place].take().map(|storage| (storage, !self.written[place]))
    }

    /// Where to put it back, with a gradient in it.
    pub(crate) fn place(&mut self, place: usize) -> &mut Option<CpuStorage> {
        self.written[place] = true;
        self.touched[place] = true;
        &mut self.storages[place]
    }

    /// Adds to the sum of a parameter that is not on the CPU; `false` if it is.
    pub(crate) fn add_elsewhere(&mut self, place: usize, gradient: &Tensor) -> Result<bool> {
        let sum = &mut self.gradients.tensors[place];
        if on_host(sum) {
            return Ok(false);
        }
        *sum = if self.written[place] { (&*sum + gradient)? } else { gradient.clone() };
        self.place(place);
        Ok(true)
    }

    /// Puts the sums back; returns which of them nothing was added to.
    pub(crate) fn close(mut self) -> Result<Vec<bool>> {
        for (tensor, storage) in self.gradients.tensors.iter().zip(&mut self.storages) {
            if let Some(storage) = storage {
                swap(tensor, storage)?;
            }
        }
        self.gradients.filled = self.written.iter().all(|&written| written);
        Ok(self.touched.into_iter().map(|touched| !touched).collect())
    }
}

struct Add {
    /// Whether to add; else to write.
    to: bool,
}

impl InplaceOp2 for Add {
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
            let theirs = contiguous(theirs, theirs_layout)?;
            if self.to { add_to(mine, theirs) } else { mine.copy_from_slice(theirs) }
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
