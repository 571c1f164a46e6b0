//! Tiny checkpoints of every family against what Hugging Face transformers computes from them: `parity/README.md`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use attnlab_hooks::{HookSpec, Plan, Point, Site};
use attnlab_model::Pass;
use attnlab_pretrained::{ModelFiles, Pretrained, families, load};
use candle_core::{DType, Device, Tensor};

/// The largest difference that is allowed.
const TOLERANCE: f64 = 1e-4;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity")
}

fn folders() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = std::fs::read_dir(root())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    folders
}

fn open(folder: &Path, dtype: DType) -> attnlab_pretrained::Result<Pretrained> {
    load(ModelFiles::open(folder)?, dtype)
}

/// What transformers computed, and what is computed here, of the same name.
fn compared(folder: &Path) -> attnlab_pretrained::Result<Vec<(&'static str, Tensor, Tensor)>> {
    let expected = candle_core::safetensors::load(folder.join("expected.safetensors"), &Device::Cpu)?;
    let model = open(folder, DType::F32)?.model;
    let layers = model.config().architecture.n_layers;
    let specs =
        [HookSpec::capture("blocks.*.attn.hook_pattern"), HookSpec::capture("blocks.*.hook_resid_pre")];
    let mut plan = Plan::resolve(&specs, &model.anatomy()).unwrap();
    let tokens = expected["input_ids"].to_dtype(DType::U32)?;
    let segments = expected.get("token_type_ids").map(|ids| ids.to_dtype(DType::U32)).transpose()?;
    let pass = Pass { segments: segments.as_ref(), ..Pass::new(&tokens) };
    let last = attnlab_ops::without_gradients(|| model.run(pass, &mut plan))?;
    let each = |site| -> Vec<Tensor> {
        (0..layers).map(|l| plan.capture().get(Point::block(site, l)).unwrap().clone()).collect()
    };
    let mut hidden = each(Site::ResidPre);
    // Of a model that ends narrower than its stream, transformers' list cannot be stacked with the last.
    if last.dims() == hidden[0].dims() {
        hidden.push(last.clone());
    }
    let mut all = vec![
        ("attentions", Tensor::stack(&each(Site::Pattern), 0)?),
        ("hidden_states", Tensor::stack(&hidden, 0)?),
        ("last_hidden_state", last.clone()),
    ];
    if expected.contains_key("logits") {
        all.push(("logits", model.logits(&last)?));
    }
    Ok(all.into_iter().map(|(name, found)| (name, expected[name].clone(), found)).collect())
}

fn largest_difference(a: &Tensor, b: &Tensor) -> f64 {
    let (a, b) = (a.to_dtype(DType::F64).unwrap(), b.to_dtype(DType::F64).unwrap());
    let values = (a - b).unwrap().abs().unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
    // A NaN must not pass for small.
    values.into_iter().fold(0.0, |worst, x| if x.is_nan() { f64::INFINITY } else { worst.max(x) })
}

#[test]
fn every_family_computes_what_transformers_does() {
    let (mut failures, mut worst) = (Vec::new(), BTreeMap::<&str, f64>::new());
    for folder in folders() {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        match compared(&folder) {
            Err(error) => failures.push(format!("{name}: {error}")),
            Ok(pairs) => {
                for (what, expected, found) in pairs {
                    if expected.dims() != found.dims() {
                        failures.push(format!(
                            "{name}: {what}: {:?} and not {:?}",
                            found.dims(),
                            expected.dims()
                        ));
                        continue;
                    }
                    let difference = largest_difference(&expected, &found);
                    if difference > TOLERANCE {
                        failures.push(format!("{name}: {what}: off by {difference:.2e}"));
                    }
                    let worst = worst.entry(what).or_default();
                    *worst = worst.max(difference);
                }
            }
        }
    }
    eprintln!("largest differences: {worst:?}");
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn every_family_has_a_checkpoint_that_is_compared() {
    let types: Vec<String> = folders()
        .iter()
        .map(|folder| ModelFiles::open(folder).unwrap().config.maybe_text("model_type").unwrap().unwrap())
        .collect();
    for family in families::registry() {
        assert!(types.iter().any(|found| family.model_types.contains(&found.as_str())), "{}", family.title);
    }
}
