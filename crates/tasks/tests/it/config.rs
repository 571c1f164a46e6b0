//! Reading a `[task]` table.

use attnlab_tasks::problems::{parity, reverse};
use attnlab_tasks::{Ones, ProblemConfig, Protocol, TaskConfig};

fn read(text: &str) -> Result<TaskConfig, String> {
    toml::from_str(text).map_err(|error| error.to_string())
}

#[track_caller]
fn refused(text: &str, reasons: &[&str]) {
    let error = match read(text) {
        Err(error) => error,
        Ok(config) => config.build().err().expect("accepted").to_string(),
    };
    for reason in reasons {
        assert!(error.contains(reason), "no `{reason}` in: {error}");
    }
}

#[test]
fn a_kind_alone_takes_its_defaults() {
    let config = read("parity = {}").unwrap();
    let expected = ProblemConfig::Parity(parity::Config { ones: Ones::Iid });
    assert_eq!(config, TaskConfig { protocol: None, bos: true, problem: expected });
    assert_eq!(config.protocol(), Protocol::Encoder);
    assert_eq!(read("majority = {}").unwrap().protocol(), Protocol::Language);
}

#[test]
fn keys_may_come_in_any_order_and_the_kind_as_a_table_of_its_own() {
    let expected = TaskConfig {
        protocol: Some(Protocol::Language),
        bos: true,
        problem: ProblemConfig::Reverse(reverse::Config { symbols: 9 }),
    };
    for text in [
        "reverse = { symbols = 9 }\nprotocol = \"language\"",
        "protocol = \"language\"\nbos = true\n[reverse]\nsymbols = 9",
    ] {
        assert_eq!(read(text).unwrap(), expected, "{text}");
    }
}

#[test]
fn variants_are_named_in_the_label() {
    for (text, label, setting) in [
        ("parity = { ones = \"uniform\" }", "parity (ones uniform)", "encoder"),
        ("parity = {}\nbos = false", "parity (ones iid)", "encoder, no bos"),
        ("copy = { distinct = true }", "copy (unique)", "language"),
        ("copy = {}", "copy (repeat)", "language"),
        ("aa_star = {}\nbos = false", "(aa)*", "prefix, no bos"),
        ("dyck = { brackets = 8, max_depth = 10 }", "dyck-(8,10)", "prefix"),
        ("dyck = { brackets = 1 }", "dyck-1", "prefix"),
        ("dyck = { max_depth = 3, law = \"walk\" }", "dyck-(2,3), walk", "prefix"),
        ("bracket_depth = {}", "bracket depth (dyck-1, capped at 10)", "prefix"),
        (
            "which_closes = { max_depth = 10, test_depth = { from = 702, max = 15 } }",
            "which closes (dyck-(8,10); depth 15 from 702)",
            "prefix",
        ),
        (
            "modular_arithmetic_brackets = { multiplication = false }",
            "modular arithmetic with brackets (mod 5, + and - only)",
            "encoder",
        ),
        ("addition = {}", "addition (base 2)", "language"),
        (
            "addition = { base = 10, reversed = true, padded = true }",
            "addition (base 10, reversed, padded)",
            "language",
        ),
        ("duplicate = {}", "duplicate", "encoder"),
        ("missing_duplicate = {}", "missing duplicate", "encoder"),
        ("odds_first = { symbols = 3 }", "odds first (3 symbols)", "encoder"),
        ("sort = {}", "sort", "language"),
        ("bucket_sort = {}", "bucket sort", "encoder"),
        ("letter_majority = {}", "majority of letters", "language"),
        ("order_detection = {}", "ab before ba (first uniform)", "encoder"),
        ("order_detection = { first = \"iid\" }", "ab before ba (iid)", "encoder"),
        ("permutation_detection = { change = \"swap\" }", "permutation detection (swap)", "encoder"),
        ("selective_copy = {}", "selective copy (half)", "language"),
        ("selective_copy = { content = 128 }", "selective copy (128)", "language"),
        ("induction = {}", "induction (last)", "prefix"),
        ("induction = { asked = \"every\", symbols = 4 }", "induction (every, 4 symbols)", "prefix"),
        ("mqar = {}", "mqar (4 pairs, 8192 tokens)", "prefix"),
        (
            "mqar = { vocabulary = 256, power = 1.0, filler = \"zero\" }",
            "mqar (4 pairs, 256 tokens, power 1, zero filler)",
            "prefix",
        ),
        ("a_n_b_n = {}", "a^n b^n", "prefix"),
        ("a_n_b_n_c_n = {}\nbos = false", "a^n b^n c^n", "prefix, no bos"),
        ("shuffle = {}", "shuffle-2", "prefix"),
        ("aa_star = { period = 4 }", "(aaaa)*", "prefix"),
        ("abab_star = {}", "(abab)*", "prefix"),
        ("alternation = {}", "(01)*", "prefix"),
        ("tomita = { n = 3 }", "tomita 3", "prefix"),
        ("tomita = { n = 3, labels = \"next\" }", "tomita 3 (next)", "prefix"),
        ("d_n = { n = 12 }", "D-12", "prefix"),
        ("flip_flop = {}", "flip-flop {0,1,2}*02*", "prefix"),
        ("flip_flop = { variant = \"instructions\" }", "flip-flop (ignore 0.8)", "prefix"),
        ("modular_arithmetic = {}", "modular arithmetic (mod 5)", "encoder"),
        ("interleaved_majority = {}", "interleaved majority", "language"),
        ("regular = { pattern = \"(ab|ba)*\" }", "regular (ab|ba)*", "prefix"),
    ] {
        let task = read(text).unwrap().build().unwrap();
        assert_eq!((task.label().as_str(), task.setting().as_str()), (label, setting));
    }
}

