//! `attnlab inspect MODEL`: the attention heads of one model.

mod dump;
mod packers;
mod page;
mod questions;
mod survey;
mod table;
mod tensors;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use attnlab_heads::{MapScope, SurveyOptions, registry};
use attnlab_ops::{Threads, on_threads};
use attnlab_report::inspect::{Map, Page, map_png, map_svg, survey_png, survey_svg};
use attnlab_runner::write_file;

use crate::model::{Model, Precision};
use crate::progress::Slow;
use crate::texts::{Text, Texts};
use crate::{End, Usage, say};
pub(crate) use dump::selection;
use questions::{Answers, Questions};
use survey::Reading;
use table::Everything;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A folder in Hugging Face's form, a .gguf file, a run's folder, a Hub id (owner/name@revision), or `demo`.
    model: String,
    /// Another model, to be compared on the same texts in the page.
    #[arg(long, value_name = "MODEL")]
    against: Option<String>,
    #[command(flatten)]
    texts: Texts,
    /// Only these layers: `0,2,5-7`.
    #[arg(long, value_name = "LIST")]
    layers: Option<String>,
    /// Only these query heads of each layer.
    #[arg(long, value_name = "LIST")]
    heads: Option<String>,
    /// Only these query rows, of maps in a dump and of patches.
    #[arg(long, value_name = "LIST")]
    rows: Option<String>,
    /// The statistic that heads are sorted by and pictures coloured by; `attnlab list metrics` names them.
    #[arg(long, value_name = "STATISTIC", default_value = "first_token")]
    by: String,
    /// Rows of tables; 0 for all.
    #[arg(long, value_name = "N", default_value_t = 16)]
    top: usize,
    /// Keys at the front whose joint share is measured.
    #[arg(long, value_name = "K", default_value_t = 4)]
    first_k: usize,
    /// Detectors leave the first token out, as TransformerLens's exclude_bos.
    #[arg(long)]
    exclude_bos: bool,
    /// Detectors leave the query's own token out, as TransformerLens's exclude_current_token.
    #[arg(long)]
    exclude_current: bool,
    #[command(flatten)]
    questions: Questions,
    #[command(flatten)]
    files: Files,
    /// Print everything as JSON instead of tables.
    #[arg(long)]
    json: bool,
    /// The numbers it computes in.
    #[arg(long, value_enum, default_value = "f32")]
    precision: Precision,
    /// Threads [default: one a core]. Results do not depend on it.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

#[derive(clap::Args)]
#[command(next_help_heading = "Files")]
struct Files {
    /// One page that opens offline: survey, maps, curves, comparison.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// All statistics as JSON.
    #[arg(long, value_name = "FILE")]
    stats: Option<PathBuf>,
    /// All statistics as a table.
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Input ids, maps, hidden states and logits as safetensors.
    #[arg(long, value_name = "FILE")]
    dump: Option<PathBuf>,
    /// The activations at this hook point into the dump, too: `blocks.*.attn.hook_z`. May be given several times.
    #[arg(long = "point", value_name = "NAME", requires = "dump")]
    points: Vec<String>,
    /// A picture, .svg or .png: of the survey, or of one head's map with --map.
    #[arg(long, value_name = "FILE")]
    picture: Option<PathBuf>,
    /// The head whose map is pictured: layer.head.
    #[arg(long, value_name = "L.H", requires = "picture")]
    map: Option<String>,
}

impl Files {
    /// Whether the statistics are wanted in some file.
    fn survey(&self) -> bool {
        [&self.html, &self.stats, &self.csv, &self.picture].iter().any(|file| file.is_some())
    }
}

pub(crate) fn run(mut arguments: Arguments) -> Result<End> {
    if arguments.texts.is_empty() {
        if arguments.model != crate::demo::NAME {
            let problem =
                "there is nothing to read; give --prompt, --text-file, --lines, --tokens or --repeat";
            return Err(Usage(problem.to_owned()).into());
        }
        arguments.texts.add(crate::demo::TEXT);
    }
    if !registry().iter().any(|metric| metric.name == arguments.by) {
        let known: Vec<&str> = registry().iter().map(|metric| metric.name).collect();
        return Err(Usage(format!(
            "--by {}: no such statistic; there are {}",
            arguments.by,
            known.join(", ")
        ))
        .into());
    }
    let threads = crate::threads(arguments.threads)?;
    let team = Threads::new(threads)?;
    on_threads(&team, || inspect(&arguments, threads))?;
    Ok(End::Success)
}

