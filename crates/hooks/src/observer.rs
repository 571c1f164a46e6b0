//! The observer: what looks at, or edits, the activations of a forward pass.

use attnlab_ops::WatchRows;
use candle_core::Tensor;

use crate::error::Result;
use crate::scope::{Scope, WHOLE};
use crate::site::{Point, Site};

/// What an observer wants of a point. Asked before the value is computed, so that what nobody wants costs nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want<'a> {
    /// Nothing: do not compute it for my sake.
    Nothing,
    /// To see this part of it.
    Look(&'a Scope),
    /// To see all of it and perhaps return another value.
    Edit,
}

/// Something that looks at, or edits, the activations of a forward pass.
pub trait Observer {
    /// What this observer wants of `point`. The answer must not change during a forward pass.
    fn wants(&self, point: Point) -> Want<'_>;

    /// Shows what `point` holds: already cut to the scope for [`Want::Look`], the whole tensor for [`Want::Edit`].
    ///
    /// `Some` replaces the value, in the same shape; it is used only after [`Want::Edit`].
    fn see(&mut self, point: Point, value: &Tensor) -> Result<Option<Tensor>>;

    /// Who is to see every row of the patterns of block `layer` as they are computed, without a map being made for it.
    /// What edits left is what is seen.
    #[inline]
    fn watches(&self, _layer: usize) -> Option<Box<dyn WatchRows + '_>> {
        None
    }
}

/// Shows `value` to the observer and returns what the model continues with: the edit, or `value` itself.
///
/// With [`NoHooks`] this compiles to a reference-count increment.
#[inline]
pub fn observe<O: Observer + ?Sized>(observer: &mut O, point: Point, value: &Tensor) -> Result<Tensor> {
    let look = match observer.wants(point) {
        Want::Nothing => return Ok(value.clone()),
        Want::Look(scope) => Some(scope.cut(point.site, value)?),
        Want::Edit => None,
    };
    match look {
        Some(cut) => {
            observer.see(point, &cut)?;
            Ok(value.clone())
        }
        None => Ok(observer.see(point, value)?.unwrap_or_else(|| value.clone())),
    }
}

/// Whether the observer wants an attention map of block `layer`, so that the fused path cannot serve it alone.
#[inline]
pub fn wants_maps<O: Observer + ?Sized>(observer: &O, layer: usize) -> bool {
    [Site::ScoresRaw, Site::Scores, Site::Pattern]
        .into_iter()
        .any(|site| observer.wants(Point::block(site, layer)) != Want::Nothing)
}

/// Wants nothing; every call on it disappears at compile time.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoHooks;

impl Observer for NoHooks {
    #[inline(always)]
    fn wants(&self, _: Point) -> Want<'_> {
        Want::Nothing
    }

    #[inline(always)]
    fn see(&mut self, _: Point, _: &Tensor) -> Result<Option<Tensor>> {
        Ok(None)
    }
}

impl<O: Observer + ?Sized> Observer for &mut O {
    #[inline]
    fn wants(&self, point: Point) -> Want<'_> {
        (**self).wants(point)
    }

    #[inline]
    fn see(&mut self, point: Point, value: &Tensor) -> Result<Option<Tensor>> {
        (**self).see(point, value)
    }

    #[inline]
    fn watches(&self, layer: usize) -> Option<Box<dyn WatchRows + '_>> {
        (**self).watches(layer)
    }
}

/// Two observers. The second sees what the first left.
#[derive(Clone, Debug, Default)]
pub struct Both<A, B>(pub A, pub B);

impl<A: Observer, B: Observer> Observer for Both<A, B> {
    fn wants(&self, point: Point) -> Want<'_> {
        match (self.0.wants(point), self.1.wants(point)) {
            (Want::Edit, _) | (_, Want::Edit) => Want::Edit,
            (Want::Nothing, other) | (other, Want::Nothing) => other,
            (Want::Look(a), Want::Look(b)) if a == b => Want::Look(a),
            // Two different parts: both are cut from the whole in `see`.
            (Want::Look(_), Want::Look(_)) => Want::Look(&WHOLE),
        }
    }

    fn see(&mut self, point: Point, value: &Tensor) -> Result<Option<Tensor>> {
        // `value` is whole unless both asked for one and the same part, or only one of them asked.
        let already_cut = match (self.0.wants(point), self.1.wants(point)) {
            (Want::Look(a), Want::Look(b)) => a == b,
            (Want::Look(_), Want::Nothing) | (Want::Nothing, Want::Look(_)) => true,
            _ => false,
        };
        let first = show(&mut self.0, point, value, already_cut)?;
        let second = show(&mut self.1, point, first.as_ref().unwrap_or(value), already_cut)?;
        Ok(second.or(first))
    }

    fn watches(&self, layer: usize) -> Option<Box<dyn WatchRows + '_>> {
        match (self.0.watches(layer), self.1.watches(layer)) {
            (Some(first), Some(second)) => Some(Box::new((first, second))),
            (one, other) => one.or(other),
        }
    }
}

