//! A server under test: its own port, directory, config file and log; ended with the value.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::error::{Context, Result};
use crate::process::{self, TempDir, free_port};
use crate::reply::Reply;
use crate::wait;
use crate::{Client, Error, bail};

/// How long a server may take until it answers.
pub const START_TIMEOUT: Duration = Duration::from_secs(30);

/// A server program, and the name that reports call it.
#[derive(Clone, Debug)]
pub struct Program {
    /// `skein`, `stock` or what the caller named.
    pub name: String,
    /// The executable.
    pub path: PathBuf,
}

impl Program {
    /// The installed stock server; installs it when it is missing.
    ///
    /// # Errors
    /// When there is none and it cannot be installed.
    pub fn stock() -> Result<Self> {
        Ok(Self {
            name: "stock".into(),
            path: crate::stock::ensure("redis-server")?,
        })
    }

    /// A server at a path.
    #[must_use]
    pub fn at(name: &str, path: &Path) -> Self {
        Self {
            name: name.into(),
            path: path.to_path_buf(),
        }
    }
}

/// A running server (or one that was killed and may be started again on the same port and directory).
#[derive(Debug)]
pub struct Server {
    program: Program,
    child: Option<Child>,
    port: u16,
    dir: TempDir,
    config: Vec<(String, String)>,
    cpu: Option<u32>,
}

impl Server {
    /// Starts a server and waits until it answers. `overrides` are lines of its config file, after the defaults (no
    /// `save`, 127.0.0.1, a free port, its own directory).
    ///
    /// # Errors
    /// When it does not start; the end of its log is in the text.
    pub fn start(program: &Program, overrides: &[(&str, &str)]) -> Result<Self> {
        Self::start_pinned(program, overrides, None)
    }

    /// As [`Server::start`], bound to one processor.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn start_pinned(program: &Program, overrides: &[(&str, &str)], cpu: Option<u32>) -> Result<Self> {
        let mut last = Error::new("no port tried");
        for _ in 0..3 {
            let mut server = Self {
                program: program.clone(),
                child: None,
                port: free_port()?,
                dir: TempDir::new()?,
                config: overrides
                    .iter()
                    .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                    .collect(),
                cpu,
            };
            match server.run() {
                Ok(()) => return Ok(server),
                // Somebody else took the port between our look and the server's bind.
                Err(error) if server.log().to_lowercase().contains("address already in use") => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    /// Starts the program again in the same place, after [`Server::kill`] or [`Server::terminate`].
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn run(&mut self) -> Result<()> {
        self.launch()?;
        self.wait_ready()
    }

    /// Starts the program again without waiting for an answer.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn launch(&mut self) -> Result<()> {
        assert!(self.child.is_none(), "the server is running already");
        let config = self.dir.path().join("redis.conf");
        std::fs::write(&config, self.config_text())?;
        let log = File::options().create(true).append(true).open(self.log_path())?;
        let errors = log.try_clone()?;
        let path = match self.cpu {
            Some(_) => PathBuf::from("taskset"),
            None => self.program.path.clone(),
        };
        let child = process::spawn(&path, |command| {
            if let Some(cpu) = self.cpu {
                command.args(["-c", &cpu.to_string()]).arg(&self.program.path);
            }
            command
                .arg(&config)
                .stdin(Stdio::null())
                .stdout(log)
                .stderr(errors)
                .current_dir(self.dir.path());
        })?;
        self.child = Some(child);
        Ok(())
    }

    fn config_text(&self) -> String {
        let mut text = String::new();
        let mut line = |key: &str, value: &str| {
            let value = if value.is_empty() { "\"\"" } else { value };
            text.push_str(&format!("{key} {value}\n"));
        };
        let given = |key: &str| self.config.iter().any(|(k, _)| k == key);
        for (key, value) in [("bind", "127.0.0.1"), ("save", ""), ("enable-debug-command", "yes")] {
            if !given(key) {
                line(key, value);
            }
        }
        line("port", &self.port.to_string());
        line("dir", &self.dir.path().display().to_string());
        for (key, value) in &self.config {
            line(key, value);
        }
        text
    }

    fn wait_ready(&mut self) -> Result<()> {
        let port = self.port;
        let name = self.program.name.clone();
        let waited = wait::until(&format!("{name} on port {port} answering"), START_TIMEOUT, || {
            if let Some(status) = self.exit_status() {
                return Ok(Some(format!("it ended with {status}")));
            }
            let mut client = Client::connect(port)?;
            client.set_timeout(Duration::from_secs(5))?;
            let reply = client.call(&["PING"])?;
            Ok(reply
                .as_error()
                .filter(|e| e.starts_with(b"LOADING"))
                .map(|e| String::from_utf8_lossy(e).into_owned()))
        });
        waited.map(drop).map_err(|error| {
            let text = format!("{error}\n--- end of its log ---\n{}", self.log_tail(30));
            self.kill();
            Error::new(text)
        })
    }

    /// How the process ended, if it has.
    pub fn exit_status(&mut self) -> Option<std::process::ExitStatus> {
        self.child.as_mut().and_then(|child| child.try_wait().ok().flatten())
    }

    /// Whether the process runs.
    pub fn is_running(&mut self) -> bool {
        self.child.is_some() && self.exit_status().is_none()
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// `kill -TERM`, and waits until it has ended by itself.
    ///
    /// # Errors
    /// When it does not end within `timeout` (it is killed then).
    pub fn terminate(&mut self, timeout: Duration) -> Result<std::process::ExitStatus> {
        let Some(mut child) = self.child.take() else {
            bail!("the server is not running")
        };
        process::signal(child.id(), "TERM")?;
        let mut status = None;
        let waited = wait::until("ending after SIGTERM", timeout, || {
            status = child.try_wait()?;
            Ok(status
                .is_none()
                .then(|| format!("still running\n{}", self.log_tail(20))))
        });
        if waited.is_err() {
            let _ = child.kill();
            let _ = child.wait();
        }
        waited?;
        status.ok_or_else(|| Error::new("no exit status"))
    }

    /// Adds or changes a line of the config file, for the next start.
    pub fn set_config(&mut self, key: &str, value: &str) {
        self.config.retain(|(k, _)| k != key);
        self.config.push((key.into(), value.into()));
    }

    /// A new connection, authenticated if the config file has a password.
    ///
    /// # Errors
    /// When the server does not take it.
    pub fn client(&self) -> Result<Client> {
        let mut client = Client::connect(self.port).context(|| self.label())?;
        if let Some(password) = self.password() {
            client.ok(&["AUTH", password])?;
        }
        Ok(client)
    }

    /// The password of its config file.
    #[must_use]
    pub fn password(&self) -> Option<&str> {
        self.config
            .iter()
            .find(|(k, _)| k == "requirepass")
            .map(|(_, v)| v.as_str())
    }

    /// The fields of an INFO section.
    ///
    /// # Errors
    /// When the server does not answer.
    pub fn info(&self, section: &str) -> Result<BTreeMap<String, String>> {
        Ok(parse_info(&self.client()?.ok(&["INFO", section])?.text()))
    }

    /// One field of INFO, empty if it is not there.
    ///
    /// # Errors
    /// When the server does not answer.
    pub fn info_field(&self, section: &str, field: &str) -> Result<String> {
        Ok(self.info(section)?.remove(field).unwrap_or_default())
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process.
    ///
    /// # Panics
    /// When it is not running: then there is none.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child
            .as_ref()
            .expect("asked for the process of a server that is down")
            .id()
    }

    /// Its directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// What it runs.
    #[must_use]
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Name and port, for messages.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{} on port {}", self.program.name, self.port)
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join("server.log")
    }

    /// All that it logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read(self.log_path())
            .map(|b| String::from_utf8_lossy(&b).into_owned())
            .unwrap_or_default()
    }

