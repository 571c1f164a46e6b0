use std::fs;

use attnlab_report::record::{Axis, Target};
use attnlab_report::{Finding, Results, Summary, TableStyle, terminal_table};

use crate::fixture::{Fate, target, write, write_grid, write_run};

const PLAIN: TableStyle = TableStyle { width: 140, colour: false };

fn summary(dir: &std::path::Path, by: Option<&str>) -> Summary {
    Summary::new(&Results::read(dir).unwrap(), by)
}

#[test]
fn means_over_all_seeds_and_over_fitting_seeds_are_kept_apart() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &[("parity", 0.5)], &["rope"], 4, |_, _| Fate::Partly(30.0));
    let summary = summary(dir.path(), None);
    let cell = summary.cell("parity", "rope").unwrap();
    assert_eq!((cell.counts.fit(), cell.counts.judged()), (3, 4));
    let bin = &cell.bins[0];
    assert_eq!(bin.fitting.unwrap().exact.mean, 1.0);
    assert_eq!(bin.fitting.unwrap().exact.n, 3);
    let all = bin.all.exact;
    assert!((0.75..0.76).contains(&all.mean), "{all:?}"); // three of four at 1, one at chance
    let interval = all.interval.unwrap();
    assert!(interval.low < all.mean && interval.high == 1.0, "{interval:?}");
    assert!(matches!(cell.finding, Finding::FailsToGeneralise(_)));
    let table = terminal_table(&summary, PLAIN);
    assert!(table.contains("the seeds that fit") && table.contains("3/4"), "{table}");
}

#[test]
fn breaks_at_is_the_median_over_the_seeds_that_break() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &[("parity", 0.5)], &["rope"], 3, |_, _| Fate::Breaks(40.0));
    // The fixture breaks at 51 + seed.
    assert_eq!(summary(dir.path(), None).cells[0].breaks_at, Some(52.0));
}

#[test]
fn published_numbers_stand_beside_ours_with_the_difference_of_the_fitting_seeds() {
    let dir = tempfile::tempdir().unwrap();
    let mut grid =
        write(dir.path(), &[("copy", 0.0), ("sort", 0.0)], &["none", "rope"], 3, |_, _| Fate::Partly(30.0));
    grid.targets.target.push(Target {
        task: Some("copy".into()),
        position: Some("none".into()),
        source: "A. Paper, table 2".into(),
        ..target(&[97.5, 18.0])
    });
    write_grid(dir.path(), &grid);
    let summary = summary(dir.path(), None);
    let cell = summary.cell("copy", "none").unwrap();
    let difference = &cell.published[0].difference;
    assert_eq!(difference.len(), 2);
    assert!((difference[0].unwrap() - 2.5).abs() < 1e-9, "{difference:?}");
    assert!(summary.cell("copy", "rope").unwrap().published.is_empty());
    assert!(summary.cell("sort", "none").unwrap().published.is_empty());
    let table = terminal_table(&summary, PLAIN);
    assert!(table.contains("A. Paper, table 2 (exact)") && table.contains("97.5 (+2.5)"), "{table}");
}

#[test]
fn any_axis_can_make_the_columns_and_what_is_averaged_over_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let mut grid = write(dir.path(), &[("copy", 0.0)], &["none", "rope"], 2, |_, p| match p {
        "rope" => Fate::Holds,
        _ => Fate::Untrained,
    });
    grid.axes.push(Axis { key: "train.learning_rate".into(), values: vec!["0.01".into(), "0.001".into()] });
    for run in &mut grid.runs {
        let rate = if run.seed == 0 { "0.001" } else { "0.01" };
        run.settings.insert("train.learning_rate".into(), rate.into());
    }
    write_grid(dir.path(), &grid);
    let by_rate = summary(dir.path(), Some("train.learning_rate"));
    assert_eq!(by_rate.columns, ["0.01", "0.001"]);
    assert_eq!(by_rate.mixed, ["position"]);
    assert!(attnlab_report::verdict(&by_rate).contains("train.learning_rate = 0.01"));
    assert!(attnlab_report::verdict(&by_rate).contains("a mean over position"));
    let by_position = summary(dir.path(), None);
    assert_eq!(by_position.mixed, ["train.learning_rate"]);
    let table = terminal_table(&by_position, PLAIN);
    assert!(table.contains("copy (exact match, %; mean over train.learning_rate and seed)"), "{table}");
    let hint = "`attnlab compare DIR --by position,train.learning_rate` shows them apart";
    assert!(attnlab_report::verdict(&by_position).contains(hint));
    let page = attnlab_report::html(&Results::read(dir.path()).unwrap(), &by_position).unwrap();
    assert!(page.contains("The runs of a number differ in train.learning_rate, not only in seed."));
    assert!(page.contains(hint));
    let apart = summary(dir.path(), Some("position,train.learning_rate"));
    assert_eq!(apart.columns, ["none, 0.01", "none, 0.001", "rope, 0.01", "rope, 0.001"]);
    assert!(apart.mixed.is_empty() && apart.cells.iter().all(|cell| cell.counts.planned == 1));
    assert!(!terminal_table(&apart, PLAIN).contains("mean over"));
    let unknown = summary(dir.path(), Some("no.such.key"));
    assert_eq!(unknown.columns, ["(not set)"]);
}

