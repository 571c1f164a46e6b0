use attnlab_report::record::{Claim, Grid, Metric, Population, Target, Tolerance};
use attnlab_report::targets::{CheckedClaim, Status};
use attnlab_report::{Checked, Results, Summary, TableStyle, html, targets_table};

use crate::fixture::{Fate, sample, target, write, write_grid, write_run};

struct Lab {
    dir: tempfile::TempDir,
    grid: Grid,
}

impl Lab {
    fn new(seeds: u64, fate: impl Fn(&str, &str) -> Fate) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let tasks = [("copy", 0.0), ("parity", 0.5)];
        let grid = write(dir.path(), &tasks, &["none", "rope"], seeds, fate);
        Self { dir, grid }
    }

    fn checked(&mut self, target: Vec<Target>, finding: Vec<Claim>) -> Checked {
        self.grid.targets.target = target;
        self.grid.targets.finding = finding;
        write_grid(self.dir.path(), &self.grid);
        Checked::of(&Results::read(self.dir.path()).unwrap())
    }

    fn number(&mut self, target: Target) -> Status {
        self.checked(vec![target], Vec::new()).numbers[0].status
    }

    fn finding(&mut self, claim: Claim) -> CheckedClaim {
        self.checked(Vec::new(), vec![claim]).findings.remove(0)
    }
}

fn of(task: &str, position: &str, percent: &[f64]) -> Target {
    Target { task: Some(task.into()), position: Some(position.into()), ..target(percent) }
}

fn some(name: &str) -> Option<String> {
    Some(name.to_owned())
}

#[test]
fn a_number_is_reproduced_within_its_tolerance_and_not_beyond_it() {
    let mut lab = Lab::new(3, |_, _| Fate::Holds);
    assert_eq!(lab.number(of("copy", "none", &[100.0, 96.0, 98.0])), Status::Reproduced);
    assert_eq!(lab.number(of("copy", "none", &[100.0, 94.0, 98.0])), Status::NotReproduced);
    let each =
        Target { tolerance: Tolerance(vec![0.0, 6.0, 3.0]), ..of("copy", "none", &[100.0, 94.0, 98.0]) };
    assert_eq!(lab.number(each), Status::Reproduced);
}

#[test]
fn an_interval_over_the_edge_of_the_tolerance_decides_nothing() {
    let mut lab = Lab::new(4, |_, _| Fate::Holds);
    let run = lab.grid.runs[0].clone();
    write_run(lab.dir.path(), &run, Fate::Breaks(30.0), 0.0);
    // One of four seeds breaks: the mean is far below 100, its interval reaches it.
    let checked = lab.checked(vec![of("copy", "none", &[100.0, 100.0, 100.0])], Vec::new());
    let bins: Vec<Status> = checked.numbers[0].bins.iter().map(|bin| bin.status).collect();
    assert_eq!(bins, [Status::Reproduced, Status::Undecided, Status::Undecided]);
    assert_eq!(checked.numbers[0].status, Status::Undecided);
}

#[test]
fn all_fitting_and_best_are_different_numbers() {
    let mut lab = Lab::new(4, |_, _| Fate::Partly(1e6));
    // Three seeds hold, the last is at chance, which is zero.
    let wanted = |of_whom, percent: f64| Target {
        of: of_whom,
        tolerance: Tolerance(vec![0.5]),
        ..of("copy", "none", &[percent, percent, percent])
    };
    let ours = |lab: &mut Lab, target: Target| lab.checked(vec![target], Vec::new()).numbers[0].bins[2].ours;
    assert!((ours(&mut lab, wanted(Population::All, 75.0)).unwrap() - 75.0).abs() < 1.5);
    assert!(ours(&mut lab, wanted(Population::Fitting, 98.0)).unwrap() > 95.0);
    let best = ours(&mut lab, wanted(Population::Best, 98.0)).unwrap();
    assert_eq!(lab.number(wanted(Population::Best, best)), Status::NotReproduced, "bin 1 is at 100");
    let exactly = Target {
        percent: vec![100.0, best, best],
        tolerance: Tolerance(vec![5.0]),
        ..wanted(Population::Best, best)
    };
    assert_eq!(lab.number(exactly), Status::Reproduced);
}

