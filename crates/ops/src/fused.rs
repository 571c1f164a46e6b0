//! An operation is its kernels on slices.
//!
//! A [`Fused`] operation says how its output follows from its inputs and how the gradient goes back; who asks is none
//! of its business. Two do: Candle's autograd, through its custom operations, and the [`crate::tape`] of a training
//! step, which adds gradients where they belong and reuses their memory.

use crate::host::{Host, Rows4, by_dtype, contiguous};
use crate::real::Real;
use crate::vector::add_to;
use crate::{Result, memory, tape};
use candle_core::backend::BackendStorage;
use candle_core::{
    CpuStorage, CustomOp1, CustomOp2, CustomOp3, Device, Layout, Shape, Tensor, Var, WithDType,
};
use std::cell::Cell;
use std::sync::OnceLock;
use std::thread::LocalKey;

/// An input: the elements of its storage, and how they are laid out.
#[derive(Clone, Copy)]
pub(crate) struct View<'a, T> {
    storage: &'a [T],
    layout: &'a Layout,
}

impl<'a, T: Real> View<'a, T> {
    pub(crate) fn new(storage: &'a CpuStorage, layout: &'a Layout) -> Result<Self> {
        Ok(Self { storage: storage.as_slice()?, layout })
    }

    pub(crate) fn dims(&self) -> &'a [usize] {
        self.layout.dims()
    }

    pub(crate) fn shape(&self) -> &'a Shape {
        self.layout.shape()
    }

    /// Rows and their length: everything but the last dimension, and the last.
    pub(crate) fn rows(&self) -> (usize, usize) {
        let columns = self.dims().last().copied().unwrap_or(1);
        (self.shape().elem_count() / columns.max(1), columns)
    }

    /// The elements of a contiguous input.
    pub(crate) fn contiguous(&self) -> Result<&'a [T]> {
        match self.layout.contiguous_offsets() {
            Some((begin, end)) => Ok(&self.storage[begin..end]),
            None => Err(candle_core::Error::RequiresContiguous { op: "attnlab-ops" }.bt()),
        }
    }

    /// The storage and where the rows of an input of rank 4 lie in it.
    pub(crate) fn rows4(&self) -> Result<(&'a [T], Rows4)> {
        match Rows4::new(self.layout) {
            Some(rows) => Ok((self.storage, rows)),
            None => Err(candle_core::Error::RequiresContiguous { op: "attnlab-ops" }.bt()),
        }
    }
}

/// Where the gradient of one input goes: contiguous, in the input's shape.
pub(crate) struct Sink<'a, T> {
    values: &'a mut [T],
    fresh: bool,
}

impl<'a, T: Real> Sink<'a, T> {
    /// `fresh` says that `values` hold nothing yet, whatever their bits are.
    pub(crate) fn new(values: &'a mut [T], fresh: bool) -> Self {
        Self { values, fresh }
    }

    /// The elements, and whether the gradient is to be added to them (true) or to replace them (false).
    pub(crate) fn open(self) -> (&'a mut [T], bool) {
        (self.values, !self.fresh)
    }

    /// Adds a gradient, or writes it.
    pub(crate) fn add(self, grad: &[T]) {
        let (values, accumulate) = self.open();
        if accumulate { add_to(values, grad) } else { values.copy_from_slice(grad) }
    }

    /// The elements, ready to be added to.
    pub(crate) fn summed(self) -> &'a mut [T] {
        if self.fresh {
            self.values.fill(T::ZERO);
        }
        self.values
    }
}

/// The sinks of an operation's inputs; `None` where no gradient is asked for.
pub(crate) type Sinks<'a, T> = [Option<Sink<'a, T>>];

