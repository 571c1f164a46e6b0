//! `inspect --dump` against what Hugging Face transformers computes from the same folder, for every family.

use std::fs;
use std::path::{Path, PathBuf};

use crate::lab::{Lab, TINY};
use crate::tensors::Tensors;

/// The largest difference that is allowed.
const TOLERANCE: f64 = 1e-4;

/// Tiny checkpoints of every family, with what transformers computes.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../pretrained/tests/parity").canonicalize().unwrap()
}

/// What differs between a folder's expectation and the dump of it.
fn differences(lab: &Lab, folder: &Path) -> Vec<String> {
    let expected = Tensors::open(&folder.join("expected.safetensors"));
    let tokens = expected.get("input_ids").unwrap().rows();
    let types = expected.get("token_type_ids").map(|types| types.rows());
    let (folder, file) = (folder.to_str().unwrap(), lab.path("dump.safetensors"));
    let mut arguments = vec!["inspect", folder, "--tokens", &tokens, "--threads", "2", "--dump"];
    arguments.push(file.to_str().unwrap());
    if let Some(types) = &types {
        arguments.extend(["--token-types", types]);
    }
    let ended = lab.attnlab(&arguments);
    if ended.code != Some(0) {
        return vec![format!("{folder}: {}", ended.stderr)];
    }
    let found = Tensors::open(&file);
    fs::remove_file(&file).unwrap();
    let mut wrong = Vec::new();
    for name in ["input_ids", "attentions", "hidden_states", "last_hidden_state", "logits"] {
        match (expected.get(name), found.get(name)) {
            (Some(expected), Some(found)) => {
                let off = expected.off_by(&found);
                if off > TOLERANCE {
                    let shapes = format!("{:?} and {:?}", found.shape, expected.shape);
                    wrong.push(format!("{folder}: {name}, {shapes}: off by {off:.2e}"));
                }
            }
            (Some(_), None) => wrong.push(format!("{folder}: there is no {name}")),
            // A head that transformers' class for this folder leaves out, or nothing at all.
            (None, _) => {}
        }
    }
    wrong
}

#[test]
fn the_dump_of_every_family_is_what_transformers_computes() {
    let lab = Lab::new(TINY);
    let folders: Vec<PathBuf> = fs::read_dir(root())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("expected.safetensors").exists())
        .collect();
    assert!(folders.len() > 100, "only {} folders", folders.len());
    let wrong: Vec<String> = folders.iter().flat_map(|folder| differences(&lab, folder)).collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), folders.len(), wrong.join("\n"));
}
