//! Models by their name, from a server on this machine that speaks the Hub's API.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use attnlab_pretrained::hub::{HubId, HubOptions, Transfer, fetch};
use attnlab_pretrained::{ModelFiles, Tokenizer};
use serde_json::json;
use tempfile::TempDir;

use crate::write::{GgufWriter, counting, raw_safetensors, safetensors};

const MAIN: &str = "0123456789abcdef0123456789abcdef01234567";
const TAGGED: &str = "89abcdef0123456789abcdef0123456789abcdef";

/// What the server does wrong with a file.
#[derive(Clone, Copy, PartialEq)]
enum Wrong {
    /// Announces the body's length and closes the connection in the middle of it, so many times.
    Cut(usize),
    /// Sends a shorter body as if it were whole, so many times.
    Short(usize),
}

#[derive(Default)]
struct State {
    /// Files by commit.
    files: BTreeMap<&'static str, BTreeMap<String, Vec<u8>>>,
    wrong: BTreeMap<String, Wrong>,
    /// The token that is wanted.
    token: Option<&'static str>,
    /// A status with which everything is answered.
    status: Option<&'static str>,
    /// Requests as `METHOD path`.
    seen: Vec<String>,
}

struct Server {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn start(files: &[(&str, Vec<u8>)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let main = files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.clone())).collect();
        state.lock().unwrap().files.insert(MAIN, main);
        let stop = Arc::new(AtomicBool::new(false));
        let (shared, stopped) = (state.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                if let Ok(stream) = stream {
                    // A client that goes away is no concern of the server's.
                    drop(answer(stream, &shared));
                }
            }
        });
        Self { address, state, stop, thread: Some(thread) }
    }

    fn options(&self, cache: &TempDir) -> HubOptions {
        HubOptions {
            endpoint: Some(format!("http://{}", self.address)),
            cache: Some(cache.path().to_owned()),
            token: Some("hf_test".to_owned()),
            offline: Some(false),
        }
    }

    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
    }

    /// Has the weights sent wrongly.
    fn spoil(&self, wrong: Wrong) {
        self.state.lock().unwrap().wrong.insert("model.safetensors".to_owned(), wrong);
    }

    /// How many of the requests so far were of this method and for this file.
    fn requests(&self, method: &str, file: &str) -> usize {
        let seen = &self.state.lock().unwrap().seen;
        seen.iter().filter(|line| line.starts_with(method) && line.ends_with(file)).count()
    }

    fn stop(mut self) {
        self.stop.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        self.thread.take().unwrap().join().unwrap();
    }
}

