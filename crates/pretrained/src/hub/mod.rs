//! Models by their name on the Hugging Face Hub, such as `openai-community/gpt2`.
//!
//! The files go to the Hub's own cache, which other programs share: `HF_HUB_CACHE`, `HF_HOME`, `HF_ENDPOINT`,
//! `HF_TOKEN` and the token of a login mean what they mean to them, and so does `HF_HUB_OFFLINE`.

mod cache;
mod choose;
mod id;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hf_hub::progress::{DownloadEvent, Progress, ProgressEvent, ProgressHandler};
use hf_hub::repository::{RepoTreeEntry, RepoTypeModel};
use hf_hub::{HFClient, HFClientSync, HFError, HFRepositorySync};

use crate::error::{PretrainedError, Result, short};
use cache::Cache;
pub use id::HubId;

/// Where models come from and go to. What is not given is as the environment says.
#[derive(Clone, Default)]
pub struct HubOptions {
    /// The Hub's address.
    pub endpoint: Option<String>,
    /// The folder of the cache.
    pub cache: Option<PathBuf>,
    /// The token to authenticate with.
    pub token: Option<String>,
    /// Whether to use the cache only.
    pub offline: Option<bool>,
}

/// How far a download is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// The file.
    pub file: String,
    /// Bytes that have come.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
}

/// What is told of downloads, from another thread. It must not block.
pub type OnProgress = Arc<dyn Fn(&Transfer) + Send + Sync>;

/// How often an interrupted or damaged download is begun.
const ATTEMPTS: usize = 3;

/// The local folder of a model (or its GGUF file), after downloading what is missing: the configuration, the weights
/// as safetensors, and the tokenizer's files.
///
/// Every file's size is checked against the Hub's list of them, also of files that were cached. Without a network, a
/// model that is cached whole is taken from the cache.
///
/// # Errors
/// There is no such model, revision or file; it needs a token; the network fails and the cache lacks something.
pub fn fetch(id: &HubId, options: &HubOptions, progress: Option<OnProgress>) -> Result<PathBuf> {
    let root = options.cache.clone().unwrap_or_else(hf_hub::resolve_cache_dir);
    let cache = Cache::new(root.clone(), id);
    if options.offline.unwrap_or_else(offline_by_environment) {
        let expected = "offline use was asked for (HF_HUB_OFFLINE); run once with the network to cache it";
        return cache.find(id).map_err(|missing| refuse(id, format!("{missing}, and {expected}")));
    }
    let online = Online::new(id, options, root, progress)?;
    match online.fetch(&cache) {
        Ok(path) => Ok(path),
        Err(Failure::Ours(error)) => Err(error),
        Err(Failure::Hub(error)) if unreachable(&error) => cache.find(id).map_err(|missing| {
            let endpoint = &online.endpoint;
            let reason = short(&error.to_string());
            let problem = format!(
                "{endpoint} cannot be reached ({reason}), and {missing}; download the model elsewhere and give its folder"
            );
            refuse(id, problem)
        }),
        Err(Failure::Hub(error)) => Err(refuse(id, online.explain(&error))),
    }
}

/// Whether the environment asks for the cache only.
fn offline_by_environment() -> bool {
    ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"].iter().any(|name| {
        let value = std::env::var(name).unwrap_or_default().to_lowercase();
        matches!(value.as_str(), "1" | "true" | "yes" | "on")
    })
}

fn refuse(id: &HubId, problem: String) -> PretrainedError {
    PretrainedError::Hub { id: id.to_string(), problem }
}

/// Why a download failed.
enum Failure {
    Ours(PretrainedError),
    Hub(HFError),
}

impl From<HFError> for Failure {
    fn from(error: HFError) -> Self {
        Self::Hub(error)
    }
}

impl From<PretrainedError> for Failure {
    fn from(error: PretrainedError) -> Self {
        Self::Ours(error)
    }
}

/// Whether the Hub could not be talked to at all, so that the cache may stand in.
fn unreachable(error: &HFError) -> bool {
    match error {
        HFError::Request { source, .. } => source.is_connect() || source.is_timeout() || source.is_request(),
        HFError::Http { context } => matches!(context.status.as_u16(), 500 | 502 | 503 | 504),
        _ => false,
    }
}

/// A model's repository, over the network.
struct Online<'a> {
    id: &'a HubId,
    repository: HFRepositorySync<RepoTypeModel>,
    endpoint: String,
    progress: Option<Progress>,
}

impl<'a> Online<'a> {
    fn new(
        id: &'a HubId,
        options: &HubOptions,
        cache: PathBuf,
        progress: Option<OnProgress>,
    ) -> Result<Self> {
        let mut builder = HFClient::builder().cache_dir(cache).retry_max_attempts(2);
        if let Some(endpoint) = &options.endpoint {
            builder = builder.endpoint(endpoint);
        }
        if let Some(token) = &options.token {
            builder = builder.token(token);
        }
        let cannot = |e: HFError| refuse(id, format!("no connection can be made: {}", short(&e.to_string())));
        let client = builder.build().map_err(cannot)?;
        let endpoint = client.endpoint().to_owned();
        let client = HFClientSync::from_inner(client).map_err(cannot)?;
        let progress = progress.map(|on_progress| Progress::from(Teller(on_progress)));
        Ok(Self { id, repository: client.model(&id.owner, &id.name), endpoint, progress })
    }

