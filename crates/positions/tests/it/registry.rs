//! Every encoding in the registry is documented, configurable, and differentiable.

#![allow(clippy::unwrap_used)]

use std::collections::HashSet;

use attnlab_ops::{Parameters, Streams};
use attnlab_positions::{
    Bias, Content, Enters, Info, Part, Places, Position, PositionConfig, Shape, registry,
};
use candle_core::{DType, Device, Tensor, Var};

const SHAPE: Shape = Shape { d_model: 16, n_heads: 2, head_dim: 8, max_len: 64, causal: true };

/// `kind = "rope"` and other keys, as a user writes them, into the externally tagged form; `over` likewise.
fn tagged(mut table: toml::Table) -> toml::Table {
    if let Some(toml::Value::Table(over)) = table.remove("over") {
        table.insert("over".to_owned(), toml::Value::Table(tagged(over)));
    }
    let kind = table.remove("kind").unwrap().as_str().unwrap().to_owned();
    toml::Table::from_iter([(kind, toml::Value::Table(table))])
}

pub(crate) fn config(table: &str) -> Result<PositionConfig, toml::de::Error> {
    toml::Value::Table(tagged(toml::from_str(table).unwrap())).try_into()
}

fn content_bias(position: &dyn Position, x: &Tensor, q: &Tensor, places: &Places) -> Option<Tensor> {
    let of = Content { x, q, k: q, scale: 8f64.sqrt().recip() };
    position.content_bias(&of, (places, places)).unwrap()
}

fn defaults() -> Vec<(Info, PositionConfig)> {
    registry().iter().map(|info| (*info, config(&format!("kind = \"{}\"", info.kind)).unwrap())).collect()
}

#[test]
fn every_encoding_says_what_it_is() {
    let mut kinds = HashSet::new();
    for info in registry() {
        for (what, text) in [
            ("title", info.title),
            ("formula", info.formula),
            ("parameters", info.parameters),
            ("source", info.source),
            ("example", info.example),
        ] {
            assert!(!text.trim().is_empty(), "{}: {what} is empty", info.kind);
        }
        assert!(info.example.starts_with(&format!("kind = \"{}\"\n", info.kind)), "{}", info.kind);
        assert!(kinds.insert(info.kind), "{} is there twice", info.kind);
    }
}

#[test]
fn every_example_is_read_built_and_sets_every_field() {
    for info in registry() {
        let read = config(info.example).unwrap();
        assert_eq!(read.kind(), info.kind);
        let vb = Parameters::new().seeded(Streams::new(0), DType::F32, &Device::Cpu);
        read.build(Part::Whole, &SHAPE, vb).unwrap();
        // Round trip, and the example shows every key there is.
        let written = toml::Table::try_from(&read).unwrap();
        assert_eq!(toml::Value::Table(written.clone()).try_into::<PositionConfig>().unwrap(), read);
        let example: toml::Table = toml::from_str(info.example).unwrap();
        let keys = |table: &toml::Table| -> HashSet<String> {
            table.keys().filter(|key| *key != "kind").cloned().collect()
        };
        assert_eq!(keys(written[info.kind].as_table().unwrap()), keys(&example), "{}", info.kind);
    }
}

#[test]
fn an_empty_table_means_the_defaults_and_an_unknown_key_is_an_error() {
    for (info, default) in defaults() {
        assert_eq!(default.kind(), info.kind);
        default.validate(&SHAPE).unwrap();
        let error = config(&format!("kind = \"{}\"\nbse = 1", info.kind)).unwrap_err().to_string();
        assert!(error.contains("unknown field `bse`"), "{}: {error}", info.kind);
    }
    assert!(config("kind = \"rotary\"").is_err());
}