fn inspect(arguments: &Arguments, threads: usize) -> Result<()> {
    let open = |text: &str| Model::open(text, arguments.texts.ids_only(), arguments.precision);
    let model = open(&arguments.model)?;
    let texts = arguments.texts.read(&model)?;
    let scope = scope(arguments, &model, &texts)?;
    let files = &arguments.files;
    let pictured = match &files.map {
        Some(text) => Some(pictured(&model, text)?),
        None => None,
    };
    // Questions first: one that the model cannot answer is refused before anything is written.
    let answers = match arguments.questions.any() {
        true => arguments.questions.answer(&model, &texts, &scope, (threads, arguments.top))?,
        false => Answers::default(),
    };
    if let Some(file) = &files.dump {
        let entries = dump::entries(&model, &texts, &scope, &files.points)?;
        tensors::write(file, &entries)?;
        if !arguments.json {
            for entry in &entries {
                say::result(format_args!("{} {:?}", entry.name, entry.shape))?;
            }
        }
    }
    let only_dump = files.dump.is_some() && !files.survey() && !arguments.json;
    if only_dump {
        return answers.tables.iter().try_for_each(say::result);
    }

    let readings = readings(arguments, &model, &texts, &scope, pictured)?;
    let mut all = vec![(model, readings)];
    if let Some(text) = &arguments.against {
        let other = open(text)?;
        let texts = arguments.texts.read(&other)?;
        let scope = self::scope(arguments, &other, &texts)?;
        let readings = self::readings(arguments, &other, &texts, &scope, None)?;
        all.push((other, readings));
    }
    write(arguments, &all, &answers, pictured)?;
    report(arguments, &all, &answers)
}

fn scope(arguments: &Arguments, model: &Model, texts: &[Text]) -> Result<MapScope> {
    let anatomy = model.transformer.anatomy();
    let longest = texts.iter().map(|text| text.ids.len()).max().unwrap_or(0);
    Ok(MapScope {
        layers: dump::selection("layers", arguments.layers.as_deref(), anatomy.n_layers)?,
        heads: dump::selection("heads", arguments.heads.as_deref(), anatomy.n_heads)?,
        rows: dump::selection("rows", arguments.rows.as_deref(), longest)?,
    })
}

/// The head of `--map`, if the model has it.
fn pictured(model: &Model, text: &str) -> Result<(usize, usize)> {
    let (layer, head) = questions::head("--map", text)?;
    let anatomy = model.transformer.anatomy();
    if layer >= anatomy.n_layers || head >= anatomy.n_heads {
        let (layers, heads) = (anatomy.n_layers - 1, anatomy.n_heads - 1);
        return Err(Usage(format!(
            "--map {text}: the model has layers 0 to {layers} and heads 0 to {heads}"
        ))
        .into());
    }
    Ok((layer, head))
}

/// What the model makes of the texts: each alone, or lines together.
fn readings(
    arguments: &Arguments,
    model: &Model,
    texts: &[Text],
    scope: &MapScope,
    pictured: Option<(usize, usize)>,
) -> Result<Vec<Reading>> {
    let anatomy = model.transformer.anatomy();
    let mut options = SurveyOptions::default();
    options.constants.first_k = arguments.first_k;
    options.constants.exclude_bos = arguments.exclude_bos;
    options.constants.exclude_current = arguments.exclude_current;
    // A page shows each row of a batch; numbers are means over all.
    let seen = arguments.files.html.is_some() || arguments.files.map.is_some();
    let together = arguments.texts.are_lines() || arguments.texts.ids_only() && !seen;
    let passes = if together { vec![texts] } else { texts.chunks(1).collect() };
    let chosen = arguments.layers.is_some() || arguments.heads.is_some();
    let of_texts = |texts: &[Text]| -> Result<Reading> {
        let bar = Slow::new("reading", anatomy.n_layers * texts.len());
        let read =
            |label: &str, maps: &[(usize, usize)]| survey::read(model, texts, label, maps, options, &bar);
        let [text] = texts else { return read(&say::count(texts.len(), "text"), &[]) };
        let with_pictured = |mut heads: Vec<(usize, usize)>| {
            heads.extend(pictured.filter(|head| !heads.contains(head)));
            heads
        };
        if arguments.files.html.is_none() {
            return read(&text.label, &with_pictured(Vec::new()));
        }
        if text.ids.len() <= survey::WHOLE || chosen {
            let all = survey::heads_in(scope, (anatomy.n_layers, anatomy.n_heads));
            return read(&text.label, &with_pictured(all));
        }
        // Which heads are worth a megabyte shows only once they have been looked at.
        let mut reading = read(&text.label, &[])?;
        reading.maps = survey::maps(model, text, &with_pictured(survey::outstanding(&reading.survey)))?;
        Ok(reading)
    };
    passes.into_iter().map(of_texts).collect()
}

