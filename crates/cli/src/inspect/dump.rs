//! `--dump FILE`: what a model computed, as tensors.

use anyhow::Result;
use attnlab_heads::{MapRecorder, MapScope};
use attnlab_hooks::{Both, HookSpec, Plan, Point, PointPattern, Select, Site};
use attnlab_model::Pass;
use attnlab_ops as ops;
use candle_core::{Device, Tensor};

use super::tensors::{Entry, Values};
use crate::Usage;
use crate::model::Model;
use crate::texts::Text;

/// `input_ids` (B,T), `attentions` (L,B,H,T,T), `hidden_states` (L+1,B,T,D), `last_hidden_state` (B,T,D), `logits`
/// (B,T,V) of a model with a head, and the activations at `points` under their own names.
pub(super) fn entries(
    model: &Model,
    texts: &[Text],
    scope: &MapScope,
    points: &[String],
) -> Result<Vec<Entry>> {
    let transformer = &model.transformer;
    let lengths: Vec<usize> = texts.iter().map(|text| text.ids.len()).collect();
    let (batch, len) = (lengths.len(), lengths.first().copied().unwrap_or(0));
    if lengths.iter().any(|&other| other != len) {
        let problem = format!(
            "--dump writes one batch, and these texts have {lengths:?} tokens; give texts of one length"
        );
        return Err(Usage(problem).into());
    }
    let rows = |of: fn(&Text) -> Vec<u32>| -> Result<Tensor> {
        Ok(Tensor::from_vec(texts.iter().flat_map(of).collect::<Vec<u32>>(), (batch, len), &Device::Cpu)?)
    };
    let tokens = rows(|text| text.ids.clone())?;
    let has_segments = texts.iter().any(|text| text.segments.is_some());
    let segments = match has_segments {
        true => Some(rows(|text| text.segments.clone().unwrap_or_else(|| vec![0; text.ids.len()]))?),
        false => None,
    };

    let anatomy = transformer.anatomy();
    // The streams are captured in any case; asked for by name, they go into the file by name, too.
    let mut specs = vec![HookSpec::capture("blocks.*.hook_resid_pre")];
    let mut streams = Vec::new();
    for point in points {
        match point.parse::<PointPattern>() {
            Ok(pattern) if pattern.site() == Site::ResidPre => {
                streams.extend(pattern.points(anatomy.n_layers)?)
            }
            _ => {
                let mut spec = HookSpec::capture(point.as_str());
                spec.scope.rows = scope.rows.clone();
                specs.push(spec);
            }
        }
    }
    let plan = Plan::resolve(&specs, &anatomy)?;
    let recorder = MapRecorder::new(scope, (anatomy.n_layers, anatomy.n_heads), (batch, len));
    let mut observer = Both(plan, recorder);
    let pass = Pass { segments: segments.as_ref(), ..Pass::new(&tokens) };
    let last = ops::without_gradients(|| transformer.run(pass, &mut observer))?;
    let Both(plan, recorder) = observer;
    plan.finish()?;

    let ids = texts.iter().flat_map(|text| text.ids.iter().map(|&id| i64::from(id))).collect();
    let mut entries =
        vec![Entry { name: "input_ids".into(), shape: vec![batch, len], values: Values::I64(ids) }];
    let shape = recorder.shape().to_vec();
    entries.push(Entry { name: "attentions".into(), shape, values: Values::F32(recorder.into_maps()) });
    let of_layer = |layer| plan.capture().get(Point::block(Site::ResidPre, layer));
    let mut hidden: Vec<Tensor> = Vec::new();
    for layer in 0..anatomy.n_layers {
        hidden.push(of_layer(layer)?.clone());
    }
    // Of a model that ends narrower than its stream the last one is left out, as it cannot be stacked.
    if hidden.first().is_none_or(|first| first.dims() == last.dims()) {
        hidden.push(last.clone());
    }
    entries.push(Entry::tensor("hidden_states", Tensor::stack(&hidden, 0)?));
    entries.push(Entry::tensor("last_hidden_state", last.clone()));
    if transformer.config().n_outputs > 0 {
        entries.push(Entry::tensor("logits", ops::without_gradients(|| transformer.logits(&last))?));
    }
    for point in plan.capture().points() {
        if point.site != Site::ResidPre || streams.contains(&point) {
            entries.push(Entry::tensor(point.to_string(), plan.capture().get(point)?.clone()));
        }
    }
    Ok(entries)
}

/// `0,2,5-7` as a selection.
pub(crate) fn selection(what: &str, text: Option<&str>, size: usize) -> Result<Select> {
    let Some(text) = text.filter(|text| *text != "all") else { return Ok(Select::All) };
    let problem = || Usage(format!("--{what} {text}: expected numbers and ranges such as 0,2,5-7"));
    let mut all = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let first: usize = first.trim().parse().map_err(|_| problem())?;
        let last: usize = last.trim().parse().map_err(|_| problem())?;
        if last >= size || first > last {
            let most = size.saturating_sub(1);
            return Err(Usage(format!("--{what} {text}: {part} is not between 0 and {most}")).into());
        }
        all.extend(first..=last);
    }
    Ok(Select::from(all))
}
