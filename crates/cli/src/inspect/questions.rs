//! What else may be asked of a model's heads: edits and their effects, the lens, attribution, circuits, rollout.

use std::collections::BTreeMap;

use anyhow::Result;
use attnlab_heads::MapScope;
use attnlab_heads::analysis::{
    self, Against, CircuitOptions, Effect, HeadAblation, Input, Method, Patch, Sweep, ablate_all,
    attribute_logits, compositions, cut_edge, effect, head_circuits, hide_key, logit_lens,
    mean_contributions, patch, patch_heads, rollout,
};
use attnlab_hooks::{Change, HookSpec, Scope, Select};
use attnlab_report::inspect::Statistic;
use serde_json::Value;

use super::page::Extra;
use super::table::table;
use crate::model::Model;
use crate::progress::Slow;
use crate::texts::{Text, numbers};
use crate::{Usage, say};

#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Edits and analyses")]
pub(crate) struct Questions {
    /// What heads do for the loss: `all` ablates each in turn and ranks them, `3.1,5.0` (layer.head) those together.
    #[arg(long, value_name = "HEADS")]
    ablate: Option<String>,
    /// What an ablated head writes.
    #[arg(long, value_enum, default_value = "zero", requires = "ablate")]
    method: Ablation,
    /// Cut an edge: layer.head:query>key, `*` for every query. May be given several times; all are cut together.
    #[arg(long, value_name = "L.H:Q>K")]
    cut: Vec<String>,
    /// Put the activation at this hook point of another text into this one: `blocks.2.hook_resid_pre`. `heads` patches
    /// each head's output in turn and ranks them. --rows and --heads choose a part of it.
    #[arg(long, value_name = "POINT", requires = "other")]
    patch: Option<String>,
    /// The text the activation is taken from, of as many tokens.
    #[arg(long, value_name = "TEXT", group = "other")]
    from: Option<String>,
    /// The same as token ids.
    #[arg(long, value_name = "IDS", group = "other")]
    from_tokens: Option<String>,
    /// What each layer would predict, read through the final norm and the head: the logit lens.
    #[arg(long)]
    lens: bool,
    /// What each head adds to the logit of the true next token, less the mean of all logits.
    #[arg(long)]
    attribute: bool,
    /// What the weights alone say: norms and copying scores of the QK and OV circuits, compositions of heads.
    #[arg(long)]
    circuits: bool,
    /// Where the last position's information comes from, through all layers: attention rollout.
    #[arg(long)]
    rollout: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Ablation {
    /// Nothing.
    Zero,
    /// Its mean over all positions of all texts.
    Mean,
    /// What it writes in the next of the texts.
    Resample,
}

/// What was found, to be printed, written and shown.
#[derive(Default)]
pub(super) struct Answers {
    pub(super) tables: Vec<String>,
    pub(super) json: BTreeMap<&'static str, Value>,
    pub(super) extras: Vec<Extra>,
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:+.4}"))
}

fn plain(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.4}"))
}

const EFFECT: [&str; 6] =
    ["Δ loss", "loss before", "loss after", "KL", "KL at the end", "change of the stream"];

fn effect_cells(effect: &Effect) -> Vec<String> {
    vec![
        number(effect.delta_loss),
        plain(effect.loss_before),
        plain(effect.loss_after),
        plain(effect.kl),
        plain(effect.kl_last),
        format!("{:.4}", effect.hidden_change),
    ]
}

impl Questions {
    /// Whether anything is asked.
    pub(super) fn any(&self) -> bool {
        let asked = self.ablate.is_some() || self.patch.is_some() || !self.cut.is_empty();
        asked || self.lens || self.attribute || self.circuits || self.rollout
    }

    pub(super) fn answer(
        &self,
        model: &Model,
        texts: &[Text],
        scope: &MapScope,
        (threads, top): (usize, usize),
    ) -> Result<Answers> {
        let mut answers = Answers::default();
        let inputs: Vec<Input> = texts.iter().map(input).collect();
        let sweep = Sweep { threads, layers: scope.layers.clone(), heads: scope.heads.clone() };
        if let Some(heads) = &self.ablate {
            if heads == "all" {
                self.ablate_each(model, &inputs, &sweep, top, &mut answers)?;
            } else {
                self.ablate_some(model, heads, &inputs, &mut answers)?;
            }
        }
        if !self.cut.is_empty() {
            let specs = self.cut.iter().map(|text| edge(text)).collect::<Result<Vec<_>>>()?;
            self.effects("cut edges", "cut", model, &inputs, &specs, &mut answers)?;
        }
        if let Some(point) = &self.patch {
            self.patch_from(point, model, &inputs, scope, &sweep, top, &mut answers)?;
        }
        let Some(first) = inputs.first() else { return Ok(answers) };
        if self.lens {
            lens(model, first, &mut answers)?;
        }
        if self.attribute {
            attribute(model, first, top, &mut answers)?;
        }
        if self.circuits {
            circuits(model, scope, threads, top, &mut answers)?;
        }
        if self.rollout {
            roll_out(model, first, top, &mut answers)?;
        }
        Ok(answers)
    }

