//! The observer that changes what it sees, with operations that gradients flow through.

use candle_core::{D, Tensor};

use crate::error::{HookError, Result};
use crate::observer::{Observer, Want};
use crate::scope::{Scope, Select};
use crate::site::{Point, Site};

/// A change of an activation, made within a [`Scope`] and nowhere else.
#[derive(Clone, Debug)]
pub enum Change {
    /// Becomes zero.
    Zero,
    /// Becomes its mean over the whole batch and all positions, per head where the point has heads.
    Mean,
    /// Becomes this tensor, which must broadcast to the selected part.
    Replace(Tensor),
    /// Is multiplied by this.
    Scale(f64),
    /// The edge from query row `query` to key `key` is cut: −inf at the scores (the rest of the row takes its
    /// share; if there is no rest, the row's softmax is one of nothing but −inf, which `attnlab-ops` defines as
    /// zeros), zero at the pattern (its share is lost). The scope's heads and batch apply; its rows must be `All`.
    KnockOut {
        /// The row that looks.
        query: usize,
        /// The key it no longer sees.
        key: usize,
    },
    /// The key is cut from every query row in scope, as [`Change::KnockOut`] cuts it from one.
    HideKey {
        /// The key that is no longer seen.
        key: usize,
    },
}

impl Change {
    /// The change's name in messages.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Zero => "zero",
            Self::Mean => "mean",
            Self::Replace(_) => "replace",
            Self::Scale(_) => "scale",
            Self::KnockOut { .. } => "knock out",
            Self::HideKey { .. } => "hide key",
        }
    }

    /// Whether the change makes sense at `site`, independent of any tensor; `Err` says why not.
    pub(crate) fn check(&self, site: Site, scope: &Scope) -> std::result::Result<(), &'static str> {
        match self {
            Self::KnockOut { .. } | Self::HideKey { .. } if !matches!(site, Site::Scores | Site::Pattern) => {
                Err("an edge exists only at attn.hook_attn_scores and attn.hook_pattern")
            }
            Self::KnockOut { .. } if scope.rows != Select::All => {
                Err("the edge names its query row itself: leave out the selection of rows")
            }
            Self::Mean if site.is_map() => Err(
                "a mean over query rows would give masked keys a share; take the mean of attn.hook_z or attn.hook_v instead",
            ),
            Self::Zero if site == Site::Scores => Err(
                "zero would undo the mask (−inf); zero attn.hook_attn_scores_raw for uniform content instead",
            ),
            Self::Scale(by) if !by.is_finite() => Err("the factor is not a finite number"),
            Self::Scale(by) if site == Site::Scores && *by <= 0.0 => Err(
                "a factor of zero or less would undo the mask (−inf); scale attn.hook_attn_scores_raw instead",
            ),
            _ => Ok(()),
        }
    }
}

/// Applies changes to points, in the order in which they were added.
#[derive(Clone, Debug, Default)]
pub struct Edits {
    edits: Vec<Edit>,
}

#[derive(Clone, Debug)]
struct Edit {
    point: Point,
    scope: Scope,
    change: Change,
    fired: usize,
}

impl Edits {
    /// Edits nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Also makes `change` at `scope` of `point`, after the changes already there.
    pub fn add(&mut self, point: Point, scope: Scope, change: Change) -> Result<()> {
        if let Err(why) = change.check(point.site, &scope) {
            return Err(HookError::BadChange { name: point.to_string(), change: change.name(), why });
        }
        self.edits.push(Edit { point, scope, change, fired: 0 });
        Ok(())
    }

    /// The points that are edited.
    pub fn points(&self) -> impl Iterator<Item = Point> + '_ {
        self.edits.iter().map(|edit| edit.point)
    }

    /// The points of edits that were never made.
    pub fn never_fired(&self) -> impl Iterator<Item = Point> + '_ {
        self.edits.iter().filter(|edit| edit.fired == 0).map(|edit| edit.point)
    }
}

impl Observer for Edits {
    fn wants(&self, point: Point) -> Want<'_> {
        if self.edits.iter().any(|edit| edit.point == point) { Want::Edit } else { Want::Nothing }
    }

    fn see(&mut self, point: Point, value: &Tensor) -> Result<Option<Tensor>> {
        let mut edited = None;
        for edit in self.edits.iter_mut().filter(|edit| edit.point == point) {
            edited = Some(edit.apply(edited.as_ref().unwrap_or(value))?);
            edit.fired += 1;
        }
        Ok(edited)
    }
}

