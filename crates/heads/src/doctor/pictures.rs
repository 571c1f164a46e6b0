//! The numbers of the pictures: of every head, and of the stream by layer. Means over texts.

use serde::Serialize;

use super::Result;
use super::case::Case;
use super::sink;
use super::states::States;
use crate::result::HeadResult;

/// What is drawn beside the findings.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pictures {
    /// The largest α_k, by layer and head.
    pub sinks: Vec<Vec<Option<f64>>>,
    /// Entropy over its maximum, by layer and head.
    pub entropy: Vec<Vec<Option<f64>>>,
    /// Keys that hold a share of the weight, mean over heads.
    pub mass: Vec<MassPoint>,
    /// What enters the first block, and what leaves each.
    pub stream: Vec<StreamPoint>,
}

/// A point of the curve of mass against keys.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct MassPoint {
    /// The share of a row's mass.
    pub share: f64,
    /// The share of the visible keys that holds it, mean over heads.
    pub keys: f64,
    /// The same of uniform attention.
    pub uniform: f64,
    /// The same of random attention.
    pub random: Option<f64>,
}

/// The stream at one place.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct StreamPoint {
    /// ‖X − 1x̄ᵀ‖/‖X‖ of states of length one, without the first position.
    pub residual: Option<f64>,
    /// The mean cosine of two of them.
    pub cosine: Option<f64>,
    /// The largest |h|.
    pub largest: f64,
    /// ‖h_0‖ over the mean length of the others.
    pub peak: Option<f64>,
}

impl Case<'_> {
    /// The numbers of the pictures.
    pub fn pictures(&self) -> Result<Pictures> {
        let a = &self.model.config().architecture;
        let map = |number: &dyn Fn(&HeadResult) -> Option<f64>| {
            let of =
                |layer| (0..a.n_heads).map(|head| Some(self.of_head((layer, head), number)?.mean)).collect();
            (0..a.n_layers).map(of).collect::<Vec<Vec<Option<f64>>>>()
        };
        let mut mass = Vec::new();
        for (at, share) in crate::digest::SHARES.into_iter().enumerate() {
            let keys = |head: &HeadResult| head.mass_curve.get(at).map(|point| point.of_visible);
            let (Some(found), Some(uniform)) = (self.over_heads(keys), self.uniform(0, keys)) else {
                continue;
            };
            mass.push(MassPoint { share, keys: found.mean, uniform, random: self.random(keys)? });
        }
        let places = self.readings().iter().map(|text| text.states.len()).max().unwrap_or(0);
        let mean = |place: usize, number: &dyn Fn(&States) -> Option<f64>| {
            super::Interval::of_some(self.readings().iter().map(|text| number(text.states.get(place)?)))
                .map(|found| found.mean)
        };
        let point = |place| StreamPoint {
            residual: mean(place, &|states| states.residual),
            cosine: mean(place, &|states| states.cosine),
            largest: mean(place, &|states| Some(states.largest.0)).unwrap_or(0.0),
            peak: mean(place, &super::massive::peak),
        };
        Ok(Pictures {
            sinks: map(&sink::rate),
            entropy: map(&|head| head.mean("normalised_entropy")),
            mass,
            stream: (0..places).map(point).collect(),
        })
    }
}