/// Answers one request and closes the connection.
fn answer(stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let (mut token, mut header) = (None, String::new());
    while reader.read_line(&mut header)? > 2 {
        if let Some(value) = header.to_lowercase().strip_prefix("authorization: bearer ") {
            token = Some(value.trim().to_owned());
        }
        header.clear();
    }
    let mut parts = line.split_whitespace();
    let (method, target) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let path = target.split('?').next().unwrap_or_default();
    let mut state = state.lock().unwrap();
    state.seen.push(format!("{method} {path}"));
    let mut stream = stream;
    let mut reply = |status: &str, headers: &str, length: usize, body: &[u8]| -> std::io::Result<()> {
        write!(
            stream,
            "HTTP/1.1 {status}\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n"
        )?;
        if method != "HEAD" {
            stream.write_all(body)?;
        }
        stream.flush()
    };
    if let Some(status) = state.status {
        return reply(status, "", 0, b"");
    }
    if state.token.is_some_and(|wanted| token.as_deref() != Some(wanted)) {
        return reply("401 Unauthorized", "x-error-message: Invalid credentials\r\n", 0, b"");
    }
    let segments: Vec<_> = path.trim_start_matches('/').split('/').collect();
    match segments[..] {
        ["api", "models", "a", "b", "revision", revision] => {
            let commit = match revision {
                "main" | MAIN => MAIN,
                "v2" | "refs%2Fpr%2F1" | TAGGED => TAGGED,
                _ => return reply("404 Not Found", "x-error-code: RevisionNotFound\r\n", 0, b""),
            };
            let body =
                json!({"_id": "1", "id": "a/b", "sha": commit, "private": false, "siblings": []}).to_string();
            reply("200 OK", "content-type: application/json\r\n", body.len(), body.as_bytes())
        }
        ["api", "models", "a", "b", "tree", commit] => {
            let Some(files) = state.files.get(commit) else { return reply("404 Not Found", "", 0, b"") };
            let entry = |(name, bytes): (&String, &Vec<u8>)| json!({"type": "file", "oid": "1", "size": bytes.len(), "path": name});
            let mut entries: Vec<_> = files.iter().map(entry).collect();
            entries.push(json!({"type": "directory", "oid": "2", "path": "onnx"}));
            let body = json!(entries).to_string();
            reply("200 OK", "content-type: application/json\r\n", body.len(), body.as_bytes())
        }
        ["a", "b", "resolve", commit, name] => {
            let Some(bytes) = state.files.get(commit).and_then(|files| files.get(name)).cloned() else {
                return reply("404 Not Found", "", 0, b"");
            };
            let headers = format!("etag: \"{name}-{commit}\"\r\nx-repo-commit: {commit}\r\n");
            let wrong = state.wrong.get(name).copied().filter(|_| method == "GET");
            match wrong {
                Some(Wrong::Cut(times)) if times > 0 => {
                    state.wrong.insert(name.to_owned(), Wrong::Cut(times - 1));
                    reply("200 OK", &headers, bytes.len(), &bytes[..bytes.len() / 2])
                }
                Some(Wrong::Short(times)) if times > 0 => {
                    state.wrong.insert(name.to_owned(), Wrong::Short(times - 1));
                    reply("200 OK", &headers, bytes.len() / 2, &bytes[..bytes.len() / 2])
                }
                _ => reply("200 OK", &headers, bytes.len(), &bytes),
            }
        }
        _ => reply("404 Not Found", "", 0, b""),
    }
}

fn weights() -> Vec<u8> {
    safetensors(&[("w", &[1000], &counting(1000))])
}

fn model() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("README.md", b"# a model".to_vec()),
        ("config.json", br#"{"model_type": "gpt2"}"#.to_vec()),
        ("model.safetensors", weights()),
        ("pytorch_model.bin", vec![0; 10]),
    ]
}

fn id(text: &str) -> HubId {
    HubId::parse(text).unwrap()
}

fn reads(folder: &Path) {
    let files = ModelFiles::open(folder).unwrap();
    assert_eq!(files.config.maybe_text("model_type").unwrap().as_deref(), Some("gpt2"));
    assert_eq!(files.checkpoint.read("w").unwrap().to_vec1::<f32>().unwrap(), counting(1000));
}

#[test]
fn a_model_is_downloaded_once_and_then_taken_from_the_cache() {
    let (server, cache) = (Server::start(&model()), TempDir::new().unwrap());
    server.set(|state| state.token = Some("hf_test"));
    let options = server.options(&cache);
    let transfers = Arc::new(Mutex::new(Vec::new()));
    let told = transfers.clone();
    let progress = Arc::new(move |t: &Transfer| told.lock().unwrap().push(t.clone()));
    let folder = fetch(&id("a/b"), &options, Some(progress)).unwrap();
    reads(&folder);
    assert!(Tokenizer::open(&folder).unwrap().is_none());
    let size = weights().len() as u64;
    let whole = Transfer { file: "model.safetensors".to_owned(), done: size, total: size };
    assert!(transfers.lock().unwrap().contains(&whole));
    // Only what is needed.
    assert_eq!((server.requests("GET", "pytorch_model.bin"), server.requests("GET", "README.md")), (0, 0));

    assert_eq!(fetch(&id("a/b"), &options, None).unwrap(), folder);
    assert_eq!(server.requests("GET", "model.safetensors"), 1);

    // With the server gone, and with offline use asked for.
    server.stop();
    assert_eq!(fetch(&id("a/b"), &options, None).unwrap(), folder);
    let offline = HubOptions { offline: Some(true), ..options.clone() };
    assert_eq!(fetch(&id("a/b"), &offline, None).unwrap(), folder);
    reads(&folder);
    let other = fetch(&id("a/other"), &options, None).unwrap_err().to_string();
    assert!(other.contains("cannot be reached") && other.contains("no revision `main`"), "{other}");
    let other = fetch(&id("a/b@v9"), &offline, None).unwrap_err().to_string();
    assert!(
        other.contains("a/b@v9: the cache has no revision `v9`") && other.contains("HF_HUB_OFFLINE"),
        "{other}"
    );
}

