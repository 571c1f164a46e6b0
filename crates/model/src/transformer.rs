//! The whole model: tokens to logits.

use std::borrow::Cow;
use std::ops::Range;

use attnlab_hooks::{Anatomy, NoHooks, Observer, Point, Site, Want, observe};
use attnlab_ops::{self as ops, Streams};
use attnlab_positions::{Part, Places, Position, Sequences};
use candle_core::Tensor;
use candle_nn::VarBuilder;

use crate::attention::Where;
use crate::attention::registers::{self, Registers};
use crate::block::Block;
use crate::cache::Cache;
use crate::config::{Counting, Mask, Mlp, ModelConfig, Projected};
use crate::convolution::Neighbourhood;
use crate::dropout::{self, Dropout};
use crate::error::{ModelError, Result};
use crate::head::Head;
use crate::norm::Normalise;
use crate::projection::{Projection, Role, embedding_init};

/// A transformer, causal or bidirectional, toy or pretrained: what it is, its [`ModelConfig`] says.
pub struct Transformer {
    pub(crate) config: ModelConfig,
    pub(crate) embedding: Tensor, // (V, D), or (V, E) of a factorised one
    embedding_projection: Option<Projection>,
    segments: Option<Tensor>, // (S, D or E)
    registers: Option<Registers>,
    position: Box<dyn Position>,
    embedding_norm: Option<Normalise>,
    pub(crate) blocks: Vec<Block>,
    convolution: Option<Neighbourhood>,
    pub(crate) final_norm: Option<Normalise>,
    pub(crate) head: Head,
}

/// One forward pass over tokens (B, T) u32.
pub struct Pass<'a> {
    /// The tokens.
    pub tokens: &'a Tensor,
    /// Where they stand: one row, shared, or B. None: as the model counts, after what the cache holds.
    pub places: Option<&'a Places>,
    /// The segment of each token, (B, T) u32; 0 by default. Only for a model that has them.
    pub segments: Option<&'a Tensor>,
    /// Dropout, in training only.
    pub masks: Option<&'a Dropout>,
    /// What came before, which the tokens are added to.
    pub cache: Option<&'a mut Cache>,
}

impl<'a> Pass<'a> {
    /// A pass over whole sequences.
    pub fn new(tokens: &'a Tensor) -> Self {
        Self { tokens, places: None, segments: None, masks: None, cache: None }
    }
}

impl Transformer {
    /// Builds the model with the tensors of `vb`: drawn ones (`ops::Parameters::seeded`) or a checkpoint's.
    ///
    /// Names: `embed.weight`, `embed_projection.*`, `segment.weight`, `registers.weight`, `position.*`,
    /// `embed_norm.*`, `blocks.{l}.{attn_norm,attn.{q,k,v,o,q_norm,k_norm},mlp_norm,mlp.{up,gate,down}}.*`, `blocks.{l}.attn.null`,
    /// `blocks.{l}.mlp.{router,experts.{e}.{up,gate,down}}.*`, `blocks.{l}.position.*`, `convolution.*`, `final_norm.*`,
    /// `head_transform.*`, `head.*`. Norms that follow a sublayer are called `{attn,mlp}_norm_post`.
    pub fn new(config: &ModelConfig, vb: VarBuilder) -> Result<Self> {
        config.validate()?;
        let a = &config.architecture;
        let d = a.d_model;
        let factorised = config.details.factorised;
        let init = embedding_init(a.init);
        let width = factorised.map_or(d, |factorised| factorised.width);
        let embedding = vb.pp("embed").get_with_hints((config.vocab_size, width), "weight", init)?;
        let embedding_projection = match factorised {
            Some(f) => {
                Some(Projection::new((f.width, d), f.bias, Role::Inner, a, vb.pp("embed_projection"))?)
            }
            None => None,
        };
        let shape = config.position_shape();
        let segments = match config.details.segments {
            0 => None,
            n => Some(vb.pp("segment").get_with_hints((n, shape.d_model), "weight", init)?),
        };
        let part = if config.position.per_layer() { Part::Embeddings } else { Part::Whole };
        let position = config.position.build(part, &shape, vb.pp("position"))?;
        let norm = |width, name: &str| Normalise::new(width, a, vb.pp(name));
        let embedding_norm =
            if a.embedding_norm { Some(norm(config.embedding_norm_width(), "embed_norm")?) } else { None };
        let blocks = (0..a.n_layers)
            .map(|layer| Block::new(layer, config, vb.pp(format!("blocks.{layer}"))))
            .collect::<Result<_>>()?;
        let convolution = match config.details.convolution {
            Some(convolution) => Some(Neighbourhood::new(convolution, config, vb.pp("convolution"))?),
            None => None,
        };
        let ends_with_norm = a.norm_placement.ends_with_norm() && !config.details.no_final_norm;
        let final_norm = if ends_with_norm { Some(norm(d, "final_norm")?) } else { None };
        let head = Head::new(config, &embedding, &vb)?;
        Ok(Self {
            config: config.clone(),
            embedding,
            embedding_projection,
            segments,
            registers: Registers::new(config, vb.clone())?,
            position,
            embedding_norm,
            blocks,
            convolution,
            final_norm,
            head,
        })
    }