#[test]
fn unknown_keys_and_kinds_are_refused_with_the_known_ones() {
    refused("parity = { one = 1 }", &["unknown field `one`", "`ones`"]);
    refused("first_token = { n = 1 }", &["unknown field `n`"]);
    refused("parrity = {}", &["unknown field `parrity`", "`parity`", "`dyck`"]);
    refused("parity = {}\nbso = true", &["unknown field `bso`", "`bos`"]);
    refused("parity = { ones = \"even\" }", &["unknown variant `even`", "`iid`"]);
    refused("parity = {}\nprotocol = \"prefx\"", &["unknown variant `prefx`", "`prefix`"]);
}

#[test]
fn no_kind_and_two_kinds_are_refused() {
    refused("bos = true", &["names no kind", "parity"]);
    refused("parity = {}\nreverse = {}", &["both `parity` and `reverse`"]);
}

#[test]
fn values_out_of_range_are_refused_with_the_range() {
    refused("aa_star = { period = 1 }", &["task.aa_star.period is 1", "2 to 1000"]);
    refused("position_mod = { period = 0 }", &["task.position_mod.period is 0"]);
    refused("reverse = { symbols = 1 }", &["task.reverse.symbols is 1", "2 to 10000"]);
    refused("copy = { symbols = 0 }", &["task.copy.symbols is 0"]);
    refused("cycle_navigation = { places = 1 }", &["task.cycle_navigation.places is 1"]);
    refused("dyck = { brackets = 0 }", &["task.dyck.brackets is 0"]);
    refused("dyck = { max_depth = 0 }", &["task.dyck.max_depth is 0"]);
    refused("dyck = { law = \"walk\" }", &["task.dyck.law", "set `max_depth`"]);
    refused("which_closes = { brackets = 1 }", &["task.which_closes.brackets is 1", "2 to 1000"]);
    refused("bracket_depth = { cap = 0 }", &["task.bracket_depth.cap is 0"]);
    refused(
        "modular_arithmetic_brackets = { modulus = 1 }",
        &["task.modular_arithmetic_brackets.modulus is 1"],
    );
    refused("solve_equation = { modulus = 1 }", &["task.solve_equation.modulus is 1"]);
    refused("addition = { base = 11 }", &["task.addition.base is 11", "2 to 10"]);
    refused("duplicate = { symbols = 1 }", &["task.duplicate.symbols is 1", "2 to 10000"]);
    refused("odds_first = { symbols = 10001 }", &["task.odds_first.symbols is 10001"]);
    refused("sort = { symbols = 0 }", &["task.sort.symbols is 0"]);
    refused("bucket_sort = { symbols = 1 }", &["task.bucket_sort.symbols is 1"]);
    refused("letter_majority = { letters = 27 }", &["task.letter_majority.letters is 27", "2 to 26"]);
    refused("permutation_detection = { symbols = 1 }", &["task.permutation_detection.symbols is 1"]);
    refused("selective_copy = { symbols = 1 }", &["task.selective_copy.symbols is 1"]);
    refused("selective_copy = { content = 0 }", &["task.selective_copy.content is 0"]);
    refused("induction = { symbols = 1 }", &["task.induction.symbols is 1"]);
    refused("mqar = { vocabulary = 3 }", &["task.mqar.vocabulary is 3", "4 to 65536"]);
    refused("mqar = { vocabulary = 8, pairs = 4 }", &["task.mqar.pairs is 4", "1 to 3"]);
    refused("mqar = { pairs = 0 }", &["task.mqar.pairs is 0"]);
    for power in ["0.0", "1.5", "nan", "-inf"] {
        refused(&format!("mqar = {{ power = {power} }}"), &["task.mqar.power is", "above 0 and at most 1"]);
    }
    refused("abab_star = { period = 5 }", &["task.abab_star.period is 5", "an even number"]);
    refused("tomita = { n = 8 }", &["task.tomita.n is 8", "1 to 7"]);
    refused("tomita = { n = 4, strings = \"runs\" }", &["task.tomita.strings is \"runs\"", "n = 3"]);
    refused("d_n = { n = 101 }", &["task.d_n.n is 101", "1 to 100"]);
    refused("modular_arithmetic = { modulus = 1 }", &["task.modular_arithmetic.modulus is 1"]);
    refused("interleaved_majority = { streams = 1 }", &["task.interleaved_majority.streams is 1"]);
    refused("flip_flop = { ignore = 0.5 }", &["task.flip_flop.ignore is 0.5", "instructions"]);
    for ignore in ["1.0", "-0.1", "nan"] {
        let config = format!("flip_flop = {{ variant = \"instructions\", ignore = {ignore} }}");
        refused(&config, &["task.flip_flop.ignore is", "0 to below 1"]);
    }
    refused("regular = { pattern = \"(ab\" }", &["task.regular.pattern is `(ab`", "unclosed group"]);
}