    /// The last lines that it logged.
    #[must_use]
    pub fn log_tail(&self, lines: usize) -> String {
        let log = self.log();
        let all: Vec<&str> = log.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The fields of an INFO text.
#[must_use]
pub fn parse_info(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(k, v)| (k.into(), v.trim_end().into()))
        .collect()
}

/// Makes `replica` a replica of the server at `port`.
///
/// # Errors
/// When it refuses.
pub fn replicate(replica: &Server, port: u16) -> Result<()> {
    replica
        .client()?
        .ok(&["REPLICAOF", "127.0.0.1", &port.to_string()])
        .map(drop)
}

/// Waits until every replica's link is up and its offset is the primary's. Writes must have stopped.
///
/// # Errors
/// When that does not come; the end of the log of the one that is behind is in the text.
pub fn wait_caught_up(primary: &Server, replicas: &[&Server], timeout: Duration) -> Result<()> {
    let mut late = None;
    let waited = wait::until("replicas caught up", timeout, || {
        for (i, replica) in replicas.iter().enumerate() {
            late = Some(i);
            let theirs = replica.info("replication")?;
            let ours = primary.info_field("replication", "master_repl_offset")?;
            let (link, offset) = (theirs.get("master_link_status"), theirs.get("slave_repl_offset"));
            if link.map(String::as_str) != Some("up") || offset != Some(&ours) {
                return Ok(Some(format!(
                    "{}: link {}, offset {}, the primary's is {ours}",
                    replica.label(),
                    link.map_or("?", |l| l),
                    offset.map_or("?", |o| o)
                )));
            }
        }
        late = None;
        Ok(None)
    });
    waited.map(drop).map_err(|error| match late {
        Some(i) => Error::new(format!(
            "{error}\n--- log of {} ---\n{}\n--- log of its primary ---\n{}",
            replicas[i].label(),
            replicas[i].log_tail(15),
            primary.log_tail(15)
        )),
        None => error,
    })
}