#[test]
fn every_label_is_unique() {
    let mut labels = HashSet::new();
    for (info, default) in defaults() {
        match info.enters {
            Enters::Another => assert!(default.label().starts_with(info.kind), "{}", default.label()),
            _ => assert_eq!(default.label(), info.kind, "the default is called by its kind"),
        }
        let example = config(info.example).unwrap();
        assert!(labels.insert(default.label()), "{} is there twice", default.label());
        assert!(example == default || labels.insert(example.label()), "{} is there twice", example.label());
    }
}

#[test]
fn an_encoding_enters_where_it_says_and_nowhere_else() {
    for (info, default) in defaults() {
        let vb = Parameters::new().seeded(Streams::new(0), DType::F64, &Device::Cpu);
        let position = default.build(Part::Whole, &SHAPE, vb).unwrap();
        let places = Places::range(1, 5);
        let values = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        let x = Tensor::ones((2, 5, 16), DType::F64, &Device::Cpu).unwrap();
        let q = Tensor::ones((2, 5, 2, 8), DType::F64, &Device::Cpu).unwrap();
        let embeds = values(&position.embed(&x, &places).unwrap()) != values(&x);
        let rotates = values(&position.rotate(&q, &places).unwrap()) != values(&q);
        let biases =
            !matches!(position.bias(&places, &places, DType::F64, &Device::Cpu).unwrap(), Bias::None)
                || content_bias(&*position, &x, &q, &places).is_some();
        let entered = (embeds, rotates, biases);
        let expected = match info.enters {
            Enters::Nowhere => Some((false, false, false)),
            Enters::Embeddings => Some((true, false, false)),
            Enters::QueriesAndKeys => Some((false, true, false)),
            Enters::Scores => Some((false, false, true)),
            // Its default is over one or another.
            Enters::Another => None,
        };
        assert_eq!(entered, expected.unwrap_or(entered), "{}", info.kind);
        assert_eq!((position.embeds(), position.rotates()), (embeds, rotates), "{}", info.kind);
    }
}

#[test]
fn gradients_flow_through_every_encoding_to_its_input_and_its_parameters() {
    for (info, default) in defaults() {
        for places in [Places::range(0, 3), Places::rows(vec![vec![0, 2, 5], vec![3, 4, 5]]).unwrap()] {
            let parameters = Parameters::new();
            let vb = parameters.seeded(Streams::new(0), DType::F64, &Device::Cpu);
            let position = default.build(Part::Whole, &SHAPE, vb).unwrap();
            let x = Var::from_tensor(&Tensor::ones((2, 3, 16), DType::F64, &Device::Cpu).unwrap()).unwrap();
            let q = Var::from_tensor(&Tensor::ones((2, 3, 2, 8), DType::F64, &Device::Cpu).unwrap()).unwrap();
            let embedded = position.embed(&x, &places).unwrap().sqr().unwrap().sum_all().unwrap();
            let weights = Tensor::arange(0f64, 96., &Device::Cpu).unwrap().reshape((2, 3, 2, 8)).unwrap();
            let turned = (position.rotate(&q, &places).unwrap() * weights).unwrap().sum_all().unwrap();
            let mut sum = (embedded + turned).unwrap();
            let biases = [
                match position.bias(&places, &places, DType::F64, &Device::Cpu).unwrap() {
                    Bias::None => None,
                    Bias::Distance(bias) => Some(bias.values),
                    Bias::Full(bias) => Some(bias),
                },
                content_bias(&*position, &x, &q, &places),
            ];
            for bias in biases.into_iter().flatten() {
                sum = (sum + bias.sin().unwrap().sum_all().unwrap()).unwrap();
            }
            let grads = sum.backward().unwrap();
            let all = parameters.vars().into_iter().chain([("x".into(), x), ("q".into(), q)]);
            for (name, var) in all {
                let grad =
                    grads.get(&var).unwrap_or_else(|| panic!("{}: no gradient reaches {name}", info.kind));
                let norm = grad.sqr().unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap();
                assert!(norm > 0.0, "{}: the gradient of {name} is zero", info.kind);
            }
        }
    }
}