    fn fetch(&self, cache: &Cache) -> std::result::Result<PathBuf, Failure> {
        let revision = self.id.revision();
        let info = self.repository.info().revision(revision).send()?;
        // It becomes a folder's name.
        let commit = info.sha.filter(|sha| cache::is_commit(sha));
        let commit =
            commit.ok_or_else(|| refuse(self.id, format!("the Hub names no commit for `{revision}`")))?;
        let mut sizes = BTreeMap::new();
        for entry in self.repository.list_tree().revision(commit.clone()).send()? {
            if let RepoTreeEntry::File { path, size, .. } = entry {
                sizes.insert(path, size);
            }
        }
        let names: Vec<_> = sizes.keys().map(String::as_str).collect();
        let plan = choose::plan(self.id, &names)?;
        let mut lead = None;
        for name in &plan.files {
            let path = self.download(&commit, name, sizes.get(name).copied())?;
            if plan.lead.as_ref() == Some(name) {
                lead = Some(path);
            }
        }
        if plan.sharded {
            let index = cache.folder(&commit).join(choose::INDEX);
            for shard in choose::shards(&index)? {
                let Some(&size) = sizes.get(&shard) else {
                    let problem = format!("{} names `{}`, which is not there", choose::INDEX, short(&shard));
                    return Err(refuse(self.id, problem).into());
                };
                self.download(&commit, &shard, Some(size))?;
            }
        }
        cache.remember(revision, &commit)?;
        Ok(lead.unwrap_or_else(|| cache.folder(&commit)))
    }

    /// Downloads a file of the repository, or finds it cached, and checks its size.
    fn download(&self, commit: &str, name: &str, size: Option<u64>) -> std::result::Result<PathBuf, Failure> {
        let mut problem = String::new();
        for attempt in 0..ATTEMPTS {
            let request =
                self.repository.download_file().filename(name).revision(commit).force_download(attempt > 0);
            match request.maybe_progress(self.progress.clone()).send() {
                Ok(path) => {
                    let found = fs::metadata(&path).map_err(PretrainedError::file("read", &path))?.len();
                    if size.is_none_or(|size| size == found) {
                        return Ok(path);
                    }
                    problem = format!("{found} bytes came of {}", size.unwrap_or(0));
                    discard(&path);
                }
                // Cut while it came: what came is under another name, and is begun again.
                Err(HFError::Request { source, .. }) if source.is_body() || source.is_decode() => {
                    problem = format!("the download was interrupted ({})", short(&source.to_string()));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(refuse(self.id, format!("`{name}`: {problem}, {ATTEMPTS} times; try again later")).into())
    }

    /// An answer of the Hub's, and what to do.
    fn explain(&self, error: &HFError) -> String {
        let (id, endpoint) = (format!("{}/{}", self.id.owner, self.id.name), &self.endpoint);
        let login = format!(
            "ask for access at {endpoint}/{id} if it is gated, and set HF_TOKEN or log in with `hf auth login`"
        );
        match error {
            HFError::AuthRequired { .. } => {
                format!("the Hub wants a valid token (401): check the name; {login}")
            }
            HFError::Forbidden { .. } => format!("the token has no access (403): {login}"),
            HFError::Http { context } if context.status.as_u16() == 401 => {
                format!("the Hub wants a valid token (401): check the name; {login}")
            }
            HFError::Http { context } if context.status.as_u16() == 403 => {
                format!("the token has no access (403): {login}")
            }
            HFError::RepoNotFound { .. } | HFError::RevisionNotFound { .. } => {
                format!(
                    "{endpoint} has no such model or no revision `{}` of it (404): check the name",
                    self.id.revision()
                )
            }
            HFError::RateLimited { .. } => {
                "the Hub has had too many requests (429): wait, or set HF_TOKEN".to_owned()
            }
            other => format!("the download failed: {}", short(&other.to_string())),
        }
    }
}

/// Removes a cached file and what it links to.
fn discard(path: &Path) {
    // What cannot be removed is replaced by the next attempt or refused by its size again.
    if let Ok(blob) = fs::canonicalize(path) {
        drop(fs::remove_file(blob));
    }
    drop(fs::remove_file(path));
}

/// Tells of downloads.
struct Teller(OnProgress);

impl ProgressHandler for Teller {
    fn on_progress(&self, event: &ProgressEvent) {
        if let ProgressEvent::Download(DownloadEvent::Progress { files }) = event {
            for file in files {
                let (done, total) = (file.bytes_completed, file.total_bytes);
                (self.0)(&Transfer { file: file.filename.clone(), done, total });
            }
        }
        if let ProgressEvent::Download(DownloadEvent::AggregateProgress {
            bytes_completed,
            total_bytes,
            ..
        }) = event
        {
            (self.0)(&Transfer { file: String::new(), done: *bytes_completed, total: *total_bytes });
        }
    }
}
