use std::fs;

use attnlab_report::record::{Claim, Target};
use attnlab_report::{Results, Summary, figure_svg, html};

use crate::fixture::{Fate, sample, target, write, write_grid, write_maps};

fn page(dir: &std::path::Path) -> String {
    let results = Results::read(dir).unwrap();
    html(&results, &Summary::new(&results, None)).unwrap()
}

#[test]
fn the_same_folder_gives_the_same_bytes_whenever_it_was_made() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    sample(a.path());
    sample(b.path());
    // Another machine took another time over it.
    let file = b.path().join("majority-none-s0/provenance.json");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("1790000000", "1800000000").replace("61.5", "99.0")).unwrap();
    let first = page(a.path());
    assert!(first == page(a.path()), "two renderings of one folder differ");
    assert!(first == page(b.path()), "the page depends on the clock or the folder's place");
    let place = a.path().to_string_lossy().into_owned();
    assert!(!first.contains(&place), "the page tells where it was made");
}

#[test]
fn the_page_asks_nothing_of_the_network() {
    let dir = tempfile::tempdir().unwrap();
    sample(dir.path());
    let page = page(dir.path());
    assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("url("));
    assert!(page.contains("default-src 'none'"));
}

const ATTACKS: [&str; 4] = [
    "</script><script>window.xss=1</script>",
    "<img src=x onerror=window.xss=1>",
    "\"><svg onload=window.xss=1>",
    "' onfocus='window.xss=1' autofocus='",
];

#[test]
fn no_string_of_a_config_or_a_result_becomes_markup() {
    let dir = tempfile::tempdir().unwrap();
    let mut grid = write(dir.path(), &[("parity", 0.5)], &["rope", "none"], 2, |_, _| Fate::Breaks(20.0));
    attacked(dir.path(), &mut grid);
    let results = Results::read(dir.path()).unwrap();
    let summary = Summary::new(&results, None);
    let page = html(&results, &summary).unwrap();
    for attack in ATTACKS.iter().filter(|a| a.contains('<')) {
        assert!(!page.contains(attack), "{attack} is in the page");
    }
    // In the script's data a quote is a letter of a string; everywhere else it could end an attribute.
    let (before, data) = page.split_once("<script type=\"application/json\"").unwrap();
    assert!(!before.contains("' onfocus='"), "an attribute is left by its quote");
    assert!(!data.split_once("</script>").unwrap().0[1..].contains('<'));
    assert_eq!(page.matches("<script").count(), 2);
    assert_eq!(page.matches("</script").count(), 2);
    assert!(!page.contains("<img"));
    assert!(page.contains("&lt;img") || page.contains("&#60;img"), "the name is not shown at all");
    let figure = figure_svg(&results, &summary, &grid.runs[0].task);
    assert!(!figure.contains("<script") && !figure.contains("<img"));
}

/// Hostile text in every place a string can come from.
fn attacked(dir: &std::path::Path, grid: &mut attnlab_report::record::Grid) {
    let [a, b, c, d] = ATTACKS.map(str::to_owned);
    grid.name = a.clone();
    grid.description = b.clone();
    grid.targets.target.push(Target {
        source: c.clone(),
        protocol: Some(d.clone()),
        note: Some(b.clone()),
        ..target(&[50.0, 50.0, 50.0])
    });
    grid.targets.finding.push(Claim {
        says: a.clone(),
        position: Some("*".into()),
        above: Some(10.0),
        source: Some(c.clone()),
        ..Claim::default()
    });
    for (i, run) in grid.runs.iter_mut().enumerate() {
        run.task = [b.clone(), c.clone()][i % 2].clone();
        run.position = [a.clone(), d.clone()][i / 2].clone();
        write_maps(&dir.join(&run.id), run, 6, 1, &ATTACKS);
        for (file, from, to) in [
            ("eval.json", "sink_rate", &a),
            ("provenance.json", "linux x86_64", &b),
            ("provenance.json", "0.1.0", &a),
        ] {
            let file = dir.join(&run.id).join(file);
            let text = fs::read_to_string(&file).unwrap();
            let to = serde_json::to_string(to).unwrap();
            fs::write(&file, text.replace(from, to.trim_matches('"'))).unwrap();
        }
    }
    write_grid(dir, grid);
}

