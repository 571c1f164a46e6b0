//! The backward pass of a training step.
//!
//! Candle's autograd answers for every graph, at a price: it zeroes a tensor and adds to it for every gradient it
//! meets, and the gradients of all parameters exist anew for every micro-batch. A tape records the fused operations of
//! one forward pass and runs them backwards: the first gradient to arrive is written and not added, gradients of
//! parameters are summed where they are to be summed, and memory is used again, within a pass and from one to the next.
//!
//! Whatever else lies between, be it an encoding or a loss written in plain Candle operations, stays Candle's: outputs
//! of the tape are variables to Candle, so it tracks what follows from them, and when the tape meets a tensor that
//! Candle tracks it has Candle differentiate that piece. No gradient is lost, whoever computes what.

use crate::fused::{Fused, Run, Sink, is_without_gradients, views};
use crate::gradients::Sums;
use crate::host::{Host, by_dtype, take_storage};
use crate::linear::PackedWeight;
use crate::memory::{self, Spare};
use crate::real::Real;
use crate::vector::add_to;
use crate::{Gradients, OpsError, Packs, Parameters, Result};
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, Device, Tensor, TensorId, WithDType};
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

/// Records forward passes and runs them backwards. One thread uses it at a time; what it has allocated it keeps.
pub struct Tape {
    names: Vec<String>,
    /// The place of each parameter in [`Gradients`].
    places: HashMap<TensorId, usize>,
    packs: Option<Arc<Packs>>,
    recycles: bool,
    spare: Spare,
}

thread_local! {
    /// The forward pass under way on this thread. Operations are plain functions of tensors, so that model code reads
    /// the same with a tape and without; Candle's graph hides in its tensors likewise.
    static RECORDING: RefCell<Option<Recording>> = const { RefCell::new(None) };
}

impl Tape {
    /// For the parameters that exist now.
    pub fn new(parameters: &Parameters) -> Self {
        let (mut names, mut places) = (Vec::new(), HashMap::new());
        for (place, (name, var)) in parameters.vars().into_iter().enumerate() {
            names.push(name);
            places.insert(var.as_tensor().id(), place);
        }
        Self { names, places, packs: None, recycles: false, spare: Spare::default() }
    }

    /// Has linear maps read their weights from `packs`.
    pub fn with_packs(mut self, packs: Arc<Packs>) -> Self {
        self.packs = Some(packs);
        self
    }

    /// Uses the memory of a forward pass again once the backward pass is through. What has been computed in it, except
    /// the loss, must not be kept: it loses its elements. The loss is returned as a copy.
    pub fn recycling(mut self) -> Self {
        self.recycles = true;
        self
    }

    /// Runs `loss`, which computes a scalar, and adds its gradient for every parameter to `sum`. Returns the scalar.
    ///
    /// Every parameter must have a gradient. After an error `sum` is of no use.
    pub fn gradient<E: From<candle_core::Error>>(
        &mut self,
        sum: &mut Gradients,
        loss: impl FnOnce() -> std::result::Result<Tensor, E>,
    ) -> std::result::Result<Tensor, E> {
        sum.check_count(self.names.len())?;
        if is_recording() {
            return Err(candle_core::Error::msg("a tape was asked to record while another one does").into());
        }
        let mut spare = std::mem::take(&mut self.spare);
        let done = spare.lend(|| self.record_and_run(sum, loss));
        self.spare = spare;
        done
    }

    fn record_and_run<E: From<candle_core::Error>>(
        &mut self,
        sum: &mut Gradients,
        loss: impl FnOnce() -> std::result::Result<Tensor, E>,
    ) -> std::result::Result<Tensor, E> {
        let session = Session::begin(std::mem::take(&mut self.places), self.packs.clone(), self.recycles);
        let loss = loss();
        let mut recording = session.end();
        let done = loss.and_then(|loss| {
            #[expect(clippy::disallowed_methods, reason = "a number to look at")]
            let value = loss.detach().copy()?;
            let mut sums = sum.open()?;
            let done = recording.backward(&loss, &mut sums);
            let untouched = sums.close()?;
            done?;
            let missing = self.names.iter().zip(untouched).filter_map(|(name, none)| none.then_some(name));
            let missing: Vec<String> = missing.cloned().collect();
            if !missing.is_empty() {
                return Err(candle_core::Error::from(OpsError::NoGradient(missing)).into());
            }
            // A view of something whose memory is about to be used again loses it.
            Ok(if self.recycles { value } else { loss })
        });
        self.places = recording.places;
        done
    }
}