/// A differentiable operation on the CPU, in f32 or f64.
///
/// Inputs are the tensors that may need a gradient; anything else an operation needs (ids, labels, tables of cosines)
/// is part of `Self`, as is what the forward pass keeps for the backward pass. A value is used for one forward pass.
pub(crate) trait Fused: Send + Sync + 'static {
    /// Whether the backward pass reads the inputs; if not, the tape lets go of them.
    const READS_INPUTS: bool = true;
    /// Whether the backward pass reads the output.
    const READS_OUTPUT: bool = false;

    /// What errors call it.
    fn name(&self) -> &'static str;

    /// The output, contiguous. `keep` says that a backward pass will follow.
    fn forward<T: Real>(&self, inputs: &[View<'_, T>], keep: bool) -> Result<(Vec<T>, Shape)>;

    /// Adds the gradient of every input that has a sink. `inputs` and `output` are empty where they are not read;
    /// `grad`, that of the output, may be overwritten.
    fn backward<T: Real>(
        &self,
        inputs: &[View<'_, T>],
        output: &[T],
        grad: &mut [T],
        sinks: &mut Sinks<'_, T>,
    ) -> Result<()>;
}

/// What a forward pass keeps for the backward pass.
#[derive(Default)]
pub(crate) struct Kept(OnceLock<CpuStorage>);

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(values) = self.0.take() {
            memory::give_storage(values);
        }
    }
}

impl Kept {
    pub(crate) fn set<T: Real>(&self, values: Vec<T>) {
        // An operation runs forward once.
        let _ = self.0.set(T::to_cpu_storage_owned(values));
    }

    pub(crate) fn get<T: Real>(&self, op: &'static str) -> Result<&[T]> {
        match self.0.get() {
            Some(values) => values.as_slice(),
            None => Err(candle_core::Error::msg(format!("{op}: a backward pass without its forward pass"))),
        }
    }
}

thread_local! {
    static WITHOUT_GRADIENTS: Cell<bool> = const { Cell::new(false) };
}

/// Runs `f`, on this thread, with operations that keep nothing for a backward pass and whose outputs no graph knows:
/// for evaluation. Plain Candle operations are tracked as ever.
pub fn without_gradients<R>(f: impl FnOnce() -> R) -> R {
    with_flag(&WITHOUT_GRADIENTS, f)
}

pub(crate) fn is_without_gradients() -> bool {
    WITHOUT_GRADIENTS.get()
}

/// Runs `f` with a flag of this thread set, and unsets it however `f` ends, unless it was set before.
pub(crate) fn with_flag<R>(flag: &'static LocalKey<Cell<bool>>, f: impl FnOnce() -> R) -> R {
    struct Restore(&'static LocalKey<Cell<bool>>, bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            self.0.set(self.1);
        }
    }
    let _restore = Restore(flag, flag.replace(true));
    f()
}

/// Runs an operation of one to three inputs (any number on a tape). They are on the CPU and of one dtype.
pub(crate) fn apply<F: Fused>(op: F, inputs: &[&Tensor]) -> Result<Tensor> {
    if tape::is_recording() {
        return tape::record(op, inputs);
    }
    let keep = inputs.iter().any(|x| x.track_op());
    if !keep || WITHOUT_GRADIENTS.get() {
        return op.run(inputs, false);
    }
    let op = Candle(op);
    match inputs {
        [a] => a.apply_op1(op),
        [a, b] => a.apply_op2(b, op),
        [a, b, c] => a.apply_op3(b, c, op),
        _ => Err(candle_core::Error::msg(format!(
            "{}: Candle's autograd takes three inputs, found {}; record it on a tape",
            op.0.name(),
            inputs.len()
        ))),
    }
}

/// Whether [`apply`] takes any number of inputs now, because Candle's autograd has no part in it.
pub(crate) fn takes_any_inputs() -> bool {
    tape::is_recording() || WITHOUT_GRADIENTS.get()
}

/// Whether somebody may ask for the gradients of what is computed from `inputs` now.
pub(crate) fn records_gradients(inputs: &[&Tensor]) -> bool {
    tape::is_recording() || !WITHOUT_GRADIENTS.get() && inputs.iter().any(|x| x.track_op())
}

/// What has been computed as a tensor whose history no graph knows; a variable if a backward pass will follow, so that
/// Candle tracks what follows from it.
pub(crate) fn computed<T: Real>(y: Vec<T>, shape: Shape, device: &Device, keep: bool) -> Result<Tensor> {
    if keep { Ok(Var::from_vec(y, shape, device)?.into_inner()) } else { Tensor::from_vec(y, shape, device) }
}