#[test]
fn one_seed_decides_nothing_except_of_a_best_one() {
    let mut lab = Lab::new(1, |_, _| Fate::Holds);
    let perfect = of("copy", "none", &[100.0, 100.0, 100.0]);
    assert_eq!(lab.number(perfect.clone()), Status::Undecided);
    assert_eq!(lab.number(Target { of: Population::Best, ..perfect }), Status::Reproduced);
    let claim = Claim { task: some("copy"), position: some("none"), above: Some(90.0), ..Claim::default() };
    assert_eq!(lab.finding(claim).status, Status::Undecided);
}

#[test]
fn what_was_not_run_or_has_other_bins_is_not_compared_and_says_why() {
    let mut lab = Lab::new(2, |_, position| if position == "rope" { Fate::Waits } else { Fate::Holds });
    let why = |lab: &mut Lab, target: Target| {
        let number = lab.checked(vec![target], Vec::new()).numbers.remove(0);
        assert_eq!(number.status, Status::NotRun);
        number.runs
    };
    assert_eq!(why(&mut lab, of("sort", "none", &[1.0])), "no such runs in this grid");
    assert_eq!(why(&mut lab, of("copy", "rope", &[1.0, 1.0, 1.0])), "0 of 2 seeds");
    assert!(why(&mut lab, of("copy", "none", &[100.0])).contains("other bins"));
    let bins = Some(vec![[1, 50], [51, 100], [101, 150]]);
    let other = Target { bins, ..of("copy", "none", &[100.0, 100.0, 100.0]) };
    assert!(why(&mut lab, other.clone()).contains("other bins"));
    let ours = Target { bins: Some(vec![[1, 40], [41, 80], [81, 160]]), ..other };
    assert_eq!(lab.number(ours), Status::Reproduced);
}

#[test]
fn a_mean_over_fitting_seeds_is_not_reproduced_where_none_fits() {
    let mut lab = Lab::new(3, |_, _| Fate::Untrained);
    assert_eq!(lab.number(of("copy", "none", &[0.0, 0.0, 0.0])), Status::NotReproduced);
    let all = Target { of: Population::All, ..of("copy", "none", &[0.0, 0.0, 0.0]) };
    assert_eq!(lab.number(all), Status::Reproduced);
}

#[test]
fn a_target_without_names_is_about_every_cell() {
    let mut lab = Lab::new(2, |_, _| Fate::Holds);
    let checked = lab.checked(vec![target(&[100.0, 100.0, 100.0])], Vec::new());
    let cells: Vec<(&str, &str)> =
        checked.numbers.iter().map(|n| (n.task.as_str(), n.position.as_str())).collect();
    assert_eq!(cells, [("copy", "none"), ("copy", "rope"), ("parity", "none"), ("parity", "rope")]);
    assert!(checked.passes());
    assert_eq!(checked.summary(), "Targets: 4 reproduced, 0 not reproduced, 0 undecided, 0 not run.");
}

fn versus(better: &str, worse: &str) -> Claim {
    Claim { task: some("copy"), better: some(better), worse: some(worse), ..Claim::default() }
}

#[test]
fn a_direction_between_encodings_needs_an_interval_on_its_side() {
    let mut lab = Lab::new(3, |_, position| match position {
        "none" => Fate::Breaks(30.0),
        _ => Fate::Holds,
    });
    assert_eq!(lab.finding(versus("rope", "none")).status, Status::Reproduced);
    assert_eq!(lab.finding(versus("none", "rope")).status, Status::NotReproduced);
    assert_eq!(lab.finding(Claim { by: Some(20.0), ..versus("rope", "none") }).status, Status::Reproduced);
    // On the training lengths both are perfect: not above, and not by 20 points.
    let trained = Claim { bin: Some(1), ..versus("rope", "none") };
    assert_eq!(lab.finding(trained.clone()).status, Status::NotReproduced);
    assert_eq!(lab.finding(Claim { by: Some(20.0), ..trained }).status, Status::NotReproduced);
    let finding = lab.finding(versus("rope", "alibi"));
    assert_eq!(
        (finding.status, finding.parts[0].found.as_str()),
        (Status::NotRun, "no such runs in this grid")
    );
    // One of three seeds of the better breaks as well: the interval reaches zero.
    let runs = lab.grid.runs.clone();
    for run in runs.iter().filter(|run| run.task == "copy" && run.position == "rope" && run.seed > 0) {
        write_run(lab.dir.path(), run, Fate::Breaks(30.0), 0.0);
    }
    assert_eq!(lab.finding(Claim { by: Some(20.0), ..versus("rope", "none") }).status, Status::Undecided);
}

