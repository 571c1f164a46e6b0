//! `cargo run -p attnlab-report --example inspect_page -- FOLDER [NAME…]` writes inspection pages of made-up heads, and
//! pictures of the first map and the survey of each: `small` (with a second model and text), `grid` (12 × 12 heads), `large`
//! (1,000 heads at 512 tokens) and `long` (32,768 tokens).
#![allow(clippy::unwrap_used, missing_docs, dead_code, unreachable_pub)]

#[path = "../tests/it/synthetic.rs"]
mod synthetic;

use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;
use std::time::Instant;

use attnlab_report::inspect::{map_png, map_svg, survey_png, survey_svg};
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
        ("long", Size { layers: 16, heads: 32, tokens: 32_768, map_every: 128, extras: false }, false),
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
        for (i, map) in page.readings[0].maps.iter().enumerate().take(1) {
            let title = format!("{} · layer {} · head {}", page.title, map.layer, map.head);
            let tokens = &page.readings[0].tokens;
            std::fs::write(folder.join(format!("{name}-map{i}.svg")), map_svg(&map.map, tokens, &title)?)?;
            std::fs::write(folder.join(format!("{name}-map{i}.png")), map_png(&map.map, &title)?)?;
        }
        std::fs::write(folder.join(format!("{name}-survey.svg")), survey_svg(&page, 0, 1)?)?;
        std::fs::write(folder.join(format!("{name}-survey.png")), survey_png(&page, 0, 1)?)?;
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
