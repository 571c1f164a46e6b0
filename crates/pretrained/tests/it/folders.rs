use std::fs;
use std::path::Path;

use attnlab_pretrained::{Checkpoint, ModelFiles, PretrainedError};
use tempfile::TempDir;

#[test]
fn a_pickle_is_refused_with_the_way_to_convert_it() {
    for name in ["pytorch_model.bin", "pytorch_model-00001-of-00002.bin", "model.pt", "weights.pth"] {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("config.json"), "{}").unwrap();
        fs::write(folder.path().join(name), b"PK\x03\x04rest").unwrap();
        for path in [folder.path().to_owned(), folder.path().join(name)] {
            let error = Checkpoint::open(&path).unwrap_err();
            assert!(matches!(error, PretrainedError::Pickle { .. }), "{error}");
            let message = error.to_string();
            assert!(
                message.contains("weights_only=True") && message.contains("model.safetensors"),
                "{message}"
            );
        }
    }
}

#[test]
fn a_pickle_under_another_name_is_known_by_its_bytes() {
    let folder = TempDir::new().unwrap();
    for bytes in [&b"PK\x03\x04archive"[..], b"\x80\x02}q\x00."] {
        let path = folder.path().join("weights");
        fs::write(&path, bytes).unwrap();
        assert!(matches!(Checkpoint::open(&path).unwrap_err(), PretrainedError::Pickle { .. }));
    }
}

#[test]
fn what_is_no_model_is_told_what_is_expected() {
    let folder = TempDir::new().unwrap();
    let message = |path: &Path| Checkpoint::open(path).unwrap_err().to_string();
    assert!(message(folder.path()).contains("an empty folder"));
    let text = folder.path().join("notes.txt");
    fs::write(&text, "not a model").unwrap();
    assert!(message(folder.path()).contains("no weights among `notes.txt`"));
    assert!(message(&text).contains("a file that is no model; expected a folder with config.json"));
    assert!(message(&folder.path().join("nowhere")).contains("could not open"));
    fs::write(folder.path().join("adapter_model.safetensors"), "").unwrap();
    assert!(message(folder.path()).contains("merge the adapter"));
}

#[cfg(unix)]
#[test]
fn a_device_is_not_opened() {
    let folder = TempDir::new().unwrap();
    std::os::unix::fs::symlink("/dev/zero", folder.path().join("weights.safetensors")).unwrap();
    let message = Checkpoint::open(folder.path()).unwrap_err().to_string();
    assert!(message.contains("neither a file nor a folder"), "{message}");
}

#[test]
fn a_model_is_its_configuration_and_its_weights() {
    let folder = TempDir::new().unwrap();
    let weights = folder.path().join("model.safetensors");
    fs::write(&weights, crate::write::safetensors(&[("w", &[1], &[1.0])])).unwrap();
    let open = || ModelFiles::open(folder.path());
    assert!(open().unwrap_err().to_string().contains("config.json: not there"));
    for text in ["", "[]", "{\"a\": 1", "3"] {
        fs::write(folder.path().join("config.json"), text).unwrap();
        assert!(open().unwrap_err().to_string().contains("config.json: "));
    }
    fs::write(folder.path().join("config.json"), "{\"model_type\": \"gpt2\"}").unwrap();
    assert_eq!(open().unwrap().config.maybe_text("model_type").unwrap().as_deref(), Some("gpt2"));
    assert_eq!(ModelFiles::open(&weights).unwrap().checkpoint.names().count(), 1);
}
