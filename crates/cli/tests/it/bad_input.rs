//! Wrong usage and wrong configurations: refused with exit code 2 or 1, the place named, nothing changed.

use std::fs;

use crate::lab::{Lab, TINY, differing, files};

#[test]
fn a_configuration_that_cannot_be_run_is_refused_at_its_line() {
    // What to replace in the configuration, by what, in which line of that the message must point, and what it must say.
    let cases: [(&str, &str, &str, &[&str]); 14] = [
        ("steps = 12", "stepz = 12", "stepz", &["stepz", "`steps`"]),
        ("steps = 12", "steps = \"many\"", "steps", &["many"]),
        ("steps = 12", "steps = 2", "map_steps", &["train.map_steps", "step 3"]),
        ("steps = 12", "steps = -3", "steps", &["-3"]),
        ("steps = 12", "steps = 99999999999999999999", "steps", &["99999999999999999999"]),
        ("d_model = 8", "d_model = 9", "n_heads", &["d_model 9", "2 heads"]),
        ("d_model = 8", "d_model = 0", "d_model", &["d_model"]),
        ("lengths = [1, 4]", "lengths = [0, 4]", "lengths", &["length 0"]),
        ("lengths = [1, 4]", "lengths = [4, 1]", "lengths", &["descending"]),
        ("samples = 32", "bins = [[1, 4], [0, 8]]", "bins", &["length 0"]),
        ("samples = 32", "bins = [[1, 4], [3, 8]]", "bins", &["overlaps"]),
        ("kind = \"reverse\"", "kind = \"revers\"", "kind = \"revers\"", &["revers", "`reverse`"]),
        ("kind = \"none\"", "kind = \"sine\"", "kind = \"sine\"", &["sine", "sinusoidal"]),
        ("[train]", "[training]", "[training]", &["training", " train,"]),
    ];
    for (from, to, at, words) in cases {
        let config = TINY.replace(from, to);
        assert_ne!(config, TINY, "{from} is not in the configuration");
        let line = 1 + config.lines().position(|line| line.starts_with(at)).unwrap();
        let place = format!("exp.toml:{line}:");
        let words = [&[place.as_str()][..], words].concat();
        let lab = Lab::new(&config);
        for arguments in [&["run", "exp.toml"][..], &["run", "exp.toml", "--dry-run"]] {
            lab.refuses(arguments, 2, &words);
        }
    }
}

#[test]
fn a_vocabulary_too_small_for_the_lengths_is_refused_before_anything_is_written() {
    let copy = "kind = \"copy\"\ndistinct = true\nsymbols = 10";
    let config = TINY.replace("kind = \"reverse\"", copy).replace("lengths = [1, 4]", "lengths = [1, 50]");
    Lab::new(&config).refuses(&["run", "exp.toml"], 2, &["exp.toml:", "train.lengths", "50", "10"]);
}

#[test]
fn one_impossible_value_in_a_grid_refuses_the_grid() {
    let lab = Lab::new(&format!("{TINY}[grid]\n\"model.d_model\" = [8, 9]\n"));
    lab.refuses(&["run", "exp.toml"], 2, &["exp.toml:", "n_heads", "model.d_model = 9"]);
}

#[test]
fn what_is_no_configuration_is_refused() {
    let lab = Lab::new(TINY);
    lab.write("folder/inside", "");
    lab.write("prose.toml", "Dear reader,\n");
    lab.write("empty.toml", "");
    lab.write("open.toml", "[train\n");
    lab.write("twice.toml", "seed = 1\nseed = 2\n");
    let garbage: Vec<u8> = (0..4096_u32).map(|i| (i.wrapping_mul(2654435761) >> 13) as u8).collect();
    lab.write("garbage.toml", garbage);
    lab.write("nul.toml", "seed = \0");
    lab.write("latin1.toml", b"name = \"tiny\"\ndescription = \"caf\xe9\"\n");
    let cases: [(&str, &str); 9] = [
        ("missing.toml", "missing.toml"),
        ("folder", "folder"),
        ("prose.toml", "prose.toml:1:"),
        ("empty.toml", "empty.toml"),
        ("open.toml", "open.toml:1:"),
        ("twice.toml", "twice.toml:2:"),
        ("garbage.toml", "garbage.toml"),
        ("nul.toml", "nul.toml:1:"),
        ("latin1.toml", "line 2"),
    ];
    for (file, place) in cases {
        lab.refuses(&["run", file], 2, &[place]);
    }
}

#[test]
fn nonsense_in_set_is_refused_and_quoted() {
    let lab = Lab::new(TINY);
    let cases = [
        "nonsense",
        "=1",
        "train.steps=",
        "train.steps=many",
        "train.steps=-1",
        "train.steps=1.5",
        "train.stepz=3",
        "train=3",
        "train.steps.more=3",
        "task.kind=nope",
        "position=nope",
        "grid.seeds=[]",
        "grid.train.stepz=[1, 2]",
        "seed=-1",
        "name=../up",
        "train.lengths=[1, 2",
        "train.lengths=[1, 2, 3]",
        "..=1",
    ];
    for set in cases {
        lab.refuses(&["run", "exp.toml", "--set", set], 2, &[set.split('=').next().unwrap()]);
    }
}