/// Takes the recording off the thread however the forward pass ends.
struct Session;

impl Session {
    fn begin(places: HashMap<TensorId, usize>, packs: Option<Arc<Packs>>, recycles: bool) -> Self {
        let recording = Recording { places, packs, recycles, ..Recording::default() };
        RECORDING.with_borrow_mut(|current| *current = Some(recording));
        Self
    }

    fn end(self) -> Recording {
        RECORDING.with_borrow_mut(Option::take).unwrap_or_default()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        RECORDING.with_borrow_mut(|current| *current = None);
    }
}

/// Whether a forward pass is being recorded on this thread.
pub(crate) fn is_recording() -> bool {
    !is_without_gradients() && RECORDING.with_borrow(Option::is_some)
}

/// The packed form of a weight, if the recording has one.
pub(crate) fn packed(weight: &Tensor) -> Result<Option<Arc<PackedWeight<f32>>>> {
    let packs = RECORDING.with_borrow(|recording| recording.as_ref().and_then(|r| r.packs.clone()));
    packs.map_or(Ok(None), |packs| packs.get(weight))
}

/// Runs an operation and notes it, if one of its inputs needs a gradient.
pub(crate) fn record<F: Fused>(op: F, inputs: &[&Tensor]) -> Result<Tensor> {
    let targets: Vec<Target> =
        with_recording(|recording| inputs.iter().map(|x| recording.target(x)).collect());
    let keep = targets.iter().any(|target| *target != Target::Nothing);
    let y = op.run(inputs, keep)?;
    if !keep {
        return Ok(y);
    }
    with_recording(|recording| {
        let slot = recording.new_slot(&y, Held::Unread);
        if F::READS_INPUTS {
            inputs.iter().zip(&targets).for_each(|(x, &target)| recording.hold(x, target));
        }
        if F::READS_OUTPUT {
            recording.hold(&y, Target::Slot(slot));
        }
        recording.nodes.push(Box::new(Recorded {
            op,
            lengths: inputs.iter().map(|x| x.elem_count()).collect(),
            inputs: if F::READS_INPUTS { inputs.iter().map(|&x| x.clone()).collect() } else { Vec::new() },
            output: F::READS_OUTPUT.then(|| y.clone()),
            targets,
            slot,
        }));
    });
    Ok(y)
}

/// `x + y` as `sum` computes it, told whether a backward pass will follow. The gradient goes to both as it is: to one
/// of them without a copy.
pub(crate) fn record_sum(x: &Tensor, y: &Tensor, sum: impl FnOnce(bool) -> Result<Tensor>) -> Result<Tensor> {
    let targets = with_recording(|recording| [recording.target(x), recording.target(y)]);
    let keep = targets != [Target::Nothing; 2];
    let sum = sum(keep)?;
    if keep {
        with_recording(|recording| {
            let slot = recording.new_slot(&sum, Held::Unread);
            recording.nodes.push(Box::new(Sum { targets, slot }));
        });
    }
    Ok(sum)
}

/// Notes that `y` has the elements of `x` in the same order, and so its gradient.
pub(crate) fn record_alias(x: &Tensor, y: &Tensor) {
    with_recording(|recording| {
        if let Target::Slot(slot) = recording.target(x) {
            recording.slots.insert(y.id(), slot);
        }
    });
}

fn with_recording<R>(f: impl FnOnce(&mut Recording) -> R) -> R {
    RECORDING.with_borrow_mut(|recording| f(recording.get_or_insert_default()))
}

/// Where the gradient of a tensor goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    Nothing,
    Slot(usize),
    Parameter(usize),
}

/// A forward pass: its nodes in order. Every tensor on the tape has a slot for its gradient.
#[derive(Default)]
struct Recording {
    places: HashMap<TensorId, usize>,
    packs: Option<Arc<Packs>>,
    slots: HashMap<TensorId, usize>,
    nodes: Vec<Box<dyn Node>>,
    recycles: bool,
    /// By slot, what the tape has computed and a backward pass will read.
    held: Vec<Held>,
}

