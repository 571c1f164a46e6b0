//! AdamW (Loshchilov & Hutter, 2019), bit for bit resumable.
//!
//! ```text
//! p ← p · (1 − lr · λ)
//! m ← β₁ m + (1 − β₁) g
//! v ← β₂ v + (1 − β₂) g²
//! p ← p − lr / (1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + ε)
//! ```
//! the order of operations of `torch.optim.AdamW`.

use crate::host::{contiguous, contiguous_mut, on_host};
use crate::real::Real;
use crate::vector::vectorised;
use crate::{Gradients, OpsError, Parameters, Result};
use candle_core::{CpuStorage, DType, Device, InplaceOp2, Layout, Tensor, Var};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::HashMap;

/// The constants of AdamW; the defaults are PyTorch's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdamWConfig {
    /// Decay of the mean of gradients, β₁, from 0 to below 1. It is used in the parameters' dtype, in which it
    /// must not round to 1 (in f32 from 1 − 3e-8 on): the mean would then never forget.
    pub beta1: f64,
    /// Decay of the mean of squared gradients, β₂, with the same bounds as β₁.
    pub beta2: f64,
    /// Added to the denominator, ε. It should be a normal number of the parameters' dtype (in f32 at least
    /// 1.18e-38): where it rounds to zero, a parameter whose gradients are all zero becomes 0/0, not a number.
    pub eps: f64,
    /// Decoupled weight decay λ.
    pub weight_decay: f64,
    /// Whether tensors of rank 0 and 1 (biases, norms) decay too, as in PyTorch by default.
    pub decay_vectors: bool,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01, decay_vectors: true }
    }
}

/// The two moments of a parameter: on the CPU plain vectors, which one pass over the parameter
/// can change together with it (an operation in place changes one tensor only).
enum Moments {
    F32(Vec<f32>, Vec<f32>),
    F64(Vec<f64>, Vec<f64>),
    Elsewhere(Tensor, Tensor),
}

struct Slot {
    name: String,
    var: Var,
    moments: Moments,
}

/// The optimizer and its state.
pub struct AdamW {
    config: AdamWConfig,
    slots: Vec<Slot>,
    steps: u64,
}

impl AdamW {
    /// An optimizer for `parameters` before its first step.
    pub fn new(parameters: &Parameters, config: AdamWConfig) -> Result<Self> {
        let unit = [
            ("beta1", config.beta1, config.beta1 < 1.0),
            ("beta2", config.beta2, config.beta2 < 1.0),
            ("eps", config.eps, true),
            ("weight_decay", config.weight_decay, true),
        ];
        for (argument, value, below) in unit {
            if !(value >= 0.0 && value.is_finite() && below) {
                return Err(OpsError::Value {
                    op: "adamw",
                    argument,
                    found: value.to_string(),
                    expected: "a finite number from 0 up, the betas below 1".into(),
                }
                .into());
            }
        }
        let slots = parameters
            .vars()
            .into_iter()
            .map(|(name, var)| {
                let zeros = var.zeros_like()?;
                let moments = Moments::from_tensors(&zeros, &zeros.copy()?)?;
                Ok(Slot { name, var, moments })
            })
            .collect::<Result<_>>()?;
        Ok(Self { config, slots, steps: 0 })
    }

    /// One step against `gradients` at rate `lr`.
    pub fn step(&mut self, gradients: &Gradients, lr: f64) -> Result<()> {
        let gradients = gradients.tensors();
        if gradients.len() != self.slots.len() {
            return Err(OpsError::Value {
                op: "adamw",
                argument: "gradients",
                found: format!("{} tensors", gradients.len()),
                expected: format!("{} tensors, one a parameter", self.slots.len()),
            }
            .into());
        }
        for (slot, gradient) in self.slots.iter().zip(gradients) {
            if gradient.dims() != slot.var.dims() || gradient.dtype() != slot.var.dtype() {
                return Err(OpsError::Parameter {
                    op: "adamw",
                    name: slot.name.clone(),
                    found: format!("a gradient {:?} {:?}", gradient.dtype(), gradient.dims()),
                    expected: format!("{:?} {:?}", slot.var.dtype(), slot.var.dims()),
                }
                .into());
            }
        }
        self.steps += 1;
        let c = self.config;
        let bias1 = 1.0 - c.beta1.powf(self.steps as f64);
        let bias2 = 1.0 - c.beta2.powf(self.steps as f64);
        for (slot, gradient) in self.slots.iter_mut().zip(gradients) {
            let decays = c.decay_vectors || slot.var.rank() >= 2;
            let factors = Factors {
                keep: if decays { 1.0 - lr * c.weight_decay } else { 1.0 },
                beta1: c.beta1,
                beta2: c.beta2,
                root: bias2.sqrt(),
                eps: c.eps,
                rate: lr / bias1,
            };
            slot.update(gradient, factors)?;
        }
        Ok(())
    }

