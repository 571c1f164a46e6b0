//! Every trainable tensor by name, in name order, drawn from its own random stream.
//!
//! The stream is `("init/" + name, 0)`: the same name gets the same values whatever else the
//! model has and in whatever order it is built. Values are drawn in f64 and rounded once.

use crate::{OpsError, Result, Rng, Streams};
use candle_core::{DType, Device, Shape, Tensor, Var};
use candle_nn::init::NormalOrUniform;
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};
use rand::Rng as _;
use std::collections::{BTreeMap, HashMap};
use std::f64::consts::TAU;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Vars = BTreeMap<String, Var>;

/// The trainable tensors of a model. Clones share them.
#[derive(Clone, Default)]
pub struct Parameters(Arc<Mutex<Vars>>);

impl Parameters {
    /// No parameters yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A builder that creates the variable a model asks for, or returns the one that exists.
    pub fn seeded(&self, streams: Streams, dtype: DType, device: &Device) -> VarBuilder<'static> {
        let backend = Seeded { parameters: self.clone(), streams };
        VarBuilder::from_backend(Box::new(backend), dtype, device.clone())
    }

    /// The variables in name order.
    pub fn vars(&self) -> Vec<(String, Var)> {
        self.lock().iter().map(|(name, var)| (name.clone(), var.clone())).collect()
    }

    /// The number of scalars.
    pub fn count(&self) -> usize {
        self.lock().values().map(|var| var.elem_count()).sum()
    }

    /// Those whose name `keep` accepts, shared and not copied: what a step changes if not everything.
    pub fn only(&self, keep: impl Fn(&str) -> bool) -> Self {
        let vars =
            self.lock().iter().filter(|(name, _)| keep(name)).map(|(n, v)| (n.clone(), v.clone())).collect();
        Self(Arc::new(Mutex::new(vars)))
    }

    /// Sets every variable from the tensor of the same name, converted to its dtype and device.
    ///
    /// Names and shapes must match exactly; nothing is changed otherwise.
    pub fn load(&self, tensors: &HashMap<String, Tensor>) -> Result<()> {
        const OP: &str = "load parameters";
        let vars = self.lock();
        let mut missing = Vec::new();
        for (name, var) in vars.iter() {
            match tensors.get(name) {
                None => missing.push(name.clone()),
                Some(tensor) if tensor.dims() != var.dims() => {
                    return Err(OpsError::Parameter {
                        op: OP,
                        name: name.clone(),
                        found: format!("shape {:?}", tensor.dims()),
                        expected: format!("shape {:?}", var.dims()),
                    }
                    .into());
                }
                Some(_) => {}
            }
        }
        let mut unexpected: Vec<String> =
            tensors.keys().filter(|name| !vars.contains_key(*name)).cloned().collect();
        if !missing.is_empty() || !unexpected.is_empty() {
            unexpected.sort();
            return Err(OpsError::Names { op: OP, missing, unexpected }.into());
        }
        for (name, var) in vars.iter() {
            if let Some(tensor) = tensors.get(name) {
                let tensor = tensor.to_device(var.device())?.to_dtype(var.dtype())?;
                // A tensor may be a view of the variable itself, which cannot be set from itself.
                var.set(&tensor.copy()?)?;
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Vars> {
        // A panic elsewhere cannot leave the map half-changed: entries are inserted whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Seeded {
    parameters: Parameters,
    streams: Streams,
}

impl SimpleBackend for Seeded {
    fn get(&self, shape: Shape, name: &str, init: Init, dtype: DType, device: &Device) -> Result<Tensor> {
        let mut vars = self.parameters.lock();
        if let Some(var) = vars.get(name) {
            if var.shape() != &shape || var.dtype() != dtype {
                return Err(OpsError::Parameter {
                    op: "create parameter",
                    name: name.to_string(),
                    found: format!("shape {:?} of {:?}", shape.dims(), dtype),
                    expected: format!("shape {:?} of {:?}, as it was first created", var.dims(), var.dtype()),
                }
                .into());
            }
            return Ok(var.as_tensor().clone());
        }
        let mut rng = self.streams.rng(&format!("init/{name}"), 0);
        let values = draw(&init, &shape, &mut rng);
        let tensor = Tensor::from_vec(values, shape, &Device::Cpu)?.to_dtype(dtype)?.to_device(device)?;
        let var = Var::from_tensor(&tensor)?;
        let tensor = var.as_tensor().clone();
        vars.insert(name.to_string(), var);
        Ok(tensor)
    }

    fn get_unchecked(&self, name: &str, dtype: DType, device: &Device) -> Result<Tensor> {
        match self.parameters.lock().get(name) {
            Some(var) => var.as_tensor().to_device(device)?.to_dtype(dtype),
            None => Err(candle_core::Error::CannotFindTensor { path: name.to_string() }.bt()),
        }
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.parameters.lock().contains_key(name)
    }
}

fn draw(init: &Init, shape: &Shape, rng: &mut Rng) -> Vec<f64> {
    let count = shape.elem_count();
    match *init {
        Init::Const(value) => vec![value; count],
        Init::Uniform { lo, up } => uniform(lo, up, count, rng),
        Init::Randn { mean, stdev } => normal(mean, stdev, count, rng),
        Init::Kaiming { dist, fan, non_linearity } => {
            let stdev = non_linearity.gain() / (fan.for_shape(shape) as f64).sqrt();
            match dist {
                NormalOrUniform::Normal => normal(0.0, stdev, count, rng),
                NormalOrUniform::Uniform => {
                    let bound = 3f64.sqrt() * stdev;
                    uniform(-bound, bound, count, rng)
                }
            }
        }
    }
}

fn uniform(low: f64, high: f64, count: usize, rng: &mut Rng) -> Vec<f64> {
    (0..count).map(|_| low + (high - low) * rng.random::<f64>()).collect()
}

/// Box and Muller (1958): two uniforms give two independent normals.
fn normal(mean: f64, stdev: f64, count: usize, rng: &mut Rng) -> Vec<f64> {
    let mut values = Vec::with_capacity(count + 1);
    while values.len() < count {
        // 1 − u lies in (0, 1], where the logarithm is finite.
        let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
        let angle = TAU * rng.random::<f64>();
        values.push(mean + stdev * radius * angle.cos());
        values.push(mean + stdev * radius * angle.sin());
    }
    values.truncate(count);
    values
}