#[test]
fn a_revision_is_another_model() {
    let (server, cache) = (Server::start(&model()), TempDir::new().unwrap());
    let config = br#"{"model_type": "llama"}"#.to_vec();
    let tagged = [("config.json".to_owned(), config), ("model.safetensors".to_owned(), weights())].into();
    server.set(|state| drop(state.files.insert(TAGGED, tagged)));
    let options = server.options(&cache);
    for (name, model_type) in [("a/b", "gpt2"), ("a/b@v2", "llama"), ("a/b@refs/pr/1", "llama")] {
        let folder = fetch(&id(name), &options, None).unwrap();
        let found = ModelFiles::open(&folder).unwrap().config.maybe_text("model_type").unwrap();
        assert_eq!(found.as_deref(), Some(model_type));
    }
    let missing = fetch(&id("a/b@v3"), &options, None).unwrap_err().to_string();
    assert!(missing.contains("no revision `v3`") && missing.contains("404"), "{missing}");
    server.stop();
    for name in ["a/b@v2", "a/b@refs/pr/1", &format!("a/b@{TAGGED}")] {
        let folder = fetch(&id(name), &options, None).unwrap();
        let found = ModelFiles::open(&folder).unwrap().config.maybe_text("model_type").unwrap();
        assert_eq!(found.as_deref(), Some("llama"));
    }
}