impl Edit {
    fn apply(&self, x: &Tensor) -> Result<Tensor> {
        let axes = self.point.site.axes();
        let changed = match &self.change {
            Change::Zero => x.zeros_like()?,
            Change::Scale(by) => (x * *by)?,
            Change::Mean => x.mean_keepdim((0, axes.rows))?.broadcast_as(x.shape())?,
            Change::Replace(with) => self.spread(x, with)?,
            Change::KnockOut { query, key } => {
                let edge = Scope { rows: Select::List(vec![*query]), ..self.scope.clone() };
                return self.knock_out(x, &edge, *key);
            }
            Change::HideKey { key } => return self.knock_out(x, &self.scope, *key),
        };
        match self.mask(x)? {
            Some(mask) => Ok(mask.where_cond(&changed.contiguous()?, &x.contiguous()?)?),
            None => Ok(changed.contiguous()?),
        }
    }

    /// One where the scope lies, zero elsewhere, in the shape of `x`; `None` when that is everywhere.
    fn mask(&self, x: &Tensor) -> Result<Option<Tensor>> {
        let mut mask: Option<Tensor> = None;
        for (_, select, axis) in self.scope.on_axes(self.point.site, x)? {
            let Select::List(_) = select else { continue };
            let size = x.dim(axis)?;
            let along: Vec<u8> = (0..size).map(|i| u8::from(select.contains(i))).collect();
            let along = Tensor::from_vec(along, one_axis(x.rank(), axis, size), x.device())?
                .broadcast_as(x.shape())?;
            mask = Some(match mask {
                Some(mask) => mask.mul(&along)?,
                None => along,
            });
        }
        Ok(mask.map(|mask| mask.contiguous()).transpose()?)
    }

    /// The replacement laid out in the shape of `x`: right where the scope lies, anything elsewhere.
    fn spread(&self, x: &Tensor, with: &Tensor) -> Result<Tensor> {
        let part = self.scope.cut(self.point.site, x)?;
        let mut full =
            with.to_dtype(x.dtype())?.broadcast_as(part.shape()).map_err(|_| HookError::BadReplacement {
                point: self.point.to_string(),
                found: with.dims().to_vec(),
                expected: part.dims().to_vec(),
            })?;
        for (_, select, axis) in self.scope.on_axes(self.point.site, x)? {
            let Select::List(list) = select else { continue };
            let source: Vec<u32> =
                (0..x.dim(axis)?).map(|i| list.binary_search(&i).unwrap_or(0) as u32).collect();
            full = full.contiguous()?.index_select(&Tensor::new(source, x.device())?, axis)?;
        }
        Ok(full)
    }

    /// The key cut from the rows in `scope`.
    fn knock_out(&self, x: &Tensor, scope: &Scope, key: usize) -> Result<Tensor> {
        let site = self.point.site;
        let (edge_axes, keys) = (scope.on_axes(site, x)?, x.dim(D::Minus1)?);
        if key >= keys {
            return Err(HookError::OutOfRange {
                site: site.to_string(),
                axis: "key",
                index: key,
                size: keys,
            });
        }
        let mut mask = {
            let along: Vec<u8> = (0..keys).map(|j| u8::from(j == key)).collect();
            Tensor::from_vec(along, one_axis(x.rank(), x.rank() - 1, keys), x.device())?
                .broadcast_as(x.shape())?
        };
        for (_, select, axis) in edge_axes {
            let Select::List(_) = select else { continue };
            let along: Vec<u8> = (0..x.dim(axis)?).map(|i| u8::from(select.contains(i))).collect();
            let along = Tensor::from_vec(along, one_axis(x.rank(), axis, x.dim(axis)?), x.device())?;
            mask = mask.mul(&along.broadcast_as(x.shape())?)?;
        }
        let value = if site == Site::Scores { f64::NEG_INFINITY } else { 0.0 };
        let changed = Tensor::full(value, x.shape(), x.device())?.to_dtype(x.dtype())?;
        Ok(mask.contiguous()?.where_cond(&changed, &x.contiguous()?)?)
    }
}

