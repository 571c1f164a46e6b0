//! Statistics of the attention maps that hooks captured.

use attnlab_hooks::{Capture, Point, Scope, Site};

use crate::error::Result;
use crate::statistics::{HeadStatistics, Mask, Tally};

/// The statistics of one captured head.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct CapturedHead {
    /// The block.
    pub layer: usize,
    /// The query head.
    pub head: usize,
    /// Its statistics over all captured sequences and rows.
    pub statistics: HeadStatistics,
}

/// The statistics of every head whose pattern was captured, by layer and head, over all forward passes.
///
/// Scopes are heeded: a head keeps its number, and a row its position, when only some were captured.
pub fn captured_statistics(capture: &Capture, mask: Mask) -> Result<Vec<CapturedHead>> {
    let mut all = Vec::new();
    for point in capture.points() {
        let Point { site: Site::Pattern, layer: Some(layer) } = point else { continue };
        let whole = Scope::default();
        let scope = capture.scope(point).unwrap_or(&whole);
        let mut tally = Tally::new(mask);
        for pattern in capture.values(point)? {
            // Of self-attention, whose queries are all of the keys' tokens unless the scope chose rows.
            let keys = pattern.dims().last().copied().unwrap_or_default();
            tally.add(pattern, &scope.rows.indices(keys))?;
        }
        let statistics = tally.statistics();
        let heads = scope.heads.indices(statistics.len());
        all.extend(heads.into_iter().zip(statistics).map(|(head, statistics)| CapturedHead {
            layer,
            head,
            statistics,
        }));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use attnlab_hooks::{Anatomy, HookSpec, Plan, observe};
    use candle_core::{Device, Tensor};

    use super::*;
    use crate::statistics::head_statistics;

    #[test]
    fn captured_heads_and_rows_keep_their_numbers() {
        let previous = [[1f32, 0., 0.], [1., 0., 0.], [0., 1., 0.]];
        let current = [[1f32, 0., 0.], [0., 1., 0.], [0., 0., 1.]];
        let pattern = Tensor::new(&[[previous, current]], &Device::Cpu).unwrap();
        let anatomy =
            Anatomy { n_layers: 2, n_heads: 2, n_kv_heads: 2, absent: vec![], absent_points: vec![] };
        let specs = [
            HookSpec::capture("blocks.0.attn.hook_pattern").heads([1]).rows([2]),
            HookSpec::capture("blocks.1.attn.hook_pattern"),
            HookSpec::capture("blocks.1.attn.hook_z"),
        ];
        let mut plan = Plan::resolve(&specs, &anatomy).unwrap();
        for layer in [0, 1] {
            observe(&mut plan, Point::block(Site::Pattern, layer), &pattern).unwrap();
        }
        let heads = captured_statistics(plan.capture(), Mask::Causal).unwrap();
        let places: Vec<_> = heads.iter().map(|h| (h.layer, h.head, h.statistics.rows)).collect();
        assert_eq!(places, [(0, 1, 1), (1, 0, 3), (1, 1, 3)]);
        assert_eq!(heads[0].statistics.get("current_token"), Some(1.0));
        assert_eq!(heads[1].statistics.get("previous_token"), Some(1.0));
        let direct = head_statistics(&pattern, Mask::Causal).unwrap();
        assert_eq!(heads[2].statistics, direct[1]);
    }
}
