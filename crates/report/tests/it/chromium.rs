//! A headless Chromium, driven over the DevTools protocol.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tungstenite::stream::MaybeTlsStream;
use tungstenite::{Message, WebSocket};

/// How long anything may take before the test gives up.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Browser {
    child: Child,
    socket: WebSocket<MaybeTlsStream<TcpStream>>,
    session: String,
    last_id: u64,
    /// Everything the browser told about the page that nobody asked for.
    events: Vec<Value>,
    _profile: tempfile::TempDir,
}

/// `CHROME`, or the first of the usual names on the `PATH`.
pub fn find() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("CHROME") {
        return Some(PathBuf::from(path));
    }
    let path = std::env::var_os("PATH")?;
    let names = ["chromium", "google-chrome", "chromium-browser", "google-chrome-stable"];
    std::env::split_paths(&path).flat_map(|dir| names.map(|name| dir.join(name))).find(|file| file.is_file())
}

impl Browser {
    /// A browser with one empty tab, or `None`, with a line that says so, where there is no Chromium.
    pub fn start() -> Option<Self> {
        let Some(program) = find() else {
            eprintln!("skipped: no Chromium on the PATH and none in CHROME");
            return None;
        };
        let profile = tempfile::tempdir().unwrap();
        let child = Command::new(program)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars"])
            .args(["--disable-background-networking", "--disable-sync", "--disable-component-update"])
            .args(["--disable-dev-shm-usage", "--remote-debugging-port=0", "about:blank"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let started = Instant::now();
        let port = loop {
            // Port and path, once it listens.
            let text = fs::read_to_string(profile.path().join("DevToolsActivePort")).unwrap_or_default();
            if let Some((port, path)) = text.trim().split_once('\n') {
                break format!("ws://127.0.0.1:{port}{path}");
            }
            assert!(started.elapsed() < PATIENCE, "Chromium did not start");
            std::thread::sleep(Duration::from_millis(30));
        };
        let (socket, _) = tungstenite::connect(port).unwrap();
        if let MaybeTlsStream::Plain(stream) = socket.get_ref() {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
        }
        let session = String::new();
        let mut browser = Self { child, socket, session, last_id: 0, events: Vec::new(), _profile: profile };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attached =
            browser.call("Target.attachToTarget", json!({ "targetId": target["targetId"], "flatten": true }));
        browser.session = attached["sessionId"].as_str().unwrap().to_owned();
        for domain in ["Runtime", "Log", "Network", "Page"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser.size(1280, 800);
        Some(browser)
    }

    /// One command and its answer; events that come between are kept.
    pub fn call(&mut self, method: &str, params: Value) -> Value {
        self.last_id += 1;
        let mut request = json!({ "id": self.last_id, "method": method, "params": params });
        if !self.session.is_empty() {
            request["sessionId"] = json!(self.session);
        }
        self.socket.send(Message::text(request.to_string())).unwrap();
        loop {
            let Message::Text(text) = self.socket.read().unwrap() else { continue };
            let mut message: Value = serde_json::from_str(&text).unwrap();
            if message["id"].as_u64() == Some(self.last_id) {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].take();
            }
            self.events.push(message);
        }
    }

    pub fn size(&mut self, width: u32, height: u32) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", metrics);
    }

    pub fn scheme(&mut self, scheme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": features }));
    }

    pub fn open(&mut self, file: &Path) {
        let answer = self.call("Page.navigate", json!({ "url": format!("file://{}", file.display()) }));
        assert!(answer["errorText"].is_null(), "{answer}");
        self.until("globalThis.attnlab !== undefined");
    }

    /// What an expression, or the promise it gives, comes to.
    pub fn eval(&mut self, expression: &str) -> Value {
        let params = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let mut answer = self.call("Runtime.evaluate", params);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {}", answer["exceptionDetails"]);
        answer["result"]["value"].take()
    }

    pub fn text(&mut self, expression: &str) -> String {
        self.eval(expression).as_str().unwrap_or_default().to_owned()
    }

    /// Waits for an expression to hold.
    pub fn until(&mut self, expression: &str) {
        let started = Instant::now();
        while self.eval(expression) != json!(true) {
            assert!(started.elapsed() < PATIENCE, "never came true: {expression}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Two frames later everything asked for is drawn.
    pub fn settle(&mut self) {
        self.eval("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))");
    }

    /// Screen coordinates that an expression gives as a pair.
    fn place(&mut self, expression: &str) -> (f64, f64) {
        let pair = self.eval(expression);
        (pair[0].as_f64().unwrap(), pair[1].as_f64().unwrap())
    }

    pub fn hover(&mut self, place: &str) {
        let (x, y) = self.place(place);
        self.call("Input.dispatchMouseEvent", json!({ "type": "mouseMoved", "x": x, "y": y }));
        self.settle();
    }

    pub fn click(&mut self, place: &str) {
        self.press(place, 1);
    }

    pub fn double_click(&mut self, place: &str) {
        self.press(place, 1);
        self.press(place, 2);
    }

    fn press(&mut self, place: &str, count: u32) {
        let (x, y) = self.place(place);
        self.call("Input.dispatchMouseEvent", json!({ "type": "mouseMoved", "x": x, "y": y }));
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({ "type": kind, "x": x, "y": y, "button": "left", "clickCount": count });
            self.call("Input.dispatchMouseEvent", event);
        }
        self.settle();
    }

    pub fn wheel(&mut self, place: &str, delta: f64) {
        let (x, y) = self.place(place);
        let event = json!({ "type": "mouseWheel", "x": x, "y": y, "deltaX": 0, "deltaY": delta });
        self.call("Input.dispatchMouseEvent", event);
        self.settle();
    }

    pub fn drag(&mut self, from: &str, dx: f64, dy: f64) {
        let (x, y) = self.place(from);
        let mut send = |kind: &str, x: f64, y: f64| {
            let event = json!({ "type": kind, "x": x, "y": y, "button": "left", "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", event);
        };
        send("mousePressed", x, y);
        for step in 1..=4 {
            send("mouseMoved", x + dx * f64::from(step) / 4.0, y + dy * f64::from(step) / 4.0);
        }
        send("mouseReleased", x + dx, y + dy);
        self.settle();
    }

    /// Keys by their names, one after another.
    pub fn keys(&mut self, keys: &[&str]) {
        for key in keys {
            for kind in ["rawKeyDown", "keyUp"] {
                self.call("Input.dispatchKeyEvent", json!({ "type": kind, "key": key }));
            }
        }
        self.settle();
    }

    pub fn write(&mut self, text: &str) {
        self.call("Input.insertText", json!({ "text": text }));
        self.settle();
    }

    /// Chooses an option as a reader does.
    pub fn choose(&mut self, select: &str, value: &str) {
        self.eval(&format!(
            "{{ const s = document.getElementById({select:?}); s.value = {value:?}; s.dispatchEvent(new Event('change')); 1 }}"
        ));
        self.settle();
    }

    /// A fingerprint of what a canvas shows, and how many of its pixels are not empty.
    pub fn canvas(&mut self, selector: &str) -> (String, u64) {
        let answer = self.eval(&format!(
            "(() => {{ const c = document.querySelector({selector:?}); const o = new OffscreenCanvas(c.width, c.height).getContext('2d', {{ willReadFrequently: true }});
               o.drawImage(c, 0, 0); const d = o.getImageData(0, 0, c.width, c.height).data;
               let h = 0, n = 0; for (let i = 0; i < d.length; i += 4) {{ if (d[i + 3]) n++; h = (h * 31 + d[i] + 7 * d[i + 1] + 13 * d[i + 2] + d[i + 3]) | 0; }}
               return [String(h), n]; }})()"
        ));
        (answer[0].as_str().unwrap().to_owned(), answer[1].as_u64().unwrap())
    }

    /// Errors, warnings and exceptions of the page so far.
    pub fn complaints(&self) -> Vec<String> {
        let params = |event: &Value| event["params"].to_string();
        self.events
            .iter()
            .filter(|event| match event["method"].as_str() {
                Some("Runtime.exceptionThrown") => true,
                Some("Runtime.consoleAPICalled") => {
                    ["error", "warning", "assert"].iter().any(|kind| event["params"]["type"] == *kind)
                }
                Some("Log.entryAdded") => true,
                _ => false,
            })
            .map(params)
            .collect()
    }

    /// Everything the page asked for besides itself.
    pub fn requests(&self, page: &Path) -> Vec<String> {
        let own = format!("file://{}", page.display());
        self.events
            .iter()
            .filter(|event| event["method"] == "Network.requestWillBeSent")
            .filter_map(|event| event["params"]["request"]["url"].as_str().map(str::to_owned))
            .filter(|url| url.split('#').next() != Some(&own))
            .collect()
    }

    /// Writes what is seen to `$ATTNLAB_SCREENSHOTS/NAME.png`, where that is set.
    pub fn picture(&mut self, name: &str) {
        let Some(folder) = std::env::var_os("ATTNLAB_SCREENSHOTS") else { return };
        let shot = self.call("Page.captureScreenshot", json!({ "format": "png" }));
        let bytes = unbase64(shot["data"].as_str().unwrap());
        fs::write(PathBuf::from(folder).join(format!("{name}.png")), bytes).unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Politely first, so that its helper processes end with it.
        let close = json!({ "id": 0, "method": "Browser.close" });
        let _ = self.socket.send(Message::text(close.to_string()));
        for _ in 0..100 {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn unbase64(text: &str) -> Vec<u8> {
    let value = |c: u8| match c {
        b'A'..=b'Z' => u32::from(c - b'A'),
        b'a'..=b'z' => u32::from(c - b'a') + 26,
        b'0'..=b'9' => u32::from(c - b'0') + 52,
        b'+' => 62,
        _ => 63,
    };
    let letters: Vec<u8> = text.bytes().filter(|c| *c != b'=').collect();
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for group in letters.chunks(4) {
        let word = group.iter().fold(0, |w, c| w << 6 | value(*c)) << (6 * (4 - group.len()));
        bytes.extend(&word.to_be_bytes()[1..group.len()]);
    }
    bytes
}