#[test]
fn every_part_of_the_page_is_there_for_a_grid_with_every_outcome() {
    let dir = tempfile::tempdir().unwrap();
    sample(dir.path());
    let page = page(dir.path());
    for part in [
        "control passes",
        "id=\"task-5\"",
        "breaks at 142",
        "not tested beyond",
        "a constant passes",
        "of those tested beyond hold",
        "show nothing: a constant passes",
        "2 of 3 seeds",
        "1 damaged or incomplete file",
        "Maps of 8 of",
        "data:text/csv;charset=utf-8;base64,",
        "Huang et al. 2024, fig. 1: 18.0",
        "3f2c9ab1d0e4",
    ] {
        assert!(page.contains(part), "`{part}` is missing");
    }
    assert!(page.len() < 3 << 20, "{} bytes", page.len());
}

#[test]
fn long_maps_are_cut_and_a_damaged_file_is_named_in_the_page() {
    let dir = tempfile::tempdir().unwrap();
    let grid = write(dir.path(), &[("parity", 0.5)], &["rope", "none"], 1, |_, _| Fate::Breaks(20.0));
    write_maps(&dir.path().join(&grid.runs[0].id), &grid.runs[0], 90, 1, &[]);
    let broken = dir.path().join(&grid.runs[1].id).join("maps/step-003000.safetensors");
    fs::write(broken, b"short").unwrap();
    let page = page(dir.path());
    assert!(page.contains("1 of them are cut to the first 64 queries and keys."));
    assert!(page.contains("Left out: parity-none-s0/maps/step-003000.safetensors (not a safetensors file"));
    assert!(page.contains("\"length\":64,\"causal\":true"));
}

#[test]
fn an_empty_and_an_unstarted_grid_have_a_page_too() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &[("parity", 0.5)], &["rope"], 2, |_, _| Fate::Waits);
    assert!(page(dir.path()).contains("no finished run yet"));
    write(dir.path(), &[], &[], 0, |_, _| Fate::Waits);
    assert!(page(dir.path()).contains("All 0 runs"));
}

#[test]
fn the_figure_is_a_whole_svg_with_a_band_a_line_and_a_name_for_each_encoding() {
    let dir = tempfile::tempdir().unwrap();
    sample(dir.path());
    let results = Results::read(dir.path()).unwrap();
    let summary = Summary::new(&results, None);
    let figure = figure_svg(&results, &summary, "unique copy");
    assert!(figure.starts_with("<svg xmlns=") && figure.trim_end().ends_with("</svg>"));
    assert!(!figure.contains("var(--"), "a viewer without style sheets would draw nothing");
    assert!(!figure.contains("NaN") && !figure.contains("inf"));
    for column in &summary.columns {
        assert!(figure.contains(&format!(">{column}</text>")), "{column} is not named");
    }
    assert_eq!(figure.matches("opacity=\"0.16\"").count(), summary.columns.len());
    assert!(figure.contains("trained on 1–40") && figure.contains(">chance</text>"));
    assert_eq!(figure.matches("(Huang et al. 2024, fig. 1)").count(), 6);
    assert!(figure_svg(&results, &summary, "no such task").contains("no finished run yet"));
}

#[test]
fn the_page_of_an_untested_or_trivial_control_says_so_and_its_maps_do_too() {
    for (fate, badge, outcome) in [
        (Fate::Fits, "control untested beyond", "fits the training lengths, not tested beyond"),
        (Fate::Trivial, "control shows nothing", "trivial: a constant answer passes the bar"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &[("majority", 0.5)], &["rope"], 1, |_, _| fate);
        let page = page(dir.path());
        assert!(page.contains(badge) && !page.contains("control passes"), "{badge}");
        assert!(page.contains(&format!("\"outcome\":\"{outcome}\"")), "{outcome}");
        assert!(!page.contains(">holds<") && !page.contains("NaN"), "{badge}");
    }
}

#[test]
fn a_task_with_fewer_bins_of_the_same_lengths_leaves_the_tables_titles_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &[("copy", 0.0), ("sort", 0.0)], &["rope"], 1, |task, _| match task {
        "copy" => Fate::Fits,
        _ => Fate::Holds,
    });
    let page = page(dir.path());
    assert!(page.contains(">81–160") && !page.contains("trained lengths"));
}