    /// What the model is.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Its positional encoding.
    pub fn position(&self) -> &dyn Position {
        self.position.as_ref()
    }

    /// Where tokens (B, T) stand if nobody says it, after `before` tokens. An encoding that draws positions draws the
    /// same ones every time: they are a function of the tokens.
    pub fn places(&self, tokens: &Tensor, before: usize) -> Result<Places> {
        let (rows, len) = tokens.dims2()?;
        match self.config.details.counting {
            // Kept tokens stand at their indices: a cache is had with no other encoding.
            Counting::All if before > 0 => Ok(Places::range(before, len)),
            Counting::All => {
                let tokens = &tokens.flatten_all()?.to_vec1::<u32>()?;
                let mut rng = Streams::new(0).rng("places", 0);
                Ok(self.position.places(&Sequences { tokens, rows, len }, &mut rng))
            }
            Counting::WithoutPadding { pad } => {
                let count = |row: Vec<u32>| {
                    let mut last = before as u32;
                    let place = |id| {
                        last += u32::from(id != pad);
                        if id == pad { 0 } else { last }
                    };
                    row.into_iter().map(place).collect()
                };
                Ok(Places::rows(tokens.to_vec2::<u32>()?.into_iter().map(count).collect())?)
            }
        }
    }

    /// The residual stream after the last block and the final norm, (B, T, D), of tokens (B, T) u32.
    ///
    /// `masks` are given in training only. `places` has one row, shared, or B.
    pub fn hidden<O: Observer>(
        &self,
        tokens: &Tensor,
        places: &Places,
        masks: Option<&Dropout>,
        observer: &mut O,
    ) -> Result<Tensor> {
        self.run(Pass { places: Some(places), masks, ..Pass::new(tokens) }, observer)
    }

    /// The residual stream after the last block and the final norm, (B, T, D).
    pub fn run<O: Observer>(&self, mut pass: Pass<'_>, observer: &mut O) -> Result<Tensor> {
        let (places, before) = self.places_of(&pass)?;
        let queries = places.as_ref();
        let x = self.embed(&pass, queries, observer)?;
        let n = self.config.architecture.registers;
        // Cached keys stand at 0, 1, …: a cache begins with a sequence's first token, or the registers before it.
        let all = if before == 0 { None } else { Some(Places::range(0, n + before + queries.len())) };
        let keys = all.as_ref().unwrap_or(queries);
        let registers = if before == 0 { n } else { 0 };
        let at = Where { position: self.position.as_ref(), queries, keys, registers };
        let cache = pass.cache.take();
        let x = self.blocks_at(0..self.blocks.len(), x, &at, pass.masks, cache, observer)?;
        let x = self.finish(x, observer)?;
        self.of_text(x, registers)
    }

    /// What enters the first block, (B, T, D): the embeddings with all that is added to them. A cache says where the
    /// tokens stand and is left as it is.
    pub fn enter<O: Observer>(&self, pass: &Pass<'_>, observer: &mut O) -> Result<Tensor> {
        let (places, _) = self.places_of(pass)?;
        self.embed(pass, places.as_ref(), observer)
    }

    /// The stream once blocks `layers` have added to `residual` (B, T, D), registers' rows in front, which enters the first of them; without a
    /// final norm. `tokens` (B, T) are those the stream was made of: they say where its rows stand.
    ///
    /// [`Transformer::enter`], this for all blocks and [`Transformer::finish`] are what [`Transformer::run`] does, to
    /// the last bit.
    pub fn through<O: Observer>(
        &self,
        layers: Range<usize>,
        residual: &Tensor,
        tokens: &Tensor,
        observer: &mut O,
    ) -> Result<Tensor> {
        let n_layers = self.blocks.len();
        if layers.start > layers.end || layers.end > n_layers {
            return Err(ModelError::NoSuchBlocks { first: layers.start, end: layers.end, n_layers });
        }
        let registers = self.config.architecture.registers;
        let (b, t) = tokens.dims2()?;
        let expected = vec![b, registers + t, self.config.architecture.d_model];
        if residual.dims() != expected {
            return Err(ModelError::Stream { found: residual.dims().to_vec(), expected });
        }
        let queries = &self.behind_registers(self.places(tokens, 0)?, 0)?;
        let at = Where { position: self.position.as_ref(), queries, keys: queries, registers };
        self.blocks_at(layers, residual.clone(), &at, None, None, observer)
    }

