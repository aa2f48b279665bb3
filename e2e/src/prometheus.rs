//! A real Prometheus, and what it scrapes: a Pushgateway, a node exporter that reads a directory.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;

use serde_json::{Value, json};
use ureq::Agent;

use crate::watchdog::Watched;
use crate::{PATIENCE, Scratch};

/// A server of the Prometheus family on a loopback port of its own. It is stopped when it is dropped, or
/// when the test process ends.
#[derive(Debug)]
pub struct Exporter {
    address: String,
    _server: Watched,
}

impl Exporter {
    /// A Pushgateway that holds nothing yet.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn pushgateway() -> Self {
        Self::start("prometheus-pushgateway", &[] as &[&str])
    }

    /// A node exporter that has only the metrics of the files `*.prom` in a directory.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn textfile(directory: &Path) -> Self {
        let directory = format!("--collector.textfile.directory={}", directory.display());
        let only = ["--collector.disable-defaults", "--collector.textfile"];
        Self::start(
            "prometheus-node-exporter",
            &[only[0], only[1], directory.as_str()],
        )
    }

    fn start(program: &str, args: &[impl AsRef<OsStr>]) -> Self {
        let mut command = Command::new(program);
        command
            .args(args)
            // The system chooses a free port, and the server says which.
            .arg("--web.listen-address=127.0.0.1:0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut server = Watched::start(&mut command, "KILL");
        let stderr = server.child().stderr.take().expect("a pipe");
        Self {
            address: listening(program, stderr),
            _server: server,
        }
    }

    /// Where it listens: `127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What it shows to who scrapes it.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn metrics(&self) -> String {
        let answer = Agent::new_with_defaults()
            .get(format!("http://{}/metrics", self.address))
            .call()
            .expect("metrics");
        answer.into_body().read_to_string().expect("text")
    }
}

/// Reads what a server says until it says where it listens, and goes on reading.
fn listening(program: &str, stderr: impl std::io::Read + Send + 'static) -> String {
    let (found, address) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if line.contains("msg=\"Listening on\"") {
                let address = line.rsplit("address=").next().unwrap_or_default();
                let _ = found.send(address.to_owned());
            }
        }
    });
    let address = address.recv_timeout(PATIENCE);
    address.unwrap_or_else(|_| panic!("{program} does not listen"))
}

/// A Prometheus that scrapes and evaluates its rules every second.
#[derive(Debug)]
pub struct Prometheus {
    server: Exporter,
    _scratch: Scratch,
}

impl Prometheus {
    /// Scrapes these, the labels of what they show left as they are; `rules` is what a file of rules has.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(exporters: &[&Exporter], rules: &Value) -> Self {
        let scratch = Scratch::new();
        let targets: Vec<_> = exporters.iter().map(|it| it.address()).collect();
        let config = json!({
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": ["rules.json"],
            "scrape_configs": [{
                "job_name": "backups",
                "honor_labels": true,
                "static_configs": [{"targets": targets}],
            }],
        });
        // JSON is YAML.
        scratch.write("rules.json", rules.to_string());
        let config = scratch.write("prometheus.yml", config.to_string());
        let data = scratch.make("data");
        let server = Exporter::start(
            "prometheus",
            &[
                format!("--config.file={}", config.display()),
                format!("--storage.tsdb.path={}", data.display()),
            ],
        );
        Self {
            server,
            _scratch: scratch,
        }
    }

    /// What its HTTP API answers (`query`, `alerts`). None while it is not ready.
    ///
    /// # Panics
    /// When it does not take the question.
    pub fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> Option<Value> {
        let config = Agent::config_builder().http_status_as_error(false).build();
        let url = format!("http://{}/api/v1/{path}", self.server.address());
        let asked = config
            .new_agent()
            .get(url)
            .query_pairs(parameters.iter().copied());
        let answer = asked.call().ok()?;
        let status = answer.status();
        if status.is_server_error() {
            return None;
        }
        let body = answer.into_body().read_to_string().ok()?;
        assert!(status.is_success(), "{path} {parameters:?}: {body}");
        let answer: Value = serde_json::from_str(&body).expect("JSON");
        Some(answer["data"].clone())
    }

    /// The value of an expression that has one series. None while there is none.
    ///
    /// # Panics
    /// When the expression is wrong.
    pub fn value(&self, expression: &str) -> Option<f64> {
        let found = self.ask("query", &[("query", expression)])?;
        let series = found["result"].as_array()?;
        match series.as_slice() {
            [one] => one["value"][1].as_str()?.parse().ok(),
            _ => None,
        }
    }

    /// The alerts that fire now, sorted: their names, and the values of these labels.
    pub fn firing(&self, labels: &[&str]) -> Option<Vec<String>> {
        let found = self.ask("alerts", &[])?;
        let alerts = found["alerts"].as_array()?.iter();
        let mut firing: Vec<String> = alerts
            .filter(|alert| alert["state"] == "firing")
            .map(|alert| {
                let of = |label: &&str| alert["labels"][label].as_str().map(str::to_owned);
                let words: Vec<_> = [&"alertname"]
                    .into_iter()
                    .chain(labels)
                    .filter_map(of)
                    .collect();
                words.join(" ")
            })
            .collect();
        firing.sort();
        Some(firing)
    }
}
