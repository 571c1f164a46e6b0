use attnlab_report::record::Axis;
use attnlab_report::{Ranking, Results, Summary, TableStyle, html, terminal_table, verdict};

use crate::fixture::{Fate, TEXT, sample, write, write_grid, write_run};

const PLAIN: TableStyle = TableStyle { width: 140, colour: false };

fn summary(dir: &std::path::Path) -> Summary {
    Summary::new(&Results::read(dir).unwrap(), None)
}

fn three_apart(dir: &std::path::Path, seeds: u64) -> Summary {
    write(dir, &[("copy", 0.0)], &["none", "rope", "alibi"], seeds, |_, position| match position {
        "none" => Fate::Breaks(20.0),
        "rope" => Fate::Breaks(60.0),
        _ => Fate::Holds,
    });
    summary(dir)
}

#[test]
fn columns_that_no_seed_disagrees_on_are_told_apart_by_five_seeds_and_ranked() {
    let dir = tempfile::tempdir().unwrap();
    let summary = three_apart(dir.path(), 5);
    let ranking = Ranking::of(&summary);
    let task = ranking.task("copy").unwrap();
    assert_eq!((task.lengths, task.metric), ((81, 160), "exact"));
    let ranks: Vec<(&str, usize)> = task.ranked.iter().map(|r| (r.column.as_str(), r.rank)).collect();
    assert_eq!(ranks, [("alibi", 1), ("rope", 2), ("none", 3)]);
    assert_eq!(task.ranked[0].better_than, ["rope", "none"]);
    // Separated sets of five: p = 2 of 252 assignments, three times that after correction for three pairs.
    for pair in &task.pairs {
        assert!((pair.p.unwrap() - 2.0 / 252.0).abs() < 1e-12 && pair.told_apart && pair.paired, "{pair:?}");
        assert!((pair.p_holm.unwrap() - 6.0 / 252.0).abs() < 1e-12, "{pair:?}");
        let (low, high) = pair.interval.unwrap();
        assert!(low > 0.0 && low <= pair.difference && pair.difference <= high, "{pair:?}");
    }
    assert_eq!(task.note, None);
    let table = terminal_table(&summary, PLAIN);
    assert!(table.contains("ranking at lengths 81–160: 1. alibi 100.0  2. rope"), "{table}");
    assert!(table.contains("alibi over rope (p = 0.024)"), "{table}");
    assert!(verdict(&summary).contains("At the longest lengths, alibi is first on copy."));
}

#[test]
fn three_seeds_rank_nothing_and_the_report_says_how_many_it_takes() {
    let dir = tempfile::tempdir().unwrap();
    let summary = three_apart(dir.path(), 3);
    let ranking = Ranking::of(&summary);
    let task = &ranking.tasks[0];
    assert!(task.ranked.iter().all(|r| r.rank == 1 && r.better_than.is_empty()));
    let note = task.note.as_deref().unwrap();
    assert_eq!(
        note,
        "With 3 seeds for each of 3 columns, p cannot be below 0.30 after correction for 3 pairs: nothing can be told \
         apart; it takes 5 seeds."
    );
    assert!(terminal_table(&summary, TableStyle { width: 400, ..PLAIN }).contains(note));
    assert!(verdict(&summary).contains("At the longest lengths, the seeds are too few to tell columns apart; the best mean has alibi on copy."));
}

#[test]
fn one_seed_has_no_significance_and_it_is_said_so() {
    let dir = tempfile::tempdir().unwrap();
    let ranking = Ranking::of(&three_apart(dir.path(), 1));
    let task = &ranking.tasks[0];
    assert!(task.pairs.iter().all(|pair| pair.p.is_none() && pair.interval.is_none() && !pair.told_apart));
    assert_eq!(
        task.note.as_deref(),
        Some("With one seed a column no difference can be told from chance: add seeds.")
    );
}