#[test]
fn shards_and_gguf_files_are_downloaded() {
    let index = json!({"weight_map": {"w": "model-1.safetensors", "v": "model-2.safetensors"}}).to_string();
    let files = vec![
        ("config.json", br#"{"model_type": "gpt2"}"#.to_vec()),
        ("model.safetensors.index.json", index.into_bytes()),
        ("model-1.safetensors", weights()),
        ("model-2.safetensors", safetensors(&[("v", &[1], &[1.0])])),
        ("model.Q8.gguf", GgufWriter::default().f32s("w", &[1], &[1.0]).bytes()),
    ];
    let (server, cache) = (Server::start(&files), TempDir::new().unwrap());
    let options = server.options(&cache);
    reads(&fetch(&id("a/b"), &options, None).unwrap());
    let file = fetch(&id("a/b:model.Q8.gguf"), &options, None).unwrap();
    assert_eq!(fs::read(file).unwrap(), files[4].1);
    let other = fetch(&id("a/b:other.gguf"), &options, None).unwrap_err().to_string();
    assert!(other.contains("there are `model.Q8.gguf`"), "{other}");

    // An index of a shard that the repository lacks.
    let folder = TempDir::new().unwrap();
    server.set(|state| drop(state.files.get_mut(MAIN).unwrap().remove("model-2.safetensors")));
    let missing = fetch(&id("a/b"), &server.options(&folder), None).unwrap_err().to_string();
    assert!(missing.contains("names `model-2.safetensors`, which is not there"), "{missing}");
    server.stop();
    // The cache that has them all serves; the other says what is missing.
    reads(&fetch(&id("a/b"), &options, None).unwrap());
}

#[test]
fn an_interrupted_download_is_begun_again_and_never_taken_as_whole() {
    let (server, cache) = (Server::start(&model()), TempDir::new().unwrap());
    let options = server.options(&cache);
    server.spoil(Wrong::Cut(1));
    reads(&fetch(&id("a/b"), &options, None).unwrap());

    let cache = TempDir::new().unwrap();
    let options = server.options(&cache);
    server.spoil(Wrong::Cut(usize::MAX));
    let message = fetch(&id("a/b"), &options, None).unwrap_err().to_string();
    assert!(message.contains("`model.safetensors`: the download was interrupted"), "{message}");
    server.set(|state| state.wrong.clear());
    reads(&fetch(&id("a/b"), &options, None).unwrap());
    server.stop();
}

#[test]
fn a_download_of_the_wrong_size_is_not_kept() {
    let (server, cache) = (Server::start(&model()), TempDir::new().unwrap());
    let options = server.options(&cache);
    server.spoil(Wrong::Short(usize::MAX));
    let message = fetch(&id("a/b"), &options, None).unwrap_err().to_string();
    let size = weights().len();
    assert!(
        message.contains(&format!("`model.safetensors`: {} bytes came of {size}", size / 2)),
        "{message}"
    );
    let offline = HubOptions { offline: Some(true), ..options.clone() };
    assert!(fetch(&id("a/b"), &offline, None).is_err());
    server.spoil(Wrong::Short(1));
    let folder = fetch(&id("a/b"), &options, None).unwrap();
    reads(&folder);

    // A cached file that was cut since is downloaded again.
    let blob = fs::canonicalize(folder.join("model.safetensors")).unwrap();
    fs::OpenOptions::new().write(true).open(blob).unwrap().set_len(100).unwrap();
    reads(&fetch(&id("a/b"), &options, None).unwrap());
    server.stop();
}

#[test]
fn a_download_with_wrong_bytes_is_detected_when_it_is_opened() {
    let mut bytes = weights();
    bytes[9] ^= 0x20;
    let files = [("config.json", b"{}".to_vec()), ("model.safetensors", bytes)];
    let (server, cache) = (Server::start(&files), TempDir::new().unwrap());
    let folder = fetch(&id("a/b"), &server.options(&cache), None).unwrap();
    server.stop();
    assert!(ModelFiles::open(&folder).unwrap_err().to_string().contains("model.safetensors"));
    let lying =
        raw_safetensors(&json!({"w": {"dtype": "F32", "shape": [1000], "data_offsets": [0, 4000]}}), &[0; 8]);
    fs::remove_file(folder.join("model.safetensors")).unwrap();
    fs::write(folder.join("model.safetensors"), lying).unwrap();
    assert!(ModelFiles::open(&folder).unwrap_err().to_string().contains("tensor `w`"));
}

#[test]
fn refusals_of_the_hub_say_what_to_do() {
    let (server, cache) = (Server::start(&model()), TempDir::new().unwrap());
    let options = server.options(&cache);
    let message = |name: &str| fetch(&id(name), &options, None).unwrap_err().to_string();
    let missing = message("a/nothing");
    assert!(missing.contains("a/nothing: ") && missing.contains("no such model"), "{missing}");
    server.set(|state| state.token = Some("hf_other"));
    let login = message("a/b");
    assert!(login.contains("(401)") && login.contains("set HF_TOKEN"), "{login}");
    server.set(|state| state.token = None);
    server.set(|state| state.status = Some("403 Forbidden"));
    let gated = message("a/b");
    assert!(
        gated.contains("(403)") && gated.contains(&format!("{}/a/b if it is gated", server.address)),
        "{gated}"
    );
    server.set(|state| state.status = None);
    server.set(|state| drop(state.files.insert(MAIN, [("pytorch_model.bin".to_owned(), vec![0])].into())));
    assert!(message("a/b").contains("pickles"));
    server.stop();
}