#[test]
fn a_protocol_that_a_kind_lacks_and_language_without_bos_are_refused() {
    refused(
        "reverse = {}\nprotocol = \"prefix\"",
        &["task.protocol is `prefix`", "`reverse` offers `encoder`, `language`"],
    );
    refused("parity = {}\nprotocol = \"language\"\nbos = false", &["task.bos is false", "`parity`"]);
}

#[test]
fn a_length_that_an_option_excludes_is_refused_with_the_option() {
    use rand_chacha::rand_core::SeedableRng;
    let task = read("copy = { distinct = true, symbols = 10 }").unwrap().build().unwrap();
    assert_eq!(task.max_length(), Some(10));
    let mut rng = attnlab_tasks::Rng::seed_from_u64(0);
    let error = task.batch(attnlab_tasks::Split::Train, 1, 50, &mut rng).unwrap_err().to_string();
    assert!(error.contains("length 50") && error.contains("task.copy.symbols"), "{error}");
    for (kind, option) in [
        ("sort = { symbols = 49 }", "task.sort.symbols"),
        ("permutation_detection = { symbols = 24 }", "task.permutation_detection.symbols"),
        ("selective_copy = { content = 51 }", "task.selective_copy.content"),
        ("mqar = { pairs = 13 }", "task.mqar.pairs"),
    ] {
        let task = read(kind).unwrap().build().unwrap();
        let error = task.batch(attnlab_tasks::Split::Train, 1, 50, &mut rng).unwrap_err().to_string();
        assert!(error.contains(option), "{error}");
    }
}
