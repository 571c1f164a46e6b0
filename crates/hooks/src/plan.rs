//! From what a user asks for to what a model can do: specs, resolved before the run and accounted for after it.

use candle_core::Tensor;

use crate::capture::Capture;
use crate::edits::{Change, Edits};
use crate::error::{HookError, Result};
use crate::observer::{Both, Observer, Want};
use crate::pattern::PointPattern;
use crate::scope::{Scope, Select};
use crate::site::{Heads, Point, Site};

/// What a model has, so that a hook it cannot fire is refused before the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anatomy {
    /// Number of blocks.
    pub n_layers: usize,
    /// Number of query heads.
    pub n_heads: usize,
    /// Number of key/value heads.
    pub n_kv_heads: usize,
    /// Sites this model never fires (RotQ without a rotating encoding, ResidMid in a parallel block).
    pub absent: Vec<Site>,
    /// Points it never fires, of sites that other blocks do (RotQ of a block without positions).
    pub absent_points: Vec<Point>,
}

/// What to do at a point.
#[derive(Clone, Debug)]
pub enum Action {
    /// Keep its value.
    Capture,
    /// Change its value.
    Edit(Change),
}

/// One wish: a point by name (see [`PointPattern`]), a scope, and what to do there.
#[derive(Clone, Debug)]
pub struct HookSpec {
    /// The name, whose layer may be `*` or a set: `blocks.{0,3-5}.attn.hook_z`.
    pub point: String,
    /// The part of it.
    pub scope: Scope,
    /// What to do there.
    pub action: Action,
}

impl HookSpec {
    /// Keeps all of a point.
    pub fn capture(point: impl Into<String>) -> Self {
        Self { point: point.into(), scope: Scope::default(), action: Action::Capture }
    }

    /// Changes all of a point.
    pub fn edit(point: impl Into<String>, change: Change) -> Self {
        Self { point: point.into(), scope: Scope::default(), action: Action::Edit(change) }
    }

    /// Only these heads.
    #[must_use]
    pub fn heads(mut self, heads: impl Into<Select>) -> Self {
        self.scope.heads = heads.into();
        self
    }

    /// Only these query rows (positions).
    #[must_use]
    pub fn rows(mut self, rows: impl Into<Select>) -> Self {
        self.scope.rows = rows.into();
        self
    }

    /// Only these entries of the batch.
    #[must_use]
    pub fn batch(mut self, batch: impl Into<Select>) -> Self {
        self.scope.batch = batch.into();
        self
    }

    /// The points meant in this model, if it has them all and the scope fits them.
    fn resolve(&self, anatomy: &Anatomy) -> Result<Vec<Point>> {
        let name = || self.point.clone();
        let pattern: PointPattern = self.point.parse()?;
        let site = pattern.site();
        if anatomy.absent.contains(&site) {
            return Err(HookError::Absent { name: name(), why: site.absent_because() });
        }
        let Scope { batch, heads, rows } = &self.scope;
        for (axis, select) in [("batch", batch), ("heads", heads), ("rows", rows)] {
            if !select.is_proper() {
                return Err(HookError::BadSelection { name: name(), axis, found: select.indices(0) });
            }
        }
        let axes = site.axes();
        let (n_heads, kind) = match axes.heads {
            Heads::None if *heads != Select::All => {
                return Err(HookError::NoHeads { name: name(), axes: axes.text });
            }
            Heads::None => (usize::MAX, "heads"),
            Heads::Query(_) => (anatomy.n_heads, "query heads"),
            Heads::KeyValue(_) => (anatomy.n_kv_heads, "key/value heads"),
        };
        if let Some(head) = heads.last().filter(|head| *head >= n_heads) {
            return Err(HookError::NoSuchHead { name: name(), head, n_heads, kind });
        }
        if let Action::Edit(change) = &self.action
            && let Err(why) = change.check(site, &self.scope)
        {
            return Err(HookError::BadChange { name: name(), change: change.name(), why });
        }
        let points = pattern.points(anatomy.n_layers)?;
        if let Some(point) = points.iter().find(|point| anatomy.absent_points.contains(point)) {
            return Err(HookError::Absent { name: point.to_string(), why: site.absent_because() });
        }
        if points.is_empty() {
            return Err(HookError::Absent { name: name(), why: "it has no blocks" });
        }
        Ok(points)
    }
}

/// Resolved wishes: an [`Observer`] that edits first and captures what the edits left.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    observers: Both<Edits, Capture>,
}

impl Plan {
    /// Resolves every spec against the model; the first that does not fit is an error.
    pub fn resolve(specs: &[HookSpec], anatomy: &Anatomy) -> Result<Self> {
        let mut plan = Self::default();
        for spec in specs {
            for point in spec.resolve(anatomy)? {
                match &spec.action {
                    Action::Capture => plan.observers.1.add(point, spec.scope.clone())?,
                    Action::Edit(change) => {
                        plan.observers.0.add(point, spec.scope.clone(), change.clone())?
                    }
                }
            }
        }
        Ok(plan)
    }

    /// The edits.
    pub fn edits(&self) -> &Edits {
        &self.observers.0
    }

    /// The captured values.
    pub fn capture(&self) -> &Capture {
        &self.observers.1
    }

    /// The captured values, to be taken out between runs.
    pub fn capture_mut(&mut self) -> &mut Capture {
        &mut self.observers.1
    }

    /// The captured values, for good.
    pub fn into_capture(self) -> Capture {
        self.observers.1
    }

