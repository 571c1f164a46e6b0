//! What is timed: attention alone, a layer, a model; forward, or forward and backward.

use std::hint::black_box;
use std::sync::Arc;

use attnlab_hooks::{Observer, Point, Result as HookResult, Site, Want};
use attnlab_model::{Mask, ModelConfig, Pass as ModelPass, Transformer};
use attnlab_ops::{self as ops, Gradients, Parameters, Rng, Streams, Tape, Threads};
use attnlab_report::cost::{Level, Pass};
use candle_core::{DType, Device, Tensor};
use candle_nn::Init;
use rand::Rng as _;

use super::form::{Form, Reach};
use crate::error::Result;

/// A model with its weights.
pub(super) struct Built {
    transformer: Transformer,
    parameters: Parameters,
}

impl Built {
    /// With weights drawn at random.
    pub(super) fn new(config: &ModelConfig, streams: Streams) -> Result<Self> {
        let parameters = Parameters::new();
        let vb = parameters.seeded(streams, DType::F32, &Device::Cpu);
        Ok(Self { transformer: Transformer::new(config, vb)?, parameters })
    }
}

/// The model as it is measured: a causal one, and at [`Level::Layer`] one block without head or final norm.
pub(super) fn config_at(config: &ModelConfig, level: Level) -> ModelConfig {
    let mut config = config.clone();
    config.mask = Mask::Causal;
    if level == Level::Layer {
        config.architecture.n_layers = 1;
        config.n_outputs = 0;
        // The sum of normalised numbers has no gradient.
        config.details.no_final_norm = true;
        config.details.layers.truncate(1);
    }
    config
}

/// One call that is timed.
pub(super) struct Subject {
    form: &'static dyn Form,
    reach: Reach,
    pass: Pass,
    threads: Threads,
    input: Input,
}

enum Input {
    /// q, k, v (B, N, H, K).
    Attention { parameters: Parameters, qkv: [Tensor; 3] },
    /// Tokens (B, N), and B·N classes if the model has a head.
    Model { model: Arc<Built>, tokens: Tensor, targets: Option<Tensor> },
}

impl Subject {
    /// Attention of random queries, keys and values of shape (B, N, H, K).
    pub(super) fn attention(
        form: &'static dyn Form,
        reach: Reach,
        pass: Pass,
        threads: Threads,
        shape: [usize; 4],
        streams: Streams,
    ) -> Result<Self> {
        let parameters = Parameters::new();
        let vb = parameters.seeded(streams, DType::F32, &Device::Cpu);
        let draw = |name: &str| -> Result<Tensor> {
            let drawn = vb.get_with_hints(&shape, name, Init::Randn { mean: 0.0, stdev: 1.0 })?;
            Ok(match pass {
                Pass::ForwardBackward => drawn,
                // Candle would keep what a gradient of a variable needs.
                Pass::Forward => {
                    Tensor::from_vec(drawn.flatten_all()?.to_vec1::<f32>()?, &shape, &Device::Cpu)?
                }
            })
        };
        let qkv = [draw("q")?, draw("k")?, draw("v")?];
        Ok(Self { form, reach, pass, threads, input: Input::Attention { parameters, qkv } })
    }

    /// A model on random tokens (B, N).
    pub(super) fn model(
        form: &'static dyn Form,
        reach: Reach,
        pass: Pass,
        threads: Threads,
        model: Arc<Built>,
        (batch, length): (usize, usize),
        rng: &mut Rng,
    ) -> Result<Self> {
        let config = model.transformer.config();
        let mut draw = |count: usize| -> Vec<u32> {
            (0..batch * length).map(|_| rng.random_range(0..count as u32)).collect()
        };
        let tokens = Tensor::from_vec(draw(config.vocab_size), (batch, length), &Device::Cpu)?;
        let targets = match config.n_outputs {
            0 => None,
            classes => Some(Tensor::from_vec(draw(classes), batch * length, &Device::Cpu)?),
        };
        Ok(Self { form, reach, pass, threads, input: Input::Model { model, tokens, targets } })
    }

    /// Computes it once. A tape is made anew for each call, so that all memory is asked for within it.
    pub(super) fn call(&self) -> Result<()> {
        match self.pass {
            Pass::Forward => {
                let forward = || ops::without_gradients(|| self.forward());
                black_box(ops::on_threads(&self.threads, forward)?);
            }
            Pass::ForwardBackward => {
                let parameters = match &self.input {
                    Input::Attention { parameters, .. } => parameters,
                    Input::Model { model, .. } => &model.parameters,
                };
                let mut sum = Gradients::none(parameters)?;
                Tape::new(parameters).gradient(&mut sum, || self.loss())?;
                black_box(sum);
            }
        }
        Ok(())
    }

    /// (B, N, H, K) of attention, (B, N, D) of a layer, logits (B, N, V) of a model.
    fn forward(&self) -> Result<Tensor> {
        match &self.input {
            Input::Attention { qkv: [q, k, v], .. } => Ok(self.form.attend(q, k, v, &self.reach)?),
            Input::Model { model, tokens, .. } => {
                let model = &model.transformer;
                let pass = ModelPass::new(tokens);
                let hidden = match self.form.holds_maps() {
                    true => model.run(pass, &mut HoldsMaps { form: self.form, reach: self.reach })?,
                    false => model.run(pass, &mut attnlab_hooks::NoHooks)?,
                };
                Ok(if model.config().n_outputs == 0 { hidden } else { model.logits(&hidden)? })
            }
        }
    }

    /// The cross-entropy of a model's targets, the sum of anything else.
    fn loss(&self) -> Result<Tensor> {
        let y = self.forward()?;
        Ok(match &self.input {
            Input::Model { targets: Some(targets), .. } => {
                let (batch, length, classes) = y.dims3()?;
                ops::cross_entropy(&ops::reshape(&y, (batch * length, classes))?, targets)?
            }
            _ => y.sum_all()?,
        })
    }
}

/// Edits the scores of every layer as the form does, if at all: attention takes the route that holds the whole map.
struct HoldsMaps {
    form: &'static dyn Form,
    reach: Reach,
}

impl Observer for HoldsMaps {
    fn wants(&self, point: Point) -> Want<'_> {
        if point.site == Site::Scores { Want::Edit } else { Want::Nothing }
    }

    fn see(&mut self, _: Point, scores: &Tensor) -> HookResult<Option<Tensor>> {
        Ok(self.form.edit(scores, &self.reach)?)
    }
}
