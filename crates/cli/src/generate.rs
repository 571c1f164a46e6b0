//! `attnlab generate MODEL --prompt S`: a model's continuation, which shows at a glance whether it is loaded right.

use std::io::Write as _;
use std::time::Instant;

use anyhow::Result;
use attnlab_model::Sampling;
use attnlab_ops::{Threads, on_threads};
use serde_json::json;

use crate::model::{Model, Precision};
use crate::{End, Usage, say, texts};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A folder in Hugging Face's form, a .gguf file, a run's folder, a Hub id (owner/name), or `demo`.
    model: String,
    /// The text to continue.
    #[arg(long, value_name = "TEXT", required_unless_present = "tokens")]
    prompt: Option<String>,
    /// Token ids to continue, in place of a text.
    #[arg(long, value_name = "IDS", conflicts_with = "prompt")]
    tokens: Option<String>,
    /// At most so many new tokens.
    #[arg(long, default_value_t = 40, value_name = "N")]
    max_tokens: usize,
    /// 0 takes the most likely token; above, the higher the more varied.
    #[arg(long, default_value_t = 0.0)]
    temperature: f64,
    /// Only so many of the most likely tokens [0: all].
    #[arg(long, default_value_t = 0, value_name = "N")]
    top_k: usize,
    /// Only the most likely tokens that together have this probability.
    #[arg(long, default_value_t = 1.0, value_name = "P")]
    top_p: f64,
    /// Where draws come from.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Add no special tokens around the prompt.
    #[arg(long)]
    no_special: bool,
    /// Threads [default: one a core].
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Print prompt, ids and text as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: Arguments) -> Result<End> {
    if !(arguments.temperature.is_finite() && arguments.temperature >= 0.0) {
        return Err(Usage(format!("--temperature {}: expected 0 or more", arguments.temperature)).into());
    }
    if !(0.0..=1.0).contains(&arguments.top_p) {
        return Err(Usage(format!("--top-p {}: expected 0 to 1", arguments.top_p)).into());
    }
    let model = Model::open(&arguments.model, arguments.tokens.is_some(), Precision::F32)?;
    let prompt = match (&arguments.prompt, &arguments.tokens) {
        (Some(text), _) => {
            let mut ids = model.encode(text, arguments.no_special)?;
            // A token that ends a text would end it before it is continued.
            while ids.len() > 1 && ids.last().is_some_and(|id| model.ends().contains(id)) {
                ids.pop();
            }
            ids
        }
        (None, ids) => texts::numbers("--tokens", ids.as_deref().unwrap_or_default())?.concat(),
    };
    texts::are_tokens_of(&model, "the prompt", &prompt)?;
    let sampling = Sampling {
        temperature: arguments.temperature,
        top_k: arguments.top_k,
        top_p: arguments.top_p,
        seed: arguments.seed,
    };
    let ends = model.ends();
    let threads = Threads::new(crate::threads(arguments.threads)?)?;
    let (mut new, mut shown) = (Vec::new(), String::new());
    let began = Instant::now();
    let show = |id: u32| {
        new.push(id);
        if !arguments.json {
            if let (1, Some(prompt)) = (new.len(), &arguments.prompt) {
                let _ = std::io::stdout().lock().write_all(prompt.as_bytes());
            }
            // Decoded from the start: a character may be spread over several tokens.
            if let Ok(text) = model.decode(&new)
                && !text.ends_with('\u{fffd}')
                && let Some(more) = text.strip_prefix(&shown)
            {
                let mut out = std::io::stdout().lock();
                let _ = out.write_all(more.as_bytes()).and_then(|()| out.flush());
                shown = text;
            }
        }
        !ends.contains(&id)
    };
    let ids =
        on_threads(&threads, || model.transformer.generate(&prompt, arguments.max_tokens, &sampling, show))?;
    let seconds = began.elapsed().as_secs_f64();
    if arguments.json {
        let text = model.decode(&ids)?;
        say::result(serde_json::to_string_pretty(&json!({
            "model": model.name, "prompt_ids": prompt, "ids": ids, "text": text, "seconds": seconds,
        }))?)?;
    } else {
        say::result("")?;
        let rate = ids.len() as f64 / seconds.max(1e-9);
        say::note(format_args!("{}: {}; {rate:.1} a second", model.name, say::count(ids.len(), "token")));
    }
    Ok(End::Success)
}