    fn ablate_each(
        &self,
        model: &Model,
        inputs: &[Input],
        sweep: &Sweep,
        top: usize,
        answers: &mut Answers,
    ) -> Result<()> {
        let method = match self.method {
            Ablation::Zero => Method::Zero,
            Ablation::Mean => Method::Mean,
            Ablation::Resample if inputs.len() < 2 => {
                let problem =
                    "--method resample takes what a head writes from another text; give at least two";
                return Err(Usage(problem.to_owned()).into());
            }
            Ablation::Resample => Method::resample_among(inputs),
        };
        let a = &model.transformer.config().architecture;
        let heads = sweep.layers.indices(a.n_layers).len() * sweep.heads.indices(a.n_heads).len();
        let bar = Slow::new("ablating", heads * inputs.len());
        let found = ablate_all(&model.transformer, inputs, &method, sweep, &|done, _| bar.reach(done))?;
        drop(bar);
        let row = |head: &HeadAblation| {
            [vec![format!("L{}H{}", head.layer, head.head)], effect_cells(&head.effect)].concat()
        };
        let shown = if top == 0 { found.len() } else { top.min(found.len()) };
        let header: Vec<&str> = ["head"].into_iter().chain(EFFECT).collect();
        let rest = found.len() - shown;
        let mut text = format!("Each head ablated ({:?}), dearest first\n", self.method).to_lowercase();
        text.push_str(&table(&header, found.iter().take(shown).map(row)));
        if rest > 0 {
            text.push_str(&format!("\n{} more", say::count(rest, "head")));
        }
        answers.tables.push(text);
        let values = found
            .iter()
            .filter_map(|head| Some((head.layer, head.head, head.effect.delta_loss.or(head.effect.kl)?)));
        answers.extras.push(Extra {
            statistic: Statistic {
                name: "ablation".into(),
                title: "Δ loss if ablated".into(),
                formula: format!("loss without the head − loss; its output becomes {:?}", self.method)
                    .to_lowercase(),
                higher: "the model needs the head on this text".into(),
            },
            values: values.collect(),
        });
        answers.json.insert("ablation", serde_json::to_value(&found)?);
        Ok(())
    }

    fn ablate_some(&self, model: &Model, heads: &str, inputs: &[Input], answers: &mut Answers) -> Result<()> {
        let change = match self.method {
            Ablation::Zero => Change::Zero,
            Ablation::Mean => Change::Mean,
            Ablation::Resample => {
                let problem =
                    "--method resample is for --ablate all; patch a head's hook_z from another text instead";
                return Err(Usage(problem.to_owned()).into());
            }
        };
        let mut by_layer: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for text in heads.split(',') {
            let (layer, head) = head("--ablate", text.trim())?;
            by_layer.entry(layer).or_default().push(head);
        }
        let spec = |(layer, heads): (usize, Vec<usize>)| {
            HookSpec::edit(format!("blocks.{layer}.attn.hook_z"), change.clone()).heads(heads)
        };
        let specs: Vec<HookSpec> = by_layer.into_iter().map(spec).collect();
        self.effects(&format!("heads {heads} ablated together"), "ablation", model, inputs, &specs, answers)
    }

