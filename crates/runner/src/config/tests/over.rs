//! Encodings that change another one: `over` in files, `--set`, grids and resolved runs.

use super::*;

const WINDOWED: &str = "kind = \"windowed\"\nwindow = 4\nover = { kind = \"rope\", base = 500 }";

/// The example with another encoding.
fn with_position(table: &str) -> String {
    example("kind = \"rope\"\nbase = 10000", table)
}

fn labels(text: &str, sets: &[&str]) -> Vec<String> {
    load(text, sets).unwrap().grid.runs.into_iter().map(|run| run.position).collect()
}

#[test]
fn the_encoding_below_is_a_name_a_table_or_a_section() {
    for table in [
        "kind = \"windowed\"\nover = \"rope\"",
        "kind = \"windowed\"\nover = { kind = \"rope\" }",
        "kind = \"windowed\"\nover.kind = \"rope\"",
        "kind = \"windowed\"\n[position.over]\nkind = \"rope\"",
    ] {
        assert_eq!(labels(&with_position(table), &[]), ["windowed (16) rope"], "{table}");
    }
    let deep = "kind = \"log_n\"\nover = { kind = \"windowed\", window = 3, over = \"alibi\" }";
    assert_eq!(labels(&with_position(deep), &[]), ["log_n windowed (3) alibi"]);
}

#[test]
fn a_resolved_run_has_the_kind_first_in_every_table_and_reads_back_as_itself() {
    let deep = "kind = \"log_n\"\nover = { window = 4, over = { base = 500, kind = \"rope\" }, kind = \"windowed\" }";
    for run in load(&with_position(deep), &[]).unwrap().runs {
        let text = run.to_toml().unwrap();
        let expected = "[position]\nkind = \"log_n\"\n\n[position.over]\nkind = \"windowed\"\nwindow = 4\n\n\
                        [position.over.over]\nkind = \"rope\"\nbase = 500.0\n";
        assert!(text.contains(expected), "{text}");
        let again = RunConfig::from_toml(&text).unwrap();
        assert_eq!((again.to_toml().unwrap(), again.id()), (text, run.id()));
    }
}

#[test]
fn settings_reach_below() {
    let text = with_position(WINDOWED);
    assert_eq!(labels(&text, &["position.over.base=7"]), ["windowed (4) rope (base 7)"]);
    assert_eq!(labels(&text, &["position.over=alibi"]), ["windowed (4) alibi"]);
    assert_eq!(
        labels(&text, &["position.over={kind='t5', buckets=8}"]),
        ["windowed (4) t5 (8 buckets to 128)"]
    );
    let short = with_position("kind = \"windowed\"\nover = \"rope\"");
    assert_eq!(labels(&short, &["position.over.base=7"]), ["windowed (16) rope (base 7)"]);
    assert_eq!(labels(&short, &["position={over={base=7}}"]), ["windowed (16) rope (base 7)"]);
    let whole = "position={kind='randomised', length=300, over='learned'}";
    assert_eq!(labels(EXAMPLE, &[whole]), ["randomised (300) learned"]);
}

#[test]
fn a_grid_varies_what_is_below() {
    let grid = format!(
        "{}\n[grid]\nposition.over = [\"none\", {{ kind = \"rope\", base = 9 }}]\nposition.window = [2, 3]",
        with_position(WINDOWED)
    );
    let experiment = load(&grid, &[]).unwrap();
    let found: Vec<(&str, &str)> = experiment
        .grid
        .runs
        .iter()
        .map(|run| (run.position.as_str(), run.settings["position.over"].as_str()))
        .collect();
    let below = |label| [("windowed (2)", label), ("windowed (3)", label)];
    let expected: Vec<(String, &str)> = [("none", "none"), ("rope (base 9)", "rope base=9")]
        .into_iter()
        .flat_map(|(label, shown)| below(shown).map(|(window, shown)| (format!("{window} {label}"), shown)))
        .collect();
    assert_eq!(found, expected.iter().map(|(label, shown)| (label.as_str(), *shown)).collect::<Vec<_>>());
    let bases = format!("{}\n[grid]\n\"position.over.base\" = [5, 6]", with_position(WINDOWED));
    assert_eq!(labels(&bases, &[]), ["windowed (4) rope (base 5)", "windowed (4) rope (base 6)"]);
    let whole = with_grid(
        "position = [\"rope\", { kind = \"offset\", over = \"sinusoidal\" }, { kind = \"pose\", over = { kind = \"rope\", base = 9 } }]",
    );
    let shown: Vec<String> =
        load(&whole, &[]).unwrap().grid.runs.iter().map(|run| run.settings["position"].clone()).collect();
    assert_eq!(shown, ["rope", "offset over=sinusoidal", "pose over={rope base=9}"]);
}