/// Shows `value` as the observer wants it; `Some` only if the observer edited it.
fn show<O: Observer>(
    observer: &mut O,
    point: Point,
    value: &Tensor,
    already_cut: bool,
) -> Result<Option<Tensor>> {
    let look = match observer.wants(point) {
        Want::Nothing => return Ok(None),
        Want::Edit => return observer.see(point, value),
        Want::Look(_) if already_cut => value.clone(),
        Want::Look(scope) => scope.cut(point.site, value)?,
    };
    observer.see(point, &look)?;
    Ok(None)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use candle_core::Device;

    use super::*;
    use crate::capture::Capture;
    use crate::edits::{Change, Edits};

    const Z: Point = Point { layer: Some(0), site: Site::Z };

    fn z() -> Tensor {
        Tensor::arange(0f32, 12., &Device::Cpu).unwrap().reshape((1, 2, 3, 2)).unwrap()
    }

    fn flat(t: &Tensor) -> Vec<f32> {
        t.flatten_all().unwrap().to_vec1().unwrap()
    }

    fn capture(scope: Scope) -> Capture {
        let mut capture = Capture::new();
        capture.add(Z, scope).unwrap();
        capture
    }

    fn head(h: usize) -> Scope {
        Scope { heads: [h].into(), ..Scope::default() }
    }

    #[test]
    fn without_hooks_the_value_passes_unchanged_and_uncopied() {
        let x = z();
        let y = observe(&mut NoHooks, Z, &x).unwrap();
        assert_eq!(x.id(), y.id());
        assert!(!wants_maps(&NoHooks, 0));
        assert_eq!(size_of::<NoHooks>(), 0);
    }

    #[test]
    fn a_capture_sees_its_scope_and_changes_nothing() {
        let (x, mut seen) = (z(), capture(head(2)));
        let y = observe(&mut seen, Z, &x).unwrap();
        assert_eq!(x.id(), y.id());
        assert_eq!(flat(seen.get(Z).unwrap()), [4., 5., 10., 11.]);
        observe(&mut seen, Z, &x).unwrap();
        assert_eq!(seen.values(Z).unwrap().len(), 2);
        assert!(seen.get(Z).unwrap_err().to_string().contains("fired 2 times"));
        assert_eq!(seen.take()[&Z].len(), 2);
        assert_eq!(seen.never_fired().collect::<Vec<_>>(), [Z]);
    }

    #[test]
    fn both_observers_see_their_own_parts() {
        for (a, b) in [(head(0), head(2)), (head(1), head(1)), (Scope::default(), head(1))] {
            let mut both = Both(capture(a.clone()), capture(b.clone()));
            observe(&mut both, Z, &z()).unwrap();
            assert_eq!(flat(both.0.get(Z).unwrap()), flat(&a.cut(Site::Z, &z()).unwrap()));
            assert_eq!(flat(both.1.get(Z).unwrap()), flat(&b.cut(Site::Z, &z()).unwrap()));
        }
        let mut one = Both(Capture::new(), capture(head(2)));
        assert_eq!(one.wants(Z), Want::Look(&head(2)), "only what is asked for");
        observe(&mut one, Z, &z()).unwrap();
        assert_eq!(flat(one.1.get(Z).unwrap()), [4., 5., 10., 11.]);
    }

    #[test]
    fn the_second_observer_sees_what_the_first_left() {
        let mut edits = Edits::new();
        edits.add(Z, head(2), Change::Scale(10.0)).unwrap();
        let mut both = Both(edits.clone(), capture(head(2)));
        let y = observe(&mut both, Z, &z()).unwrap();
        assert_eq!(flat(both.1.get(Z).unwrap()), [40., 50., 100., 110.]);
        assert_eq!(flat(&y)[4], 40.);

        let mut before = Both(capture(head(2)), edits.clone());
        let y = observe(&mut before, Z, &z()).unwrap();
        assert_eq!(flat(before.0.get(Z).unwrap()), [4., 5., 10., 11.]);
        assert_eq!(flat(&y)[4], 40.);

        let y = observe(&mut Both(edits.clone(), edits), Z, &z()).unwrap();
        assert_eq!(flat(&y)[4], 400.);
    }

    #[test]
    fn both_observers_watch() {
        use attnlab_ops::WatchedRow;
        use std::sync::atomic::{AtomicUsize, Ordering};

        /// Counts the rows of one layer.
        #[derive(Default)]
        struct Count(usize, AtomicUsize);

        impl WatchRows for Count {
            fn row(&self, _: &WatchedRow<'_>) {
                self.1.fetch_add(1, Ordering::Relaxed);
            }
        }

        impl Observer for Count {
            fn wants(&self, _: Point) -> Want<'_> {
                Want::Nothing
            }

            fn see(&mut self, _: Point, _: &Tensor) -> Result<Option<Tensor>> {
                Ok(None)
            }

            fn watches(&self, layer: usize) -> Option<Box<dyn WatchRows + '_>> {
                (layer == self.0).then(|| Box::new(self) as _)
            }
        }

        let row = WatchedRow {
            batch: 0,
            head: 0,
            row: 0,
            query: 0,
            first: 0,
            weights: &[1.0],
            max: 0.0,
            min: 0.0,
            log_sum: 0.0,
            null: None,
        };
        let both = Both(Count(0, AtomicUsize::new(0)), Both(Count(0, AtomicUsize::new(0)), NoHooks));
        assert!(both.watches(1).is_none());
        both.watches(0).unwrap().row(&row);
        both.1.watches(0).unwrap().row(&row);
        assert_eq!((both.0.1.into_inner(), both.1.0.1.into_inner()), (1, 2));
    }

    #[test]
    fn maps_are_wanted_only_where_one_is_observed() {
        let mut seen = Capture::new();
        seen.add(Point::block(Site::Scores, 1), Scope::default()).unwrap();
        assert!(wants_maps(&seen, 1));
        assert!(!wants_maps(&seen, 0));
        assert!(!wants_maps(&capture(Scope::default()), 0));
        let unsized_too: &mut dyn Observer = &mut seen;
        assert!(wants_maps(unsized_too, 1));
        observe(unsized_too, Z, &z()).unwrap();
    }
}
