//! The caches of a core, where Linux tells: steps in time against length often are those in what fits one.

use std::fs;
use std::path::Path;

use attnlab_report::cost::Cache;

/// Data caches of the first core, smallest first; none where the system does not say.
pub(super) fn caches() -> Vec<Cache> {
    read(Path::new("/sys/devices/system/cpu/cpu0/cache"))
}

fn read(folder: &Path) -> Vec<Cache> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut caches: Vec<Cache> = entries.flatten().filter_map(|entry| cache(&entry.path())).collect();
    caches.sort_by_key(|cache| cache.bytes);
    caches
}

fn cache(folder: &Path) -> Option<Cache> {
    let text = |name: &str| Some(fs::read_to_string(folder.join(name)).ok()?.trim().to_owned());
    if text("type")? == "Instruction" {
        return None;
    }
    let size = text("size")?;
    let digits = size.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = match &size[digits.len()..] {
        "" => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        _ => return None,
    };
    Some(Cache {
        name: format!("L{}", text("level")?),
        bytes: digits.parse::<u64>().ok()?.checked_mul(unit)?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn data_caches_are_read_smallest_first() {
        let folder = tempfile::tempdir().unwrap();
        let all = [("0", "1", "Data", "32K"), ("1", "1", "Instruction", "32K"), ("2", "3", "Unified", "32M")];
        for (at, level, kind, size) in all {
            let index = folder.path().join(format!("index{at}"));
            fs::create_dir(&index).unwrap();
            for (name, text) in [("level", level), ("type", kind), ("size", size)] {
                fs::write(index.join(name), format!("{text}\n")).unwrap();
            }
        }
        fs::write(folder.path().join("uevent"), "").unwrap();
        let found: Vec<(String, u64)> = read(folder.path()).into_iter().map(|c| (c.name, c.bytes)).collect();
        assert_eq!(found, [("L1".to_owned(), 32 << 10), ("L3".to_owned(), 32 << 20)]);
        assert!(read(&folder.path().join("nowhere")).is_empty());
    }
}