#[test]
fn equal_labels_of_unequal_encodings_below_are_told_apart() {
    // The layout is no part of a label.
    let grid =
        format!("{}\n[grid]\nposition.over.layout = [\"half\", \"interleaved\"]", with_position(WINDOWED));
    assert_eq!(
        labels(&grid, &[]),
        [
            "windowed (4) rope (base 500) [over.layout=\"half\"]",
            "windowed (4) rope (base 500) [over.layout=\"interleaved\"]"
        ]
    );
}

#[test]
fn mistakes_below_are_shown_where_they_are_written() {
    let said = |table: &str| message(&with_position(table), &[]);
    assert_eq!(
        said("kind = \"windowed\"\nover = { kind = \"rope\", bse = 5 }"),
        "\
configs/x.toml:16:25: unknown key `position.over.bse`; did you mean `base`?
  16 | over = { kind = \"rope\", bse = 5 }
     |                         ^^^
  allowed keys: base, fraction, keep, layout, scaling"
    );
    for (table, expected) in [
        (
            "over = \"rop\"",
            "configs/x.toml:16:8: `position.over.kind` cannot be \"rop\"; did you mean `rope`?\n",
        ),
        ("over = { base = 5 }", "configs/x.toml:16:8: `position.over.kind` is missing\n"),
        (
            "over = 5",
            "configs/x.toml:16:8: `position.over` should be an encoding's name or a table with a `kind`, not 5\n",
        ),
        (
            "over = { kind = \"rope\", base = true }",
            "configs/x.toml:16:32: `position.over.base` should be a number, not true\n",
        ),
        (
            "over = { kind = \"rope\", base = 1 }",
            "configs/x.toml:16:32: `position.over.base`: 1 is not a finite number above 1\n",
        ),
        ("over = \"windowed\"", "configs/x.toml:16:8: `position.over`: windowed over windowed"),
        (
            "over = { kind = \"learned\", max_len = 100 }",
            "configs/x.toml:16:38: `position.over.max_len`: a table of 100 positions is too short",
        ),
    ] {
        let found = said(&format!("kind = \"windowed\"\n{table}"));
        assert!(found.starts_with(expected), "{found}");
    }
    let stray = said("kind = \"rope\"\nover = \"alibi\"");
    assert!(stray.starts_with("configs/x.toml:16:1: unknown key `position.over`"), "{stray}");
    assert_eq!(
        message(&with_position(WINDOWED), &["position.over.base=0"]),
        "\
--set position.over.base=0: `position.over.base`: 0 is not a finite number above 1
   | position.over.base=0
   |                    ^"
    );
}

#[test]
fn a_tower_of_encodings_is_refused_and_not_climbed() {
    let tower = format!("position.{}kind=rope", "over.".repeat(40));
    let found = message(&with_position("kind = \"log_n\""), &[&tower]);
    assert!(found.contains("kind` is missing"), "{found}");
    let below = "over = { kind = \"log_n\", ".repeat(20);
    let found = message(&with_position(&format!("kind = \"log_n\"\n{below}{}", "}".repeat(20))), &[]);
    assert!(found.contains("encoding over another"), "{found}");
}