    /// The rest of a pass from block `layer` on, which `residual` (B, T, D) enters: what [`Transformer::run`] would
    /// give, to the last bit, at the cost of the blocks that are left. `layer` may be the number of blocks.
    ///
    /// Observers see what is computed: block `layer` and those after it, and the final norm.
    pub fn resume<O: Observer>(
        &self,
        layer: usize,
        residual: &Tensor,
        tokens: &Tensor,
        observer: &mut O,
    ) -> Result<Tensor> {
        let x = self.through(layer..self.blocks.len().max(layer), residual, tokens, observer)?;
        let x = self.finish(x, observer)?;
        self.of_text(x, self.config.architecture.registers)
    }

    /// The rows of the text, (B, T, D), the first of all being those of registers.
    fn of_text(&self, x: Tensor, registers: usize) -> Result<Tensor> {
        let rows = x.dim(1)?;
        if registers == 0 { Ok(x) } else { Ok(x.narrow(1, registers, rows - registers)?.contiguous()?) }
    }

    /// Where the rows of the stream stand: the registers, unless a cache holds them, and the text's tokens.
    fn behind_registers(&self, places: Places, before: usize) -> Result<Places> {
        match self.config.architecture.registers {
            0 => Ok(places),
            n => registers::behind(n, &places, before > 0),
        }
    }

    /// The final norm, and what of the head belongs to the body, of what the last block leaves: (B, T, D) → (B, T, D).
    pub fn finish<O: Observer>(&self, x: Tensor, observer: &mut O) -> Result<Tensor> {
        let x = match &self.final_norm {
            Some(norm) => observe(observer, Point::model(Site::LnFinal), &norm.forward(&x)?)?,
            None => x,
        };
        self.head.finish_body(x)
    }