#[test]
fn a_narrow_terminal_loses_the_intervals_and_no_line_is_wider_than_asked() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &[("parity", 0.5)], &["rope", "none"], 3, |_, _| Fate::Breaks(40.0));
    let summary = summary(dir.path(), None);
    let width = |text: &str| text.lines().map(|l| l.chars().count()).max().unwrap();
    let wide = terminal_table(&summary, PLAIN);
    let narrow = terminal_table(&summary, TableStyle { width: 80, colour: false });
    assert!(wide.contains('[') && !narrow.contains('['), "{narrow}");
    assert!(width(&narrow) <= 80 && width(&wide) <= 140);
}

#[test]
fn colour_is_used_only_when_asked_and_names_cannot_smuggle_it_in() {
    let dir = tempfile::tempdir().unwrap();
    let mut grid = write(dir.path(), &[("parity", 0.5)], &["rope"], 1, |_, _| Fate::Holds);
    grid.runs[0].task = "par\u{1b}[31mity".into();
    write_grid(dir.path(), &grid);
    let summary = summary(dir.path(), None);
    assert!(!terminal_table(&summary, PLAIN).contains('\u{1b}'));
    assert!(terminal_table(&summary, TableStyle { colour: true, ..PLAIN }).contains('\u{1b}'));
}

#[test]
fn the_table_of_runs_has_every_axis_and_every_bin() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &[("parity", 0.5)], &["rope, partial"], 1, |_, _| Fate::Breaks(40.0));
    let results = Results::read(dir.path()).unwrap();
    let text = attnlab_report::results_csv(&results).unwrap();
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().unwrap().clone();
    let row = reader.records().next().unwrap().unwrap();
    let field = |name: &str| row[header.iter().position(|h| h == name).unwrap()].to_owned();
    assert_eq!(field("position"), "rope, partial");
    assert_eq!(field("outcome"), "fails_to_generalise");
    assert_eq!(field("breaks_at"), "51");
    assert_eq!(field("parameters"), "206336");
    assert_eq!(field("bin2_lengths"), "81-160");
    assert_eq!(field("bin0_exact"), "1");
    assert_eq!(field("bin1_chance_token"), "0.5");
    fs::write(dir.path().join("results.csv"), &text).unwrap();
}

#[test]
fn runs_not_tested_beyond_count_as_fitting_and_trivial_ones_as_neither_fitting_nor_failing() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &[("copy", 0.0), ("sort", 0.0)], &["rope"], 2, |task, _| match task {
        "copy" => Fate::Fits,
        _ => Fate::Trivial,
    });
    let both = summary(dir.path(), None);
    let fits = both.cell("copy", "rope").unwrap();
    let trivial = both.cell("sort", "rope").unwrap();
    assert_eq!((fits.finding, trivial.finding), (Finding::Fits, Finding::Trivial));
    assert_eq!((fits.counts.fit(), fits.counts.tested(), fits.counts.judged()), (2, 0, 2));
    assert_eq!((trivial.counts.fit(), trivial.counts.judged(), trivial.counts.done()), (0, 0, 2));
    assert_eq!(fits.bins[0].fitting.unwrap().exact.n, 2);
    assert_eq!(trivial.bins[0].fitting, None);
    let table = terminal_table(&both, PLAIN);
    let ending = |task: &str| {
        let mut lines = table.lines().skip_while(|line| !line.starts_with(task));
        lines.find(|line| line.trim_start().starts_with("rope")).unwrap().trim_end().to_owned()
    };
    assert!(ending("copy").contains("2/2") && ending("copy").ends_with("not tested"), "{table}");
    assert!(ending("sort").contains('–') && ending("sort").ends_with("trivial"), "{table}");
    let rows = attnlab_report::results_csv(&Results::read(dir.path()).unwrap()).unwrap();
    assert_eq!((rows.matches(",fits,").count(), rows.matches(",trivial,").count()), (2, 2), "{rows}");

    // Two that hold or break are what the break is a share of, not the third that was not tested.
    let more = write(dir.path(), &[("parity", 0.5)], &["rope"], 3, |_, _| Fate::Breaks(40.0));
    write_run(dir.path(), &more.runs[0], Fate::Fits, 0.5);
    write_run(dir.path(), &more.runs[1], Fate::Holds, 0.5);
    let shares = terminal_table(&summary(dir.path(), None), PLAIN);
    assert!(shares.contains("(1 of 2)"), "{shares}");
    assert!(shares.contains("rope (1 of 2 seeds tested beyond break, from about"), "{shares}");
}