/// What is known of a tensor on the tape.
enum Held {
    /// Candle computed it.
    Foreign,
    /// Nobody reads it in the backward pass.
    Unread,
    Read(Tensor),
}

impl Recording {
    fn new_slot(&mut self, tensor: &Tensor, held: Held) -> usize {
        let slot = self.held.len();
        self.held.push(held);
        self.slots.insert(tensor.id(), slot);
        slot
    }

    /// Notes that the backward pass reads a tensor.
    fn hold(&mut self, tensor: &Tensor, target: Target) {
        if let Target::Slot(slot) = target
            && let held @ Held::Unread = &mut self.held[slot]
        {
            *held = Held::Read(tensor.clone());
        }
    }

    /// Takes the memory of a tensor that nobody will read any more.
    fn recycle(&mut self, slot: usize) -> Result<()> {
        match std::mem::replace(&mut self.held[slot], Held::Unread) {
            Held::Read(tensor) if self.recycles => memory::give_storage(take_storage(&tensor)?),
            _ => {}
        }
        Ok(())
    }

    fn known(&self, id: TensorId) -> Target {
        if let Some(&slot) = self.slots.get(&id) {
            return Target::Slot(slot);
        }
        self.places.get(&id).map_or(Target::Nothing, |&place| Target::Parameter(place))
    }

    fn target(&mut self, tensor: &Tensor) -> Target {
        let known = self.known(tensor.id());
        if known != Target::Nothing || !tensor.track_op() {
            return known;
        }
        let slot = self.new_slot(tensor, Held::Foreign);
        self.nodes.push(Box::new(Foreign { tensor: tensor.clone(), slot }));
        Target::Slot(slot)
    }

    /// Adds the gradient of `loss` to the sums of the parameters.
    fn backward(&mut self, loss: &Tensor, sums: &mut Sums<'_>) -> Result<()> {
        let target = self.target(loss);
        let slots = (0..self.held.len()).map(|_| None).collect();
        let mut flow = Flow { slots, sums };
        flow.add_tensor(target, &loss.ones_like()?)?;
        while let Some(node) = self.nodes.pop() {
            // What the node held of the forward pass goes with it.
            let slot = node.slot();
            node.backward(self, &mut flow)?;
            self.recycle(slot)?;
        }
        Ok(())
    }
}

/// A step of the backward pass.
trait Node {
    /// The tensor whose gradient it sends back.
    fn slot(&self) -> usize;
    fn backward(self: Box<Self>, recording: &Recording, flow: &mut Flow<'_, '_>) -> Result<()>;
}

/// A fused operation.
struct Recorded<F> {
    op: F,
    inputs: Vec<Tensor>,
    output: Option<Tensor>,
    lengths: Vec<usize>,
    targets: Vec<Target>,
    slot: usize,
}

impl<F: Fused> Node for Recorded<F> {
    fn slot(&self) -> usize {
        self.slot
    }

    fn backward(self: Box<Self>, _: &Recording, flow: &mut Flow<'_, '_>) -> Result<()> {
        let Some(grad) = flow.slots[self.slot].take() else { return Ok(()) };
        let inputs: Vec<Host<'_>> = self.inputs.iter().map(Host::new).collect();
        let output = self.output.as_ref().map(Host::new);
        by_dtype!(self.op.name(), grad.dtype(), T => {
            let mut grad = T::vector(grad)?;
            let targets = self.targets.iter().zip(&self.lengths);
            let mut held = targets.map(|(&target, &len)| flow.take::<T>(target, len)).collect::<Result<Vec<_>>>()?;
            let mut sinks: Vec<_> = held
                .iter_mut()
                .map(|held| held.as_mut().map(|(values, fresh)| Sink::new(values.as_mut_slice(), *fresh)))
                .collect();
            let output = output.as_ref().map(Host::slice).transpose()?.unwrap_or_default();
            let done = self.op.backward(&views(&inputs)?, output, &mut grad, &mut sinks);
            // A sink that was not asked for has no gradient.
            sinks.into_iter().flatten().for_each(|sink| {
                sink.summed();
            });
            for (&target, held) in self.targets.iter().zip(held) {
                if let Some((values, _)) = held {
                    flow.put(target, values)?;
                }
            }
            memory::give(grad);
            done
        })
    }
}