    /// Where the rows of a pass stand, and how many tokens are before them.
    fn places_of<'a>(&self, pass: &Pass<'a>) -> Result<(Cow<'a, Places>, usize)> {
        pass.tokens.dims2()?;
        let before = pass.cache.as_ref().map_or(0, |cache| cache.len());
        let places = match pass.places {
            Some(places) if self.registers.is_none() => Cow::Borrowed(places),
            Some(places) => Cow::Owned(self.behind_registers(places.clone(), before)?),
            None => Cow::Owned(self.behind_registers(self.places(pass.tokens, before)?, before)?),
        };
        Ok((places, before))
    }

    fn embed<O: Observer>(&self, pass: &Pass<'_>, places: &Places, observer: &mut O) -> Result<Tensor> {
        let a = &self.config.architecture;
        let x = ops::embedding(pass.tokens, &self.embedding)?; // (B, T, D or E)
        let x = if a.embedding_scale == 1.0 { x } else { (x * a.embedding_scale)? };
        let x = self.project_embedding(x, Projected::BeforePositions)?;
        let x = observe(observer, Point::model(Site::Embed), &x)?;
        let x = self.add_segments(x, pass.segments)?;
        let x = match &self.registers {
            Some(registers) if places.len() > pass.tokens.dim(1)? => registers.prepend(&x)?,
            _ => x,
        };
        let x = self.add_position(x, places, observer)?;
        let x = self.project_embedding(x, Projected::BeforeNorm)?;
        let x = match &self.embedding_norm {
            Some(norm) => norm.forward(&x)?,
            None => x,
        };
        let x = self.project_embedding(x, Projected::AfterNorm)?;
        dropout::apply(&x, a.dropout, pass.masks, "embedding", 0)
    }

    fn blocks_at<O: Observer>(
        &self,
        layers: Range<usize>,
        mut x: Tensor,
        at: &Where<'_>,
        masks: Option<&Dropout>,
        mut cache: Option<&mut Cache>,
        observer: &mut O,
    ) -> Result<Tensor> {
        let first = layers.start;
        // The convolution reads what enters the first block.
        let convolution = self.convolution.as_ref().map(|convolution| (convolution, x.clone()));
        for (layer, block) in self.blocks[layers].iter().enumerate() {
            let cache = cache.as_mut().map(|cache| cache.layer(first + layer));
            x = block.forward(&x, at, masks, cache, observer)?;
            if let (0, Some((convolution, embeddings))) = (first + layer, &convolution) {
                x = convolution.forward(&x, embeddings)?;
            }
        }
        if let Some(cache) = cache {
            cache.advance(at.queries.len() - at.registers);
        }
        Ok(x)
    }

    /// The embeddings' projection, if this is when the model has it.
    fn project_embedding(&self, x: Tensor, now: Projected) -> Result<Tensor> {
        match (&self.embedding_projection, self.config.details.factorised) {
            (Some(projection), Some(factorised)) if factorised.projected == now => projection.forward(&x),
            _ => Ok(x),
        }
    }

    /// The stream once the segments' embeddings have been added: those given, or segment 0's.
    fn add_segments(&self, x: Tensor, ids: Option<&Tensor>) -> Result<Tensor> {
        match (&self.segments, ids) {
            (None, None) => Ok(x),
            (None, Some(_)) => Err(ModelError::NoSegments),
            (Some(table), None) => Ok(x.broadcast_add(&table.narrow(0, 0, 1)?)?),
            (Some(table), Some(ids)) => {
                let count = table.dim(0)?;
                let found = ids.flatten_all()?.max_all()?.to_scalar::<u32>()? as usize;
                if found >= count || ids.dims() != &x.dims()[..2] {
                    return Err(ModelError::Segments { found, count, shape: ids.dims().to_vec() });
                }
                Ok((x + ops::embedding(ids, table)?)?)
            }
        }
    }

    /// The stream once the encoding has been added to the token embeddings.
    fn add_position<O: Observer>(&self, x: Tensor, places: &Places, observer: &mut O) -> Result<Tensor> {
        if !self.position.embeds() {
            return Ok(x);
        }
        let placed = self.position.embed(&x, places)?;
        let point = Point::model(Site::PosEmbed);
        match observer.wants(point) {
            Want::Nothing => Ok(placed),
            Want::Look(_) => {
                observe(observer, point, &(&placed - &x)?)?;
                Ok(placed)
            }
            Want::Edit => Ok((&x + observe(observer, point, &(placed - &x)?)?)?),
        }
    }

    /// Logits (…, n_outputs) of hidden states (…, D). An error for a body without head.
    pub fn logits(&self, hidden: &Tensor) -> Result<Tensor> {
        self.head.logits(hidden)
    }

    /// Logits (B, T, n_outputs) of tokens (B, T) from position 0 on, with an observer.
    pub fn forward<O: Observer>(&self, tokens: &Tensor, observer: &mut O) -> Result<Tensor> {
        self.logits(&self.run(Pass::new(tokens), observer)?)
    }

    /// Logits (B, T, n_outputs) of tokens (B, T) from position 0 on.
    pub fn predict(&self, tokens: &Tensor) -> Result<Tensor> {
        self.forward(tokens, &mut NoHooks)
    }

    /// Whether what a token's block computes stays the same when tokens follow it, so that it can be kept.
    pub fn is_incremental(&self) -> bool {
        let own = self.blocks.iter().all(Block::is_incremental);
        own && self.position.is_incremental() && self.config.mask == Mask::Causal
    }

    /// What hook specs are resolved against: the sizes, and the points that this model cannot fire.
    pub fn anatomy(&self) -> Anatomy {
        let a = &self.config.architecture;
        let mut absent = Vec::new();
        if a.attention.weights.parts() > 1 {
            // Of more score maps than one a head there is none that a hook could mean.
            absent.extend([Site::ScoresRaw, Site::Scores]);
        }
        if !self.position.embeds() {
            absent.push(Site::PosEmbed);
        }
        let still: Vec<usize> =
            (0..a.n_layers).filter(|&layer| !self.blocks[layer].rotates(self.position.as_ref())).collect();
        let mut absent_points = Vec::new();
        if still.len() == a.n_layers {
            absent.extend([Site::RotQ, Site::RotK]);
        } else {
            absent_points.extend(
                [Site::RotQ, Site::RotK]
                    .iter()
                    .flat_map(|&site| still.iter().map(move |&layer| Point::block(site, layer))),
            );
        }
        if a.mlp == Mlp::None {
            absent.push(Site::MlpOut);
        }
        if a.mlp == Mlp::None || a.experts.is_some() {
            absent.extend([Site::MlpPre, Site::MlpPost]);
        }
        if a.mlp == Mlp::None || a.residual.is_parallel() {
            absent.push(Site::ResidMid);
        }
        if self.final_norm.is_none() {
            absent.push(Site::LnFinal);
        }
        Anatomy { n_layers: a.n_layers, n_heads: a.n_heads, n_kv_heads: a.kv_heads(), absent, absent_points }
    }
}