    /// Call after the run: a point that was asked for and never fired is an error.
    pub fn finish(&self) -> Result<()> {
        let Both(edits, capture) = &self.observers;
        let mut silent: Vec<Point> = edits.never_fired().chain(capture.never_fired()).collect();
        silent.sort_unstable();
        silent.dedup();
        if silent.is_empty() {
            return Ok(());
        }
        let points: Vec<String> = silent.iter().map(ToString::to_string).collect();
        Err(HookError::NeverFired { points: points.join(", ") })
    }
}

impl Observer for Plan {
    fn wants(&self, point: Point) -> Want<'_> {
        self.observers.wants(point)
    }

    fn see(&mut self, point: Point, value: &Tensor) -> Result<Option<Tensor>> {
        self.observers.see(point, value)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use candle_core::Device;

    use super::*;
    use crate::observer::observe;

    fn anatomy() -> Anatomy {
        Anatomy {
            n_layers: 3,
            n_heads: 4,
            n_kv_heads: 2,
            absent: vec![Site::RotQ, Site::ResidMid],
            absent_points: vec![Point::block(Site::RotK, 1)],
        }
    }

    fn refused(spec: HookSpec) -> String {
        Plan::resolve(&[spec], &anatomy()).unwrap_err().to_string()
    }

    #[test]
    fn a_layer_or_head_the_model_lacks_is_refused_before_the_run() {
        assert!(refused(HookSpec::capture("blocks.3.attn.hook_z")).contains("layers 0 to 2"));
        assert!(refused(HookSpec::capture("blocks.{0-3}.attn.hook_z")).contains("layer 3 does not exist"));
        assert!(refused(HookSpec::capture("blocks.0.attn.hook_q").heads([4])).contains("query heads 0 to 3"));
        assert!(
            refused(HookSpec::capture("blocks.0.attn.hook_k").heads([2])).contains("key/value heads 0 to 1")
        );
        assert!(Plan::resolve(&[HookSpec::capture("blocks.0.attn.hook_q").heads([3])], &anatomy()).is_ok());
    }

    #[test]
    fn a_point_the_model_cannot_fire_is_refused_with_the_reason() {
        assert!(refused(HookSpec::capture("blocks.0.attn.hook_rot_q")).contains("does not rotate"));
        assert!(refused(HookSpec::capture("blocks.*.hook_resid_mid")).contains("in parallel"));
        assert!(refused(HookSpec::capture("blocks.*.attn.hook_rot_k")).contains("blocks.1.attn.hook_rot_k"));
        assert!(Plan::resolve(&[HookSpec::capture("blocks.{0,2}.attn.hook_rot_k")], &anatomy()).is_ok());
        let empty = Anatomy { n_layers: 0, ..anatomy() };
        assert!(Plan::resolve(&[HookSpec::capture("blocks.*.attn.hook_z")], &empty).is_err());
    }

    #[test]
    fn a_scope_that_does_not_fit_is_refused() {
        assert!(refused(HookSpec::capture("hook_embed").heads([0])).contains("no head axis"));
        let empty: [usize; 0] = [];
        assert!(refused(HookSpec::capture("hook_embed").rows(empty)).contains("rows selection []"));
        let spec = HookSpec::capture("hook_embed").batch(Select::List(vec![1, 0]));
        assert!(refused(spec).contains("must be ascending"));
        assert!(
            refused(HookSpec::edit("blocks.0.attn.hook_attn_scores", Change::Zero)).contains("undo the mask")
        );
    }

    #[test]
    fn a_point_is_captured_once() {
        let specs =
            [HookSpec::capture("blocks.*.attn.hook_z").heads([0]), HookSpec::capture("blocks.1.attn.hook_z")];
        let error = Plan::resolve(&specs, &anatomy()).unwrap_err().to_string();
        assert!(error.contains("`blocks.1.attn.hook_z` is captured twice"), "{error}");
    }

    #[test]
    fn a_spec_that_never_fired_is_an_error_after_the_run() {
        let specs = [
            HookSpec::capture("blocks.*.hook_mlp_out"),
            HookSpec::edit("blocks.0.hook_mlp_out", Change::Scale(2.0)),
        ];
        let mut plan = Plan::resolve(&specs, &anatomy()).unwrap();
        let x = Tensor::ones((1, 2, 3), candle_core::DType::F32, &Device::Cpu).unwrap();
        for layer in [0, 2] {
            observe(&mut plan, Point::block(Site::MlpOut, layer), &x).unwrap();
        }
        let error = plan.finish().unwrap_err().to_string();
        assert!(error.contains("blocks.1.hook_mlp_out") && !error.contains("blocks.0"), "{error}");
        observe(&mut plan, Point::block(Site::MlpOut, 1), &x).unwrap();
        plan.finish().unwrap();
        // The capture sees the edited value.
        let seen = plan.capture().get(Point::block(Site::MlpOut, 0)).unwrap();
        assert_eq!(seen.sum_all().unwrap().to_scalar::<f32>().unwrap(), 12.);
        let error = plan.capture().get(Point::block(Site::Z, 0)).unwrap_err().to_string();
        assert!(error.contains("captured are: blocks.0.hook_mlp_out"), "{error}");
    }

    #[test]
    fn an_edit_that_never_fired_is_an_error_too() {
        let plan = Plan::resolve(&[HookSpec::edit("hook_embed", Change::Zero)], &anatomy()).unwrap();
        assert!(plan.finish().unwrap_err().to_string().contains("hook_embed"));
    }
}