    /// Steps taken so far.
    pub fn step_count(&self) -> u64 {
        self.steps
    }

    /// The state: `exp_avg.NAME`, `exp_avg_sq.NAME` and `step` (i64, one element).
    pub fn state(&self) -> Result<HashMap<String, Tensor>> {
        let mut state = HashMap::new();
        for slot in &self.slots {
            let [mean, square] = slot.moments.to_tensors(&slot.var)?;
            state.insert(format!("exp_avg.{}", slot.name), mean);
            state.insert(format!("exp_avg_sq.{}", slot.name), square);
        }
        let step = Tensor::from_vec(vec![self.steps as i64], 1, &Device::Cpu)?;
        state.insert("step".to_string(), step);
        Ok(state)
    }

    /// Continues from a state: the steps that follow are bit-equal to those of an unbroken run.
    ///
    /// The names must be exactly those of [`AdamW::state`]; nothing is changed otherwise.
    pub fn restore(&mut self, state: &HashMap<String, Tensor>) -> Result<()> {
        const OP: &str = "restore adamw";
        let mut expected = vec!["step".to_string()];
        for slot in &self.slots {
            expected.push(format!("exp_avg.{}", slot.name));
            expected.push(format!("exp_avg_sq.{}", slot.name));
        }
        let missing: Vec<String> =
            expected.iter().filter(|name| !state.contains_key(*name)).cloned().collect();
        let mut unexpected: Vec<String> =
            state.keys().filter(|name| !expected.contains(name)).cloned().collect();
        let Some(step) = state.get("step").filter(|_| missing.is_empty() && unexpected.is_empty()) else {
            unexpected.sort();
            return Err(OpsError::Names { op: OP, missing, unexpected }.into());
        };
        let step: Vec<i64> = step.to_dtype(DType::I64)?.flatten_all()?.to_vec1()?;
        let &[step @ 0..=i64::MAX] = step.as_slice() else {
            return Err(OpsError::Value {
                op: OP,
                argument: "step",
                found: format!("{step:?}"),
                expected: "one number from 0 up".into(),
            }
            .into());
        };
        let mut restored = Vec::with_capacity(self.slots.len());
        for slot in &self.slots {
            let mut pair = Vec::with_capacity(2);
            for moment in ["exp_avg", "exp_avg_sq"] {
                let name = format!("{moment}.{}", slot.name);
                let Some(tensor) = state.get(&name) else {
                    continue; // its absence is an error above
                };
                if tensor.dims() != slot.var.dims() || tensor.dtype() != slot.var.dtype() {
                    return Err(OpsError::Parameter {
                        op: OP,
                        name,
                        found: format!("{:?} {:?}", tensor.dtype(), tensor.dims()),
                        expected: format!("{:?} {:?}", slot.var.dtype(), slot.var.dims()),
                    }
                    .into());
                }
                pair.push(tensor.to_device(slot.var.device())?.copy()?);
            }
            if let [mean, square] = pair.as_slice() {
                restored.push(Moments::from_tensors(mean, square)?);
            }
        }
        for (slot, moments) in self.slots.iter_mut().zip(restored) {
            slot.moments = moments;
        }
        self.steps = step as u64;
        Ok(())
    }
}

