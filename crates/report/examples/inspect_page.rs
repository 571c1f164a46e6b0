//! `cargo run -p attnlab-report --example inspect_page -- FOLDER [NAME…]` writes inspection pages of made-up heads: `small`
//! (with a second model and text), `grid` (12 × 12 heads), `large` (1,000 heads at 512 tokens) and `long` (32,768 tokens).
#![allow(clippy::unwrap_used, missing_docs, dead_code, unreachable_pub)]

#[path = "../tests/it/synthetic.rs"]
mod synthetic;

use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;
use std::time::Instant;

use synthetic::Size;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("which folder?")?);
    let chosen: Vec<String> = arguments.collect();
    std::fs::create_dir_all(&folder)?;
    let pages = [
        ("small", Size { layers: 4, heads: 6, tokens: 40, map_every: 1, extras: true }, true),
        ("grid", Size { layers: 12, heads: 12, tokens: 128, map_every: 1, extras: false }, true),
        ("large", Size { layers: 40, heads: 25, tokens: 512, map_every: 1, extras: false }, false),
        ("long", Size { layers: 16, heads: 32, tokens: 32_768, map_every: 64, extras: false }, false),
    ];
    for (name, size, compared) in pages {
        if !chosen.is_empty() && !chosen.iter().any(|c| c == name) {
            continue;
        }
        let start = Instant::now();
        let page = synthetic::page(size, compared);
        let made = start.elapsed();
        let path = folder.join(format!("{name}.html"));
        page.write(BufWriter::new(File::create(&path)?))?;
        let bytes = std::fs::metadata(&path)?.len();
        #[expect(clippy::print_stderr)]
        {
            eprintln!(
                "{}: {bytes} bytes, made in {made:.1?}, written in {:.1?}",
                path.display(),
                start.elapsed() - made
            );
        }
    }
    Ok(())
}