#[test]
fn what_did_not_train_or_shows_nothing_has_no_rank_and_says_why() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &[("copy", 0.0)], &["none", "rope", "alibi", "t5", "learned"], 4, |_, p| match p {
        "none" => Fate::Untrained,
        "rope" => Fate::Diverges,
        "alibi" => Fate::Partly(30.0),
        "t5" => Fate::Fits,
        _ => Fate::Holds,
    });
    let summary = summary(dir.path());
    let ranking = Ranking::of(&summary);
    let task = &ranking.tasks[0];
    let reasons: Vec<(&str, &str)> = task.unranked.iter().map(|u| (u.column.as_str(), u.reason)).collect();
    assert_eq!(reasons, [("none", "did not train"), ("rope", "diverged"), ("t5", "not tested there")]);
    // One of four alibi seeds did not fit: it counts in the mean, and the share is shown.
    let alibi = task.ranked.iter().find(|r| r.column == "alibi").unwrap();
    assert_eq!((alibi.runs, alibi.fit), (4, 3));
    let (low, high) = alibi.fit_interval.unwrap();
    assert!((low - 0.3006).abs() < 1e-3 && (high - 0.9544).abs() < 1e-3, "{low} {high}");
    assert!(alibi.best > alibi.mean);
    assert!(
        verdict(&summary)
            .contains("Failed to train, which says nothing of longer inputs: copy with none (0 of 4).")
    );
    let table = terminal_table(&summary, TableStyle { width: 160, ..PLAIN });
    assert!(table.contains("3/4 [30, 95]") && table.contains(" best "), "{table}");
    assert!(table.contains("– none (did not train)"), "{table}");
}

#[test]
fn seeds_that_differ_are_compared_without_pairs() {
    let dir = tempfile::tempdir().unwrap();
    let mut grid = write(dir.path(), &[("copy", 0.0)], &["none", "rope"], 4, |_, _| Fate::Breaks(50.0));
    for run in grid.runs.iter_mut().filter(|run| run.position == "rope") {
        run.seed += 10;
    }
    write_grid(dir.path(), &grid);
    let ranking = Ranking::of(&summary(dir.path()));
    assert!(!ranking.tasks[0].pairs[0].paired);
}

#[test]
fn runs_that_differ_in_another_key_are_paired_by_it_and_the_seed() {
    let dir = tempfile::tempdir().unwrap();
    let mut grid = write(dir.path(), &[("copy", 0.0)], &["none", "rope"], 4, |_, _| Fate::Breaks(50.0));
    grid.axes.push(Axis { key: "train.steps".into(), values: vec!["10".into(), "20".into()] });
    for run in &mut grid.runs {
        run.settings.insert("train.steps".into(), if run.seed < 2 { "10" } else { "20" }.into());
        run.seed %= 2;
    }
    write_grid(dir.path(), &grid);
    let summary = summary(dir.path());
    assert_eq!(summary.mixed, ["train.steps"]);
    assert!(Ranking::of(&summary).tasks[0].pairs[0].paired);
    // Without the key the seeds are there twice, and pair nothing.
    for run in &mut grid.runs {
        run.settings.remove("train.steps");
    }
    write_grid(dir.path(), &grid);
    assert!(!Ranking::of(&self::summary(dir.path())).tasks[0].pairs[0].paired);
}

#[test]
fn the_bin_can_be_chosen_and_a_task_without_it_is_left_out() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &[("copy", 0.0), ("sort", 0.0)], &["none", "rope"], 3, |task, _| match task {
        "sort" => Fate::Fits,
        _ => Fate::Breaks(30.0),
    });
    let second = summary(dir.path()).ranked_in(2);
    let ranking = Ranking::of(&second);
    assert_eq!(
        ranking.tasks.iter().map(|t| (t.task.as_str(), t.lengths)).collect::<Vec<_>>(),
        [("copy", (41, 80))]
    );
    assert!(verdict(&second).contains("In bin 2, "));
    assert_eq!(Ranking::of(&summary(dir.path()).ranked_in(1)).tasks.len(), 2);
}