/// The shape with `size` along `axis` and 1 elsewhere.
fn one_axis(rank: usize, axis: usize, size: usize) -> Vec<usize> {
    (0..rank).map(|a| if a == axis { size } else { 1 }).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use candle_core::{Device, Var};

    use super::*;
    use crate::observer::observe;

    fn numbers(dims: &[usize]) -> Tensor {
        let count: usize = dims.iter().product();
        Tensor::from_vec((0..count).map(|i| i as f64 + 1.0).collect(), dims, &Device::Cpu).unwrap()
    }

    fn flat(t: &Tensor) -> Vec<f64> {
        t.flatten_all().unwrap().to_vec1().unwrap()
    }

    fn edited(site: Site, scope: Scope, change: Change, x: &Tensor) -> Result<Tensor> {
        let point = if site.in_block() { Point::block(site, 0) } else { Point::model(site) };
        let mut edits = Edits::new();
        edits.add(point, scope, change)?;
        let y = observe(&mut edits, point, x)?;
        assert_eq!(edits.never_fired().count(), 0);
        assert_eq!(y.dims(), x.dims());
        Ok(y)
    }

    #[test]
    fn zero_and_scale_change_the_scope_and_nothing_else() {
        let z = numbers(&[1, 2, 2, 2]); // (B, T, H, K)
        let head = Scope { heads: [1].into(), ..Scope::default() };
        assert_eq!(
            flat(&edited(Site::Z, head.clone(), Change::Zero, &z).unwrap()),
            [1., 2., 0., 0., 5., 6., 0., 0.]
        );
        let one = Scope { rows: [0].into(), ..head };
        assert_eq!(
            flat(&edited(Site::Z, one, Change::Scale(-2.0), &z).unwrap()),
            [1., 2., -6., -8., 5., 6., 7., 8.]
        );
        let second = Scope { batch: [1].into(), ..Scope::default() };
        let x = numbers(&[2, 1, 2]);
        assert_eq!(flat(&edited(Site::MlpOut, second, Change::Zero, &x).unwrap()), [1., 2., 0., 0.]);
    }

    #[test]
    fn the_mean_is_over_batch_and_positions_per_head_and_is_put_where_the_scope_lies() {
        let z = numbers(&[2, 2, 2, 1]); // head 0: 1 3 5 7, head 1: 2 4 6 8
        let all = edited(Site::Z, Scope::default(), Change::Mean, &z).unwrap();
        assert_eq!(flat(&all), [4., 5., 4., 5., 4., 5., 4., 5.]);
        let scope = Scope { heads: [1].into(), rows: [0].into(), ..Scope::default() };
        let part = edited(Site::Z, scope, Change::Mean, &z).unwrap();
        assert_eq!(flat(&part), [1., 5., 3., 4., 5., 5., 7., 8.]);
    }

    #[test]
    fn a_replacement_lands_in_the_order_of_its_scope() {
        let map = numbers(&[1, 2, 3, 2]); // (B, H, Tq, Tk)
        let scope = Scope { heads: [1].into(), rows: [0, 2].into(), ..Scope::default() };
        let with = Tensor::new(&[[10., 20.], [30., 40.]], &Device::Cpu).unwrap();
        let y = edited(Site::Pattern, scope.clone(), Change::Replace(with), &map).unwrap();
        assert_eq!(flat(&y), [1., 2., 3., 4., 5., 6., 10., 20., 9., 10., 30., 40.]);
        let wrong = Tensor::new(&[1., 2., 3.], &Device::Cpu).unwrap();
        let error = edited(Site::Pattern, scope, Change::Replace(wrong), &map).unwrap_err().to_string();
        assert!(error.contains("[3] does not broadcast to the selected part [1, 1, 2, 2]"), "{error}");
    }

    #[test]
    fn a_knocked_out_edge_is_minus_infinity_at_the_scores_and_zero_at_the_pattern() {
        let map = numbers(&[1, 2, 2, 2]);
        let head = Scope { heads: [1].into(), ..Scope::default() };
        let edge = Change::KnockOut { query: 1, key: 0 };
        let y = flat(&edited(Site::Scores, head.clone(), edge.clone(), &map).unwrap());
        assert_eq!(y, [1., 2., 3., 4., 5., 6., f64::NEG_INFINITY, 8.]);
        let column = Change::HideKey { key: 0 };
        let y = flat(&edited(Site::Scores, head.clone(), column.clone(), &map).unwrap());
        assert_eq!(y, [1., 2., 3., 4., f64::NEG_INFINITY, 6., f64::NEG_INFINITY, 8.]);
        let second = Scope { rows: [1].into(), ..head.clone() };
        let y = flat(&edited(Site::Pattern, second, column.clone(), &map).unwrap());
        assert_eq!(y, [1., 2., 3., 4., 5., 6., 0., 8.]);
        assert!(Edits::new().add(Point::block(Site::Z, 0), Scope::default(), column).is_err());
        let y = flat(&edited(Site::Pattern, Scope::default(), edge.clone(), &map).unwrap());
        assert_eq!(y, [1., 2., 0., 4., 5., 6., 0., 8.]);
        let beyond = Change::KnockOut { query: 1, key: 2 };
        assert!(edited(Site::Pattern, Scope::default(), beyond, &map).is_err());
        let beyond = Change::KnockOut { query: 2, key: 0 };
        assert!(edited(Site::Pattern, Scope::default(), beyond, &map).is_err());
    }

    #[test]
    fn changes_that_would_undo_a_mask_are_refused() {
        let scores = numbers(&[1, 1, 2, 2]);
        for change in [Change::Zero, Change::Mean, Change::Scale(0.0), Change::Scale(-1.0)] {
            let error = edited(Site::Scores, Scope::default(), change, &scores).unwrap_err();
            assert!(matches!(error, HookError::BadChange { .. }), "{error}");
        }
        let edge = Change::KnockOut { query: 0, key: 0 };
        assert!(edited(Site::Z, Scope::default(), edge.clone(), &scores).is_err());
        let rows = Scope { rows: [0].into(), ..Scope::default() };
        assert!(edited(Site::Pattern, rows, edge, &scores).is_err());
    }

    #[test]
    fn gradients_flow_through_every_change() {
        let head = Scope { heads: [1].into(), ..Scope::default() };
        let grad = |site, scope: Scope, change| {
            let x = Var::from_tensor(&numbers(&[1, 2, 2, 2])).unwrap();
            let y = edited(site, scope, change, x.as_tensor()).unwrap();
            flat(y.sum_all().unwrap().backward().unwrap().get(&x).unwrap())
        };
        assert_eq!(grad(Site::Z, head.clone(), Change::Zero), [1., 1., 0., 0., 1., 1., 0., 0.]);
        assert_eq!(grad(Site::Z, head.clone(), Change::Scale(3.0)), [1., 1., 3., 3., 1., 1., 3., 3.]);
        // Each of the two positions becomes half of their sum, so each still has weight one.
        assert_eq!(grad(Site::Z, head.clone(), Change::Mean), [1.; 8]);
        let one_row = Scope { rows: [0].into(), ..head.clone() };
        assert_eq!(grad(Site::Z, one_row, Change::Mean), [1., 1., 0.5, 0.5, 1., 1., 1.5, 1.5]);
        let edge = Change::KnockOut { query: 1, key: 0 };
        assert_eq!(grad(Site::Pattern, Scope::default(), edge), [1., 1., 0., 1., 1., 1., 0., 1.]);

        let with = Var::new(&[2.0, 3.0], &Device::Cpu).unwrap();
        let x = numbers(&[1, 2, 2, 2]);
        let y = edited(Site::Z, head, Change::Replace(with.as_tensor().clone()), &x).unwrap();
        assert_eq!(flat(y.sum_all().unwrap().backward().unwrap().get(&with).unwrap()), [2., 2.]);
    }

    #[test]
    fn changes_of_one_point_are_made_in_order() {
        let point = Point::block(Site::MlpOut, 2);
        let mut edits = Edits::new();
        edits.add(point, Scope::default(), Change::Scale(2.0)).unwrap();
        edits.add(point, Scope { rows: [1].into(), ..Scope::default() }, Change::Scale(5.0)).unwrap();
        let y = observe(&mut edits, point, &numbers(&[1, 2, 1])).unwrap();
        assert_eq!(flat(&y), [2., 20.]);
        assert_eq!(edits.wants(Point::block(Site::MlpOut, 1)), Want::Nothing);
    }
}