    /// The effect of the same edits on each text.
    fn effects(
        &self,
        what: &str,
        key: &'static str,
        model: &Model,
        inputs: &[Input],
        specs: &[HookSpec],
        answers: &mut Answers,
    ) -> Result<()> {
        let found = inputs
            .iter()
            .map(|input| effect(&model.transformer, input, specs))
            .collect::<Result<Vec<_>, _>>()?;
        let header: Vec<&str> = ["text"].into_iter().chain(EFFECT).collect();
        let rows =
            found.iter().zip(1..).map(|(effect, at)| [vec![at.to_string()], effect_cells(effect)].concat());
        answers.tables.push(format!("{what}\n{}", table(&header, rows)));
        answers.json.insert(key, serde_json::to_value(&found)?);
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "one question, with all that was asked around it")]
    fn patch_from(
        &self,
        point: &str,
        model: &Model,
        inputs: &[Input],
        scope: &MapScope,
        sweep: &Sweep,
        top: usize,
        answers: &mut Answers,
    ) -> Result<()> {
        let ids = match (&self.from, &self.from_tokens) {
            (Some(text), _) => model.encode(text, false)?,
            (None, ids) => numbers("--from-tokens", ids.as_deref().unwrap_or_default())?.concat(),
        };
        let source = Input::new(ids);
        let header: Vec<&str> = ["patched"].into_iter().chain(EFFECT).collect();
        if point == "heads" {
            let Some(first) = inputs.first() else { return Ok(()) };
            let bar = Slow::new("patching", 0);
            let found = patch_heads(&model.transformer, &source, first, sweep, &|done, _| bar.reach(done))?;
            drop(bar);
            let shown = if top == 0 { found.len() } else { top };
            let rows = found.iter().take(shown).map(|head| {
                [vec![format!("L{}H{}", head.layer, head.head)], effect_cells(&head.effect)].concat()
            });
            answers.tables.push(format!("each head's output from the other text\n{}", table(&header, rows)));
            answers.json.insert("patch", serde_json::to_value(&found)?);
            return Ok(());
        }
        let scope = Scope { heads: scope.heads.clone(), rows: scope.rows.clone(), ..Scope::default() };
        let patches = [Patch { point: point.to_owned(), scope, from_rows: None }];
        let found = inputs
            .iter()
            .map(|input| patch(&model.transformer, &source, input, &patches))
            .collect::<Result<Vec<_>, _>>()?;
        let rows = found.iter().map(|effect| [vec![point.to_owned()], effect_cells(effect)].concat());
        answers.tables.push(format!("patched from the other text\n{}", table(&header, rows)));
        answers.json.insert("patch", serde_json::to_value(&found)?);
        Ok(())
    }
}

fn input(text: &Text) -> Input {
    let segments = text.segments.clone();
    Input { segments, ..Input::new(text.ids.clone()) }
}

/// `3.1` as layer and head.
pub(super) fn head(what: &str, text: &str) -> Result<(usize, usize)> {
    let parsed =
        text.split_once('.').and_then(|(layer, head)| Some((layer.parse().ok()?, head.parse().ok()?)));
    parsed
        .ok_or_else(|| Usage(format!("{what}: `{text}` is no head; expected layer.head, such as 3.1")).into())
}

/// `3.1:7>0` or `3.1:*>0` as an edit.
fn edge(text: &str) -> Result<HookSpec> {
    let problem = || {
        Usage(format!("--cut {text}: expected layer.head:query>key, such as 3.1:7>0, or * for every query"))
    };
    let (at, pair) = text.split_once(':').ok_or_else(problem)?;
    let (query, key) = pair.split_once('>').ok_or_else(problem)?;
    let (layer, head) = head("--cut", at)?;
    let key = key.trim().parse().map_err(|_| problem())?;
    Ok(match query.trim() {
        "*" => hide_key(layer, Select::from([head]), Select::All, key),
        query => cut_edge(layer, head, query.parse().map_err(|_| problem())?, key),
    })
}

fn lens(model: &Model, input: &Input, answers: &mut Answers) -> Result<()> {
    const TOP: usize = 5;
    let last = input.len().saturating_sub(1);
    let found = logit_lens(&model.transformer, input, TOP, None)?;
    let rows = found.iter().map(|layer| {
        let losses = layer.positions.iter().filter_map(|at| at.target.map(|target| -target.log_prob));
        let (sum, count) = losses.fold((0.0, 0usize), |(sum, count), loss| (sum + loss, count + 1));
        let at_end = layer.positions.iter().find(|at| at.position == last);
        let top = at_end.map(|at| {
            let word = |token: &analysis::LensToken| {
                format!("{} {:.0} %", model.label(token.token), 100.0 * token.probability)
            };
            at.top.iter().map(word).collect::<Vec<_>>().join("  ")
        });
        let loss = if count == 0 { None } else { Some(sum / count as f64) };
        vec![layer.layer.to_string(), plain(loss), top.unwrap_or_default()]
    });
    let text = table(&["before layer", "loss", "likeliest after the last token"], rows);
    answers.tables.push(format!("logit lens\n{text}"));
    answers.json.insert("lens", serde_json::to_value(&found)?);
    Ok(())
}

