//! `attnlab bench capture`: the price of looking, each look in a process of its own.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use attnlab_runner::bench;
use serde_json::{Map, Value};

use super::{positive, print, size};
use crate::End;

#[derive(clap::Args)]
pub(crate) struct Capture {
    #[command(flatten)]
    size: size::Size,
    /// What is looked at; `all` measures each in a process of its own, as peak memory is a process's.
    #[arg(long, default_value = "all", overrides_with = "what")]
    what: What,
    /// Query rows of each sequence that statistics are taken of, evenly spread.
    #[arg(long, default_value_t = 64)]
    queries: usize,
    /// Timed looks, after one that is not.
    #[arg(long, default_value_t = 5)]
    repeats: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum What {
    /// Nothing: logits only.
    Forward,
    /// Every statistic of every head, as runs take them.
    Statistics,
    /// The whole map of every head, all held together.
    Maps,
    /// The three, one after the other.
    All,
}

impl Capture {
    pub(super) fn run(self) -> Result<End> {
        let look = |what| -> Result<End> {
            let bench = bench::Capture {
                size: self.size.resolve()?,
                what,
                queries: positive("queries", self.queries)?,
                repeats: positive("repeats", self.repeats)?,
            };
            print(&bench.run()?)
        };
        match self.what {
            What::Forward => look(bench::What::Forward),
            What::Statistics => look(bench::What::Statistics),
            What::Maps => look(bench::What::Maps),
            What::All => {
                // Refuse here what every one of them would refuse.
                self.size.resolve()?;
                positive("queries", self.queries)?;
                positive("repeats", self.repeats)?;
                all()
            }
        }
    }
}

/// Starts this program with the arguments it was given once for each look.
fn all() -> Result<End> {
    let program = std::env::current_exe().context("could not find this program to start it again")?;
    let mut measured =
        Map::from_iter([("impl".to_owned(), "attnlab".into()), ("what".to_owned(), "all".into())]);
    for what in ["forward", "statistics", "maps"] {
        let output = Command::new(&program)
            .args(std::env::args_os().skip(1))
            .args(["--what", what])
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| format!("could not start {}", program.display()))?;
        if !output.status.success() {
            bail!("bench capture --what {what} ended with {}", output.status);
        }
        let one: Value = serde_json::from_slice(&output.stdout)
            .with_context(|| format!("bench capture --what {what} printed no JSON"))?;
        measured.insert(what.to_owned(), one);
    }
    print(&measured)
}