fn write_text(file: &Path, bytes: &[u8]) -> Result<()> {
    write_file(file, bytes).with_context(|| format!("could not write {}", file.display()))?;
    say::note(format_args!("wrote {}", file.display()));
    Ok(())
}

/// The files that were asked for.
fn write(
    arguments: &Arguments,
    all: &[(Model, Vec<Reading>)],
    answers: &Answers,
    pictured: Option<(usize, usize)>,
) -> Result<()> {
    let files = &arguments.files;
    if let Some(file) = &files.stats {
        write_text(file, json(all, answers)?.as_bytes())?;
    }
    if let Some(file) = &files.csv {
        write_text(file, &table::csv(all)?)?;
    }
    if files.html.is_none() && files.picture.is_none() {
        return Ok(());
    }
    let page = page::page(all, &answers.extras, &arguments.by);
    if let Some(file) = &files.html {
        write_text(file, page.render()?.as_bytes())?;
    }
    if let Some(file) = &files.picture {
        write_text(file, &picture(file, &page, &arguments.by, pictured)?)?;
    }
    Ok(())
}

/// The survey, or a head's map, as the file's ending says.
fn picture(file: &Path, page: &Page, by: &str, pictured: Option<(usize, usize)>) -> Result<Vec<u8>> {
    let ending = file.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    let vector = match ending {
        "svg" => true,
        "png" => false,
        _ => {
            return Err(Usage(format!(
                "--picture {}: expected a name that ends in .svg or .png",
                file.display()
            ))
            .into());
        }
    };
    let statistic = page.statistics.iter().position(|statistic| statistic.name == by).unwrap_or(0);
    let reading = page.readings.first();
    let map = pictured
        .and_then(|(layer, head)| reading?.maps.iter().find(|map| map.layer == layer && map.head == head));
    Ok(match (map, pictured) {
        (Some(Map { layer, head, map }), _) => {
            let title = format!("{} L{layer}H{head}", page.title);
            let tokens = reading.map(|reading| reading.tokens.clone()).unwrap_or_default();
            if vector { map_svg(map, &tokens, &title)?.into_bytes() } else { map_png(map, &title)? }
        }
        (None, Some(_)) => {
            return Err(Usage("--map: means over many texts have no map; give one text".to_owned()).into());
        }
        (None, None) if vector => survey_svg(page, 0, statistic)?.into_bytes(),
        (None, None) => survey_png(page, 0, statistic)?,
    })
}

/// Everything as JSON: of one model as it is, of several in a list.
fn json(all: &[(Model, Vec<Reading>)], answers: &Answers) -> Result<String> {
    let none = BTreeMap::new();
    // Questions are asked of the first.
    let answered = std::iter::once(&answers.json).chain(std::iter::repeat(&none));
    let everything = |((model, readings), answers): (&'_ (Model, Vec<Reading>), _)| -> Result<String> {
        Ok(serde_json::to_string(&Everything::new(model, readings, answers))?)
    };
    let models = all.iter().zip(answered).map(everything).collect::<Result<Vec<_>>>()?;
    Ok(match <[String; 1]>::try_from(models) {
        Ok([one]) => one,
        Err(models) => format!("{{\"models\":[{}]}}", models.join(",")),
    })
}

/// What is printed.
fn report(arguments: &Arguments, all: &[(Model, Vec<Reading>)], answers: &Answers) -> Result<()> {
    if arguments.json {
        return say::result(json(all, answers)?);
    }
    let top = if arguments.top == 0 { usize::MAX } else { arguments.top };
    for (model, readings) in all {
        for reading in readings {
            say::result(table::headline(model, reading))?;
            say::result(table::heads(&reading.survey, &arguments.by, top))?;
        }
    }
    answers.tables.iter().try_for_each(|table| say::result(format_args!("\n{table}")))
}