impl Moments {
    fn from_tensors(mean: &Tensor, square: &Tensor) -> Result<Self> {
        match mean.dtype() {
            DType::F32 if on_host(mean) => Ok(Self::F32(values(mean)?, values(square)?)),
            DType::F64 if on_host(mean) => Ok(Self::F64(values(mean)?, values(square)?)),
            _ => Ok(Self::Elsewhere(mean.clone(), square.clone())),
        }
    }

    fn to_tensors(&self, var: &Var) -> Result<[Tensor; 2]> {
        let (shape, device) = (var.shape(), var.device());
        Ok(match self {
            Self::F32(mean, square) => {
                [Tensor::from_slice(mean, shape, device)?, Tensor::from_slice(square, shape, device)?]
            }
            Self::F64(mean, square) => {
                [Tensor::from_slice(mean, shape, device)?, Tensor::from_slice(square, shape, device)?]
            }
            Self::Elsewhere(mean, square) => [mean.copy()?, square.copy()?],
        })
    }
}

fn values<T: Real>(x: &Tensor) -> Result<Vec<T>> {
    x.flatten_all()?.to_vec1()
}

/// What a step multiplies and adds.
#[derive(Clone, Copy)]
struct Factors {
    /// `1 − lr λ`
    keep: f64,
    beta1: f64,
    beta2: f64,
    /// `√(1 − β₂ᵗ)`
    root: f64,
    eps: f64,
    /// `lr / (1 − β₁ᵗ)`
    rate: f64,
}

impl Slot {
    fn update(&mut self, gradient: &Tensor, f: Factors) -> Result<()> {
        match &mut self.moments {
            Moments::F32(mean, square) => {
                let update = Update(RefCell::new((mean, square)), f);
                self.var.inplace_op2(&gradient.contiguous()?, &update)
            }
            Moments::F64(mean, square) => {
                let update = Update(RefCell::new((mean, square)), f);
                self.var.inplace_op2(&gradient.contiguous()?, &update)
            }
            Moments::Elsewhere(mean, square) => {
                let g = gradient;
                *mean = ((&*mean * f.beta1)? + (g * (1.0 - f.beta1))?)?;
                *square = ((&*square * f.beta2)? + (g.sqr()? * (1.0 - f.beta2))?)?;
                let root = ((square.sqrt()? / f.root)? + f.eps)?;
                let kept = (self.var.as_detached_tensor() * f.keep)?;
                self.var.set(&(kept - ((&*mean / root)? * f.rate)?)?)
            }
        }
    }
}

/// The step of one parameter: changes it and both its moments in one pass.
struct Update<'a, T>(RefCell<(&'a mut Vec<T>, &'a mut Vec<T>)>, Factors);

impl<T: Real> InplaceOp2 for Update<'_, T> {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn cpu_fwd(
        &self,
        parameter: &mut CpuStorage,
        parameter_layout: &Layout,
        gradient: &CpuStorage,
        gradient_layout: &Layout,
    ) -> Result<()> {
        let mut moments = self.0.borrow_mut();
        let (mean, square) = &mut *moments;
        update::<T>(
            contiguous_mut(parameter, parameter_layout)?,
            contiguous(gradient, gradient_layout)?,
            mean,
            square,
            self.1,
        );
        Ok(())
    }
}

vectorised! {
    fn update<'a, T, S>(
        parameter: &'a mut [T],
        gradient: &'a [T],
        mean: &'a mut [T],
        square: &'a mut [T],
        factors: Factors,
    ) {
        let [keep, rate, root, eps] =
            [factors.keep, factors.rate, factors.root, factors.eps].map(T::real);
        let [beta1, beta2] = [factors.beta1, factors.beta2].map(T::real);
        let [rest1, rest2] = [1.0 - factors.beta1, 1.0 - factors.beta2].map(T::real);
        let moments = mean.iter_mut().zip(square);
        for ((p, &g), (m, v)) in parameter.iter_mut().zip(gradient).zip(moments) {
            *m = beta1 * *m + rest1 * g;
            *v = beta2 * *v + rest2 * g * g;
            *p = keep * *p - rate * (*m / ((*v).sqrt() / root + eps));
        }
    }
}
