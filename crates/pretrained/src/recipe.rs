//! Where each of the transformer's tensors comes from in a checkpoint.

use std::collections::BTreeMap;
use std::ops::Range;

use candle_core::Tensor;

/// How a tensor is made from one of the checkpoint's.
pub struct Recipe {
    pub(crate) source: Source,
    changes: Vec<Change>,
}

type Change = Box<dyn Fn(Tensor) -> candle_core::Result<Tensor> + Send + Sync>;

pub(crate) enum Source {
    /// A tensor of the checkpoint, or some rows of it.
    Tensor { name: String, rows: Option<Range<usize>> },
    /// The same number everywhere.
    Constant(f64),
    /// Another tensor of the transformer: they share memory.
    Same(String),
}

impl Recipe {
    /// The checkpoint's tensor of this name.
    pub fn tensor(name: impl Into<String>) -> Self {
        Self { source: Source::Tensor { name: name.into(), rows: None }, changes: Vec::new() }
    }

    /// The same number everywhere.
    pub fn constant(value: f64) -> Self {
        Self { source: Source::Constant(value), changes: Vec::new() }
    }

    /// What the transformer's tensor `ours` has, in the same memory.
    pub fn same(ours: impl Into<String>) -> Self {
        Self { source: Source::Same(ours.into()), changes: Vec::new() }
    }

    /// Only these rows of the checkpoint's tensor; no others are read.
    #[must_use]
    pub fn rows(mut self, range: Range<usize>) -> Self {
        if let Source::Tensor { rows, .. } = &mut self.source {
            *rows = Some(range);
        }
        self
    }

    /// Then changed so.
    #[must_use]
    pub fn then(
        mut self,
        change: impl Fn(Tensor) -> candle_core::Result<Tensor> + Send + Sync + 'static,
    ) -> Self {
        self.changes.push(Box::new(change));
        self
    }

    /// Transposed: (In, Out), as GPT-2 stores its matrices, → (Out, In). Vectors stay.
    #[must_use]
    pub fn transposed(self) -> Self {
        self.then(|x| if x.rank() == 2 { x.t()?.contiguous() } else { Ok(x) })
    }

    /// One entry along the first axis, which is then gone; no other is read.
    #[must_use]
    pub fn row(self, at: usize) -> Self {
        self.rows(at..at + 1).then(|x| x.squeeze(0))
    }

    /// These columns of a matrix, or entries of a vector.
    #[must_use]
    pub fn columns(self, range: Range<usize>) -> Self {
        self.then(move |x| x.narrow(candle_core::D::Minus1, range.start, range.len())?.contiguous())
    }

    /// Parts of a fused projection whose rows are laid out (groups, parts, width): those in `range` of every group.
    #[must_use]
    pub fn unfused(self, (groups, parts, width): (usize, usize, usize), range: Range<usize>) -> Self {
        self.then(move |x| {
            let rest: usize = x.dims().get(1..).unwrap_or_default().iter().product();
            let mut shape = vec![groups * range.len() * width];
            shape.extend(x.dims().get(1..).unwrap_or_default());
            let laid_out = x.reshape((groups, parts, width, rest))?;
            laid_out.narrow(1, range.start, range.len())?.contiguous()?.reshape(shape)
        })
    }

    /// With this added to every number: norms that are stored as what differs from 1.
    #[must_use]
    pub fn plus(self, value: f64) -> Self {
        self.then(move |x| x + value)
    }

    /// The changes, made.
    pub(crate) fn finish(&self, tensor: Tensor) -> candle_core::Result<Tensor> {
        self.changes.iter().try_fold(tensor, |tensor, change| change(tensor))
    }
}

/// The recipe of every tensor the transformer may ask for, by the transformer's name.
#[derive(Default)]
pub struct Names(pub(crate) BTreeMap<String, Recipe>);

impl Names {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// One tensor; a later recipe for the same name replaces an earlier one.
    pub fn add(&mut self, ours: impl Into<String>, recipe: Recipe) {
        self.0.insert(ours.into(), recipe);
    }

    /// Weight and bias of a linear map or a norm, as they are. The transformer asks for those it has.
    pub fn pair(&mut self, ours: &str, theirs: &str) {
        self.pair_with(ours, theirs, |recipe| recipe);
    }

    /// [`Self::pair`] for each of `parts`, (ours, theirs), of a block.
    pub fn pairs(&mut self, ours: &str, theirs: &str, parts: &[(&str, &str)]) {
        for (our, their) in parts {
            self.pair(&format!("{ours}.{our}"), &format!("{theirs}.{their}"));
        }
    }

    /// Weight and bias of another of the transformer's maps or norms, in the same memory.
    pub fn pair_same(&mut self, ours: &str, other: &str) {
        for part in ["weight", "bias"] {
            self.add(format!("{ours}.{part}"), Recipe::same(format!("{other}.{part}")));
        }
    }

    /// Queries, keys and values of one projection whose rows are laid out (groups, q + k + v, width), where `queries`
    /// of a group's parts are queries, followed by a key and a value.
    pub fn fused_qkv(&mut self, ours: &str, theirs: &str, groups: usize, queries: usize, width: usize) {
        let layout = (groups, queries + 2, width);
        for (part, range) in [("q", 0..queries), ("k", queries..queries + 1), ("v", queries + 1..queries + 2)]
        {
            self.pair_with(&format!("{ours}.{part}"), theirs, |recipe| recipe.unfused(layout, range.clone()));
        }
    }

    /// Weight and bias, each made so.
    pub fn pair_with(&mut self, ours: &str, theirs: &str, make: impl Fn(Recipe) -> Recipe) {
        for part in ["weight", "bias"] {
            self.add(format!("{ours}.{part}"), make(Recipe::tensor(format!("{theirs}.{part}"))));
        }
    }
}