fn attribute(model: &Model, input: &Input, top: usize, answers: &mut Answers) -> Result<()> {
    let found = attribute_logits(&model.transformer, input, None, Against::Mean)?;
    let mean = mean_contributions(&found);
    let shown = if top == 0 { mean.len() } else { top };
    let rows = mean
        .iter()
        .take(shown)
        .map(|head| vec![format!("L{}H{}", head.layer, head.head), number(Some(head.value))]);
    let text = table(&["head", "logits"], rows);
    answers
        .tables
        .push(format!("what each head adds to the true next token's logit, mean over positions\n{text}"));
    answers.extras.push(Extra {
        statistic: Statistic {
            name: "attribution".into(),
            title: "direct logit attribution".into(),
            formula: "z_h·Wo_h through the frozen final norm onto the true next token, less the mean logit; mean over positions".into(),
            higher: "the head itself writes the right answer".into(),
        },
        values: mean.iter().map(|head| (head.layer, head.head, head.value)).collect(),
    });
    answers.json.insert("attribution", serde_json::to_value(&found)?);
    Ok(())
}

fn circuits(
    model: &Model,
    scope: &MapScope,
    threads: usize,
    top: usize,
    answers: &mut Answers,
) -> Result<()> {
    let options = CircuitOptions {
        layers: scope.layers.clone(),
        heads: scope.heads.clone(),
        threads,
        ..CircuitOptions::default()
    };
    let mut found = head_circuits(&model.transformer, &options)?;
    found.sort_by(|a, b| b.ov_copying.total_cmp(&a.ov_copying));
    let shown = if top == 0 { found.len() } else { top };
    let rows = found.iter().take(shown).map(|head| {
        let cells = [head.qk_norm, head.ov_norm, head.qk_matching, head.ov_copying];
        let largest = |values: &[f64]| values.first().copied();
        let mut row = vec![format!("L{}H{}", head.layer, head.head)];
        row.extend(cells.iter().map(|value| format!("{value:.3}")));
        row.extend([plain(largest(&head.qk_singular)), plain(largest(&head.ov_singular))]);
        row
    });
    let header = ["head", "‖QK‖", "‖OV‖", "QK matching", "OV copying", "QK σ₁", "OV σ₁"];
    answers.tables.push(format!("circuits, by copying\n{}", table(&header, rows)));
    answers.json.insert("circuits", serde_json::to_value(&found)?);
    if model.transformer.config().architecture.n_layers > 1 {
        let pairs = compositions(&model.transformer, true, true)?;
        let shown = if top == 0 { pairs.scores.len() } else { top };
        let rows = pairs.scores.iter().take(shown).map(|pair| {
            let name = |(layer, head): (usize, usize)| format!("L{layer}H{head}");
            vec![
                name(pair.from),
                name(pair.to),
                format!("{:?}", pair.through).to_lowercase(),
                number(Some(pair.score)),
            ]
        });
        let text = table(&["writes", "reads", "through", "score − random"], rows);
        answers.tables.push(format!("compositions; random matrices score {:.3}\n{text}", pairs.baseline));
        answers.json.insert("compositions", serde_json::to_value(&pairs)?);
    }
    Ok(())
}

fn roll_out(model: &Model, input: &Input, top: usize, answers: &mut Answers) -> Result<()> {
    const LONGEST: usize = 4096;
    let found = rollout(&model.transformer, input, LONGEST)?;
    let last: Vec<f64> = found.shares.last().cloned().unwrap_or_default();
    let mut order: Vec<usize> = (0..last.len()).collect();
    order.sort_by(|&a, &b| last[b].total_cmp(&last[a]));
    let shown = if top == 0 { order.len() } else { top };
    let token = |at: usize| input.tokens.get(at).map_or_else(String::new, |&id| model.label(id));
    let rows =
        order.iter().take(shown).map(|&at| vec![format!("{at} {}", token(at)), format!("{:.4}", last[at])]);
    answers.tables.push(format!(
        "rollout: where the last position looks, through all layers\n{}",
        table(&["token", "share"], rows)
    ));
    answers.json.insert("rollout", serde_json::to_value(&found)?);
    Ok(())
}