#[test]
fn wrong_usage_is_refused_with_a_hint() {
    let lab = Lab::new(TINY);
    let cases: [(&[&str], &str); 20] = [
        (&[], "Usage"),
        (&["fly"], "fly"),
        (&["run"], "CONFIG"),
        (&["run", "exp.toml", "--jobs", "0"], "--jobs"),
        (&["run", "exp.toml", "--jobs", "many"], "--jobs"),
        (&["run", "exp.toml", "--threads", "-1"], "-1"),
        (&["run", "exp.toml", "--threads", "70000"], "--threads"),
        (&["run", "exp.toml", "--set"], "--set"),
        (&["run", "exp.toml", "--faster"], "--faster"),
        (&["run", "exp.toml", "other.toml"], "other.toml"),
        (&["compare"], "DIR"),
        (&["compare", "a", "b", "--html", "c.html"], "--html"),
        (&["list"], "KIND"),
        (&["list", "nothing"], "nothing"),
        (&["bench"], "Usage"),
        (&["bench", "train", "--heads", "0"], "n_heads"),
        (&["bench", "train", "--d-model", "8", "--heads", "3"], "d_model"),
        (&["bench", "train", "--d-model", "6", "--heads", "2"], "fraction"),
        (&["bench", "train", "--position", "nope"], "nope"),
        (&["bench", "train", "--steps", "0"], "--steps"),
    ];
    for (arguments, word) in cases {
        lab.refuses(arguments, 2, &[word]);
    }
    for zero in ["--d-model", "--seq-len", "--batch", "--vocab", "--threads", "--layers"] {
        lab.refuses(
            &["bench", "train", zero, "0"],
            2,
            &[zero.trim_start_matches('-').split('-').next().unwrap()],
        );
    }
}

#[test]
fn an_output_folder_that_cannot_be_made_is_refused() {
    let lab = Lab::new(TINY);
    lab.refuses(&["run", "exp.toml", "--out", "exp.toml/x"], 1, &["exp.toml/x"]);
    lab.refuses(&["run", "exp.toml", "--out", "exp.toml"], 1, &["exp.toml"]);
    let said = lab.attnlab(&["run", "exp.toml", "--out", "exp.toml"]).stderr;
    assert_eq!(said.matches("os error").count(), 1, "the reason is said twice: {said}");
    lab.write("runs/tiny", "a file where the experiment's folder should be");
    lab.refuses(&["run", "exp.toml"], 1, &["runs/tiny"]);
}

#[test]
fn a_foreign_output_folder_is_refused_and_kept() {
    let contents: [(&str, &str, &str); 6] = [
        ("thesis.tex", "\\section", "thesis.tex"),
        ("thesis.tex.unfinished", "\\section", "thesis.tex.unfinished"),
        ("grid.json", "{\"rows\": 3}", "grid.json"),
        ("grid.json", "", "grid.json"),
        ("grid.json", "\u{0}\u{1}", "grid.json"),
        ("grid.json/inside", "", "grid.json"),
    ];
    for (name, content, word) in contents {
        let lab = Lab::new(TINY);
        lab.write(&format!("runs/tiny/{name}"), content);
        lab.write("runs/tiny/zettel.unfinished", "somebody's");
        lab.refuses(&["run", "exp.toml"], 1, &["runs/tiny", word]);
    }
}

#[test]
fn a_run_folder_of_something_else_is_refused_and_does_not_stop_the_other_runs() {
    let lab = Lab::new(TINY);
    lab.succeeds(&["run", "exp.toml", "--set", "grid.seeds=[0, 1]"]);
    let [first, second] = lab.runs().try_into().unwrap();
    let foreign: [(&str, &[u8]); 4] = [
        ("config.toml", b"name = \"tiny\"\nseed = 7\n"),
        ("config.toml", b"\xff\xfe"),
        ("letter.txt", b"Dear reader"),
        ("letter.unfinished", b"Dear"),
    ];
    for (name, content) in foreign {
        for run in [&first, &second] {
            fs::remove_dir_all(run).unwrap();
        }
        fs::create_dir(&first).unwrap();
        fs::write(first.join(name), content).unwrap();
        let before = files(&first);
        let ended = lab.attnlab(&["run", "exp.toml", "--set", "grid.seeds=[0, 1]", "--jobs", "1"]);
        assert_eq!(ended.code, Some(1), "{}", ended.stderr);
        let id = first.file_name().unwrap().to_str().unwrap();
        assert!(ended.stderr.contains("error: 1 of 2 runs could not be done"), "{}", ended.stderr);
        assert!(ended.stderr.contains(id) && ended.stderr.contains("config"), "{name}: {}", ended.stderr);
        assert_eq!(differing(&before, &files(&first)), [""; 0], "{name}");
        assert!(second.join("DONE").exists(), "{name} stopped the other run");
    }
}

#[test]
fn compare_refuses_what_is_no_experiment() {
    let lab = Lab::new(TINY);
    lab.write("foreign/letter.txt", "Dear reader");
    lab.write("damaged/grid.json", "{\"name\": ");
    fs::create_dir(lab.path("empty")).unwrap();
    for folder in ["missing", "empty", "foreign", "damaged", "exp.toml"] {
        lab.refuses(&["compare", folder], 1, &[folder, "grid.json"]);
    }
    lab.refuses(&["compare", "empty", "--json"], 1, &["empty"]);
}

#[test]
fn compare_refuses_a_key_that_no_run_has_and_a_page_that_cannot_be_written() {
    let lab = Lab::new(TINY);
    lab.succeeds(&["run", "exp.toml"]);
    lab.refuses(&["compare", "runs/tiny", "--by", "train.stepz"], 2, &["train.stepz", "position"]);
    lab.refuses(&["compare", "runs/tiny", "--bin", "9"], 2, &["--bin 9", "1 to"]);
    lab.refuses(&["compare", "runs/tiny", "--targets"], 2, &["names no targets"]);
    lab.refuses(&["compare", "runs/tiny", "--targets", "exp.toml"], 2, &["exp.toml", "unknown key"]);
    let ended = lab.attnlab(&["compare", "runs/tiny", "--html", "exp.toml/page.html"]);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("exp.toml/page.html"), "{}", ended.stderr);
}
