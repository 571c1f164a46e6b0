//! Which files at a path are the model.

use std::fs;
use std::path::{Path, PathBuf};

use super::source::Source;
use crate::error::{PretrainedError, Result, some};

/// The file that leads to the weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Safetensors(PathBuf),
    Index(PathBuf),
    Gguf(PathBuf),
}

/// What is expected where there is no model.
const EXPECTED: &str = "a folder with config.json and model.safetensors (or model.safetensors.index.json and its shards), \
                        a .safetensors file, or a .gguf file";

/// Finds the weights that a path names. A folder's one `model.safetensors` comes first, as in transformers.
pub(crate) fn find(path: &Path) -> Result<Found> {
    let metadata = fs::metadata(path).map_err(PretrainedError::file("open", path))?;
    if metadata.is_dir() { in_folder(path) } else { of_file(path) }
}

fn in_folder(folder: &Path) -> Result<Found> {
    let single = folder.join("model.safetensors");
    if single.is_file() {
        return Ok(Found::Safetensors(single));
    }
    let index = folder.join("model.safetensors.index.json");
    if index.is_file() {
        return Ok(Found::Index(index));
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(PretrainedError::file("list", folder))? {
        let entry = entry.map_err(PretrainedError::file("list", folder))?;
        names.extend(entry.file_name().into_string());
    }
    names.sort();
    let ending = |ends: &[&str]| -> Vec<String> {
        let ends_so = |name: &&String| ends.iter().any(|end| name.to_lowercase().ends_with(end));
        names.iter().filter(ends_so).cloned().collect()
    };
    let refuse = |found: String, expected: &str| {
        Err(PretrainedError::NotAModel { path: folder.to_owned(), found, expected: expected.to_owned() })
    };

    let safetensors = ending(&[".safetensors"]);
    if safetensors.iter().any(|name| name.starts_with("adapter_")) {
        let expected = "a whole model: merge the adapter into the model that it was trained on (`merge_and_unload` in peft)";
        return refuse("an adapter without its model".to_owned(), expected);
    }
    match &safetensors[..] {
        [] => {}
        [one] => return Ok(Found::Safetensors(folder.join(one))),
        several => {
            let expected =
                "one of them, or model.safetensors.index.json that says which holds what; name the file";
            return refuse(format!("{} files of weights: {}", several.len(), some(several)), expected);
        }
    }
    match &ending(&[".gguf"])[..] {
        [] => {}
        [one] => return Ok(Found::Gguf(folder.join(one))),
        several => return refuse(format!("several GGUF files: {}", some(several)), "one; name the file"),
    }
    if let Some(pickle) = ending(PICKLES).first() {
        return Err(pickled(&folder.join(pickle)));
    }
    let found = if names.is_empty() {
        "an empty folder".to_owned()
    } else {
        format!("no weights among {}", some(&names))
    };
    refuse(found, EXPECTED)
}

/// What files of pickled weights end in.
const PICKLES: &[&str] = &[".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"];

fn of_file(file: &Path) -> Result<Found> {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_lowercase();
    if name.ends_with(".index.json") {
        return Ok(Found::Index(file.to_owned()));
    }
    if name.ends_with(".safetensors") {
        return Ok(Found::Safetensors(file.to_owned()));
    }
    if name.ends_with(".gguf") {
        return Ok(Found::Gguf(file.to_owned()));
    }
    // A file of another name is known by its first bytes, such as one in the Hub's cache.
    let source = Source::open(file)?;
    let mut first = [0; 10];
    let n = source.len().min(10);
    source.read_at(&mut first[..usize::try_from(n).unwrap_or(0)], 0)?;
    if first.starts_with(b"GGUF") {
        return Ok(Found::Gguf(file.to_owned()));
    }
    if first[8] == b'{' && u64::from_le_bytes([0, 1, 2, 3, 4, 5, 6, 7].map(|i| first[i])) < source.len() {
        return Ok(Found::Safetensors(file.to_owned()));
    }
    // torch.save writes a ZIP archive, and before version 1.6 a bare pickle.
    let pickle = first.starts_with(b"PK\x03\x04") || (first[0] == 0x80 && first[1] <= 5);
    if pickle || PICKLES.iter().any(|end| name.ends_with(end)) {
        return Err(pickled(file));
    }
    Err(PretrainedError::NotAModel {
        path: file.to_owned(),
        found: "a file that is no model".to_owned(),
        expected: EXPECTED.to_owned(),
    })
}

/// The refusal of a pickle, with the command that converts it.
fn pickled(file: &Path) -> PretrainedError {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    // All parts of a model in several files.
    let parts = match name.split_once("-0").filter(|_| name.contains("-of-")) {
        Some((stem, _)) => folder.join(format!("{stem}-*-of-*")),
        None => file.to_owned(),
    };
    let convert = format!(
        "python3 -c \"import glob, torch, safetensors.torch as s; w = {{}}; [w.update(torch.load(f, map_location='cpu', \
         weights_only=True)) for f in glob.glob('{}')]; s.save_file({{k: v.clone().contiguous() for k, v in w.items()}}, \
         '{}', {{'format': 'pt'}})\"",
        parts.display(),
        folder.join("model.safetensors").display()
    );
    PretrainedError::Pickle { path: file.to_owned(), convert }
}