/// What every fused operation can do with tensors.
pub(crate) trait Run: Fused {
    /// The output, [`computed`].
    fn run(&self, inputs: &[&Tensor], keep: bool) -> Result<Tensor> {
        let hosts: Vec<Host<'_>> = inputs.iter().map(|x| Host::new(x)).collect();
        let Some(first) = inputs.first() else {
            return Err(candle_core::Error::msg(format!("{} without an input", self.name())));
        };
        by_dtype!(self.name(), first.dtype(), T => {
            let views = views::<T>(&hosts)?;
            let (y, shape) = self.forward::<T>(&views, keep)?;
            computed(y, shape, first.device(), keep)
        })
    }
}

impl<F: Fused> Run for F {}

/// Views of tensors that are held for reading.
pub(crate) fn views<'a, T: Real>(hosts: &'a [Host<'_>]) -> Result<Vec<View<'a, T>>> {
    let view = |host: &'a Host<'_>| {
        let (storage, layout) = host.operand()?;
        View::new(storage, layout)
    };
    hosts.iter().map(view).collect()
}

/// A fused operation as a node of Candle's graph.
struct Candle<F>(F);

type Operand<'a> = (&'a CpuStorage, &'a Layout);

impl<F: Fused> Candle<F> {
    fn forward(&self, operands: &[Operand<'_>]) -> Result<(CpuStorage, Shape)> {
        let dtype = operands[0].0.dtype();
        by_dtype!(self.0.name(), dtype, T => {
            let views = operands.iter().map(|(storage, layout)| View::<T>::new(storage, layout));
            let views = views.collect::<Result<Vec<_>>>()?;
            let (y, shape) = self.0.forward(&views, true)?;
            Ok((T::to_cpu_storage_owned(y), shape))
        })
    }

    fn backward<const N: usize>(
        &self,
        inputs: [&Tensor; N],
        output: &Tensor,
        grad: &Tensor,
    ) -> Result<[Option<Tensor>; N]> {
        let grad = grad.contiguous()?;
        let hosts: Vec<Host<'_>> = inputs.iter().map(|x| Host::new(x)).collect();
        let (output, grad) = (Host::new(output), Host::new(&grad));
        by_dtype!(self.0.name(), inputs[0].dtype(), T => {
            let mut values = inputs.map(|x| x.track_op().then(|| vec![T::ZERO; x.elem_count()]));
            let sinks = values.iter_mut().map(|values| values.as_mut().map(|values| Sink::new(values, true)));
            let mut sinks: Vec<_> = sinks.collect();
            let (storage, layout) = output.operand()?;
            let mut grad = grad.slice()?.to_vec();
            self.0.backward(&views(&hosts)?, contiguous(storage, layout)?, &mut grad, &mut sinks)?;
            drop(sinks);
            let mut gradients = [const { None }; N];
            for ((gradient, values), x) in gradients.iter_mut().zip(values).zip(inputs) {
                *gradient = values.map(|values| Tensor::from_vec(values, x.shape(), x.device())).transpose()?;
            }
            Ok(gradients)
        })
    }
}

impl<F: Fused> CustomOp1 for Candle<F> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn cpu_fwd(&self, a: &CpuStorage, al: &Layout) -> Result<(CpuStorage, Shape)> {
        self.forward(&[(a, al)])
    }

    fn bwd(&self, a: &Tensor, y: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let [da] = self.backward([a], y, grad)?;
        Ok(da)
    }
}

impl<F: Fused> CustomOp2 for Candle<F> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn cpu_fwd(
        &self,
        a: &CpuStorage,
        al: &Layout,
        b: &CpuStorage,
        bl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.forward(&[(a, al), (b, bl)])
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let [da, db] = self.backward([a, b], y, grad)?;
        Ok((da, db))
    }
}

impl<F: Fused> CustomOp3 for Candle<F> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn cpu_fwd(
        &self,
        a: &CpuStorage,
        al: &Layout,
        b: &CpuStorage,
        bl: &Layout,
        c: &CpuStorage,
        cl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.forward(&[(a, al), (b, bl), (c, cl)])
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        c: &Tensor,
        y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [da, db, dc] = self.backward([a, b, c], y, grad)?;
        Ok((da, db, dc))
    }
}