#[test]
fn thresholds_drops_and_tasks_can_be_claimed() {
    let mut lab = Lab::new(3, |task, position| match (task, position) {
        ("copy", _) => Fate::Holds,
        (_, "none") => Fate::Untrained,
        _ => Fate::Breaks(30.0),
    });
    let claim = Claim { task: some("parity"), position: some("rope"), ..Claim::default() };
    let fall = lab.finding(Claim { drop: Some(50.0), ..claim.clone() });
    assert_eq!(fall.status, Status::Reproduced);
    assert!(fall.parts[0].found.starts_with("100.0 → "), "{}", fall.parts[0].found);
    // What never was learned cannot be lost.
    let untrained = Claim { position: some("none"), drop: Some(20.0), ..claim.clone() };
    assert_eq!(lab.finding(untrained).status, Status::NotReproduced);
    assert_eq!(lab.finding(Claim { below: Some(90.0), ..claim.clone() }).status, Status::Reproduced);
    assert_eq!(lab.finding(Claim { above: Some(90.0), ..claim.clone() }).status, Status::NotReproduced);
    let between = Claim { bin: Some(1), above: Some(90.0), below: Some(100.0), ..claim.clone() };
    assert_eq!(lab.finding(between).status, Status::Reproduced);
    let every = Claim { position: some("*"), below: Some(90.0), ..claim.clone() };
    let finding = lab.finding(every);
    assert_eq!(finding.status, Status::Reproduced);
    assert_eq!(finding.parts.iter().map(|p| p.of.as_str()).collect::<Vec<_>>(), ["none", "rope"]);
    let token = Claim { metric: Some(Metric::Token), below: Some(40.0), ..claim };
    assert_eq!(lab.finding(token).status, Status::NotReproduced);
    let tasks =
        Claim { easier: some("copy"), harder: some("parity"), position: some("rope"), ..Claim::default() };
    assert_eq!(lab.finding(tasks).status, Status::Reproduced);
    let fitting = Claim {
        of: Population::Fitting,
        above: Some(0.0),
        position: some("none"),
        task: some("parity"),
        ..Claim::default()
    };
    assert_eq!(lab.finding(fitting).parts[0].found, "no seed fits the training lengths");
}

#[test]
fn a_claim_about_every_encoding_is_open_until_all_are_run() {
    let mut lab = Lab::new(3, |_, position| if position == "rope" { Fate::Waits } else { Fate::Untrained });
    let every = Claim { task: some("parity"), position: some("*"), below: Some(90.0), ..Claim::default() };
    let finding = lab.finding(every);
    assert_eq!(finding.status, Status::Undecided);
    assert_eq!(
        finding.parts.iter().map(|p| p.status).collect::<Vec<_>>(),
        [Status::Reproduced, Status::NotRun]
    );
}

#[test]
fn the_terminal_and_the_page_list_every_target_with_its_status() {
    let dir = tempfile::tempdir().unwrap();
    sample(dir.path());
    let results = Results::read(dir.path()).unwrap();
    let checked = Checked::of(&results);
    let table = targets_table(&checked, TableStyle { width: 120, colour: false });
    for part in [
        "100 ± 5 → 100.0 at 1–40",
        "no such runs in this grid",
        "reproduced: With random offsets unique copy holds",
        "learned+offset − none",
        "not run: Without an encoding Dyck-1 holds",
        "Targets: ",
    ] {
        assert!(table.contains(part), "`{part}` is not in\n{table}");
    }
    assert!(table.lines().all(|line| line.chars().count() <= 120), "{table}");
    assert!(!checked.passes());
    let page = html(&results, &Summary::new(&results, None)).unwrap();
    assert!(page.contains("id=\"targets\"") && page.contains(&checked.summary()));
}
