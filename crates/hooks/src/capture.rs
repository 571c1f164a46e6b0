//! The observer that keeps what it sees.

use std::collections::BTreeMap;

use candle_core::Tensor;

use crate::error::{HookError, Result};
use crate::observer::{Observer, Want};
use crate::scope::Scope;
use crate::site::Point;

/// Collects the requested parts of the requested points, once per firing.
///
/// Values stay attached to the graph, so that a loss can be differentiated with respect to them; `detach` them
/// if they are to outlive the run cheaply.
#[derive(Clone, Debug, Default)]
pub struct Capture {
    wanted: BTreeMap<Point, Wanted>,
}

#[derive(Clone, Debug)]
struct Wanted {
    scope: Scope,
    values: Vec<Tensor>,
}

impl Capture {
    /// Captures nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Also captures `scope` of `point`. A point can be asked for once.
    pub fn add(&mut self, point: Point, scope: Scope) -> Result<()> {
        if self.wanted.insert(point, Wanted { scope, values: Vec::new() }).is_some() {
            return Err(HookError::CapturedTwice { point: point.to_string() });
        }
        Ok(())
    }

    /// The points asked for, whether they fired or not.
    pub fn points(&self) -> impl Iterator<Item = Point> + '_ {
        self.wanted.keys().copied()
    }

    /// The scope asked for at `point`.
    pub fn scope(&self, point: Point) -> Option<&Scope> {
        self.wanted.get(&point).map(|wanted| &wanted.scope)
    }

    /// The value of a point that fired exactly once.
    pub fn get(&self, point: Point) -> Result<&Tensor> {
        match self.values(point)? {
            [value] => Ok(value),
            [] => Err(HookError::NeverFired { points: point.to_string() }),
            many => Err(HookError::FiredOften { point: point.to_string(), times: many.len() }),
        }
    }

    /// All values of a point, in the order of firing: one per forward pass.
    pub fn values(&self, point: Point) -> Result<&[Tensor]> {
        match self.wanted.get(&point) {
            Some(wanted) => Ok(&wanted.values),
            None => {
                let captured: Vec<String> = self.points().map(|p| p.to_string()).collect();
                Err(HookError::NotCaptured { point: point.to_string(), captured: captured.join(", ") })
            }
        }
    }

    /// Takes the values out and leaves the requests, ready for the next run.
    pub fn take(&mut self) -> BTreeMap<Point, Vec<Tensor>> {
        self.wanted.iter_mut().map(|(point, wanted)| (*point, std::mem::take(&mut wanted.values))).collect()
    }

    /// The points that have no value.
    pub fn never_fired(&self) -> impl Iterator<Item = Point> + '_ {
        self.wanted.iter().filter(|(_, wanted)| wanted.values.is_empty()).map(|(point, _)| *point)
    }
}

impl Observer for Capture {
    fn wants(&self, point: Point) -> Want<'_> {
        self.wanted.get(&point).map_or(Want::Nothing, |wanted| Want::Look(&wanted.scope))
    }

    fn see(&mut self, point: Point, value: &Tensor) -> Result<Option<Tensor>> {
        if let Some(wanted) = self.wanted.get_mut(&point) {
            wanted.values.push(value.clone());
        }
        Ok(None)
    }
}