#[test]
fn losses_are_ranked_from_the_lowest() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &[(TEXT, 0.0)], &["none", "rope"], 4, |_, position| match position {
        "rope" => Fate::Text(1.90, 0.1),
        _ => Fate::Text(2.04, 0.3),
    });
    let summary = summary(dir.path());
    let ranking = Ranking::of(&summary);
    let task = &ranking.tasks[0];
    assert_eq!((task.metric, task.ranked[0].column.as_str(), task.ranked[1].rank), ("loss", "rope", 2));
    assert!(task.ranked[0].best <= task.ranked[0].mean && task.pairs[0].difference > 0.1);
}

#[test]
fn mean_ranks_are_over_the_tasks_on_which_all_trained_without_the_order_free_one() {
    let dir = tempfile::tempdir().unwrap();
    let tasks = [("majority", 0.5), ("copy", 0.0), ("sort", 0.0), ("parity", 0.5)];
    write(dir.path(), &tasks, &["none", "rope"], 2, |task, position| match (task, position) {
        ("parity", "none") => Fate::Untrained,
        ("copy", "none") => Fate::Breaks(20.0),
        ("copy", _) => Fate::Breaks(400.0),
        _ => Fate::Holds,
    });
    let ranking = Ranking::of(&summary(dir.path()));
    assert_eq!(ranking.over, ["copy", "sort"]);
    // Second and first on copy; both share places 1 and 2 on sort.
    let ranks: Vec<(&str, f64)> = ranking.mean_ranks.iter().map(|r| (r.column.as_str(), r.rank)).collect();
    assert_eq!(ranks, [("rope", 1.25), ("none", 1.75)]);
}

#[test]
fn the_page_has_the_rankings_and_programs_get_every_pair() {
    let dir = tempfile::tempdir().unwrap();
    sample(dir.path());
    let results = Results::read(dir.path()).unwrap();
    let summary = Summary::new(&results, None);
    let page = html(&results, &summary).unwrap();
    assert!(page.contains("id=\"ranking\"") && page.contains("Mean rank by mean score over"));
    let object = attnlab_report::comparison_json(&results, &summary).unwrap();
    let object: serde_json::Value = serde_json::from_str(&object).unwrap();
    let reverse =
        object["ranking"]["tasks"].as_array().unwrap().iter().find(|t| t["task"] == "reverse").unwrap();
    assert_eq!(reverse["pairs"].as_array().unwrap().len(), 7 * 6 / 2);
    assert!(reverse["pairs"][0]["p_holm"].as_f64().unwrap() <= 1.0);
    assert_eq!(object["evaluations"].as_array().unwrap().len(), results.finished().count());
    let text = object["verdict"].as_str().unwrap();
    assert!(text.contains("Failed to train") && text.contains("Controls "), "{text}");
}

#[test]
fn a_rank_is_one_more_than_the_columns_that_are_better_by_more_than_seeds_explain() {
    // b lies between a and c and is told apart from neither: a is first with b, and c is behind a alone.
    let dir = tempfile::tempdir().unwrap();
    let grid = write(dir.path(), &[("copy", 0.0)], &["a", "b", "c"], 6, |_, position| match position {
        "a" => Fate::Holds,
        _ => Fate::Breaks(20.0),
    });
    for run in grid.runs.iter().filter(|run| run.position == "b" && run.seed % 2 == 0) {
        write_run(dir.path(), run, Fate::Holds, 0.0);
    }
    let ranking = Ranking::of(&summary(dir.path()));
    let ranks: Vec<(&str, usize)> =
        ranking.tasks[0].ranked.iter().map(|r| (r.column.as_str(), r.rank)).collect();
    assert_eq!(ranks, [("a", 1), ("b", 1), ("c", 2)]);
}