/// A sum of two tensors.
struct Sum {
    targets: [Target; 2],
    slot: usize,
}

impl Node for Sum {
    fn slot(&self) -> usize {
        self.slot
    }

    fn backward(self: Box<Self>, _: &Recording, flow: &mut Flow<'_, '_>) -> Result<()> {
        let Some(grad) = flow.slots[self.slot].take() else { return Ok(()) };
        by_dtype!("add", grad.dtype(), T => {
            let grad = T::vector(grad)?;
            let [first, second] = self.targets;
            flow.add::<T>(first, &grad)?;
            match second {
                Target::Slot(slot) if flow.slots[slot].is_none() => {
                    flow.slots[slot] = Some(T::to_cpu_storage_owned(grad));
                }
                _ => {
                    flow.add::<T>(second, &grad)?;
                    memory::give(grad);
                }
            }
            Ok(())
        })
    }
}

/// A tensor that Candle tracks.
struct Foreign {
    tensor: Tensor,
    slot: usize,
}

impl Node for Foreign {
    fn slot(&self) -> usize {
        self.slot
    }

    fn backward(self: Box<Self>, recording: &Recording, flow: &mut Flow<'_, '_>) -> Result<()> {
        let Some(grad) = flow.slots[self.slot].take() else { return Ok(()) };
        let grad = by_dtype!("backward", grad.dtype(), T => {
            Tensor::from_vec(T::vector(grad)?, self.tensor.shape(), self.tensor.device())
        })?;
        // The gradient of Σ grad · tensor is what goes back through the tensor.
        let store = (&self.tensor * grad)?.sum_all()?.backward()?;
        for id in store.get_ids() {
            if let (target, Some(grad)) = (recording.known(*id), store.get_id(*id)) {
                flow.add_tensor(target, grad)?;
            }
        }
        Ok(())
    }
}

/// Gradients on their way: those of tensors, and the sums of the parameters.
struct Flow<'a, 's> {
    slots: Vec<Option<CpuStorage>>,
    sums: &'a mut Sums<'s>,
}

impl Flow<'_, '_> {
    /// The memory of a gradient to write or to add to, and whether it is fresh.
    fn take<T: Real>(&mut self, target: Target, len: usize) -> Result<Option<(Vec<T>, bool)>> {
        let held = match target {
            Target::Nothing => return Ok(None),
            Target::Slot(slot) => self.slots[slot].take().map(|values| (values, false)),
            Target::Parameter(place) => self.sums.take(place),
        };
        match held {
            Some((values, fresh)) => Ok(Some((T::vector(values)?, fresh))),
            // The first gradient to come, or the second input that is the same tensor.
            None => Ok(Some((memory::take(len), true))),
        }
    }

    /// Gives back what `take` gave.
    fn put<T: Real>(&mut self, target: Target, values: Vec<T>) -> Result<()> {
        let occupied = match target {
            Target::Nothing => return Ok(()),
            Target::Slot(slot) => &mut self.slots[slot],
            Target::Parameter(place) => self.sums.place(place),
        };
        match occupied {
            None => *occupied = Some(T::to_cpu_storage_owned(values)),
            Some(other) => {
                add_to(T::slice_mut(other)?, &values);
                memory::give(values);
            }
        }
        Ok(())
    }

    fn add<T: Real>(&mut self, target: Target, grad: &[T]) -> Result<()> {
        let Some((mut values, fresh)) = self.take::<T>(target, grad.len())? else { return Ok(()) };
        if fresh {
            values.copy_from_slice(grad)
        } else {
            add_to(&mut values, grad)
        }
        self.put(target, values)
    }

    fn add_tensor(&mut self, target: Target, grad: &Tensor) -> Result<()> {
        if let Target::Parameter(place) = target
            && self.sums.add_elsewhere(place, grad)?
        {
            return Ok(());
        }
        // Gradients on their way are held on the CPU, whatever device Candle computed them on.
        let grad = grad.to_device(&Device::Cpu)?.contiguous()?;
        let host = Host::new(&grad);
        by_dtype!("backward", grad.dtype(), T => self.add::<T>(target, host.slice()?))
    }
}
