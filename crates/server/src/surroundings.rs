//! What the process shows of itself to the system: its title, the pid file, the service manager.

use std::fs;
use std::path::Path;

use config::{Config, Supervised};
use engine::host::Level;
use engine::settings::Role as EngineRole;
use net::Notifier;
use net::process::{self, Title};
use node::Node;

use crate::log::{Log, Role};

/// Where the process id is written when the configuration names no file and the server runs in the background.
const DEFAULT_PID_FILE: &str = "/var/run/redis.pid";

/// What is to be kept up while the server runs, and undone when it ends.
pub struct Surroundings {
    title: Option<Title>,
    called: String,
    pid_file: Option<String>,
    notifier: Option<Notifier>,
}

impl Surroundings {
    /// Nothing shown yet. `called` is the name that the program was called by.
    #[must_use]
    pub fn new(called: &str, title: Option<Title>) -> Self {
        Self {
            title,
            called: called.to_owned(),
            pid_file: None,
            notifier: None,
        }
    }

    /// Writes the pid file, if the configuration wants one.
    pub fn write_pid_file(&mut self, config: &Config, log: &Log) {
        let named = config.pidfile.to_str().into_owned();
        let path = match (named.is_empty(), config.daemonize) {
            (false, _) => named,
            (true, true) => DEFAULT_PID_FILE.to_owned(),
            (true, false) => return,
        };
        match fs::write(&path, format!("{}\n", process::pid())) {
            // Absolute, since the working directory may change before it is removed.
            Ok(()) => {
                let absolute = fs::canonicalize(&path).map(|path| path.to_string_lossy().into_owned());
                self.pid_file = Some(absolute.unwrap_or(path));
            }
            Err(error) => log.line(Level::Warning, &format!("Failed to write PID file {path}: {error}")),
        }
    }

    /// Finds the service manager, if one is to be told.
    pub fn find_supervisor(&mut self, config: &Config, log: &Log) {
        let wanted = match config.supervised {
            Supervised::No => return,
            Supervised::Upstart => {
                return log.line(
                    Level::Warning,
                    "supervised upstart: Skein speaks to systemd only; going on unsupervised",
                );
            }
            Supervised::Systemd => true,
            Supervised::Auto => false,
        };
        match Notifier::from_environment() {
            Ok(Some(notifier)) => {
                log.line(Level::Notice, "supervised by systemd. Please make sure you set appropriate values for TimeoutStartSec and TimeoutStopSec in your service unit.");
                self.notifier = Some(notifier);
            }
            Ok(None) if wanted => {
                log.line(
                    Level::Warning,
                    "systemd supervision requested or auto-detected, but NOTIFY_SOCKET not found in environment",
                );
            }
            Ok(None) => {}
            Err(error) => log.line(
                Level::Warning,
                &format!("systemd can't be told: NOTIFY_SOCKET: {error}"),
            ),
        }
    }

    /// Shows the configured title.
    pub fn show_title(&mut self, config: &Config) {
        let Some(title) = self.title.as_mut().filter(|_| config.set_proc_title) else {
            return;
        };
        let called = &self.called;
        let value = |name: &str| match name {
            "title" => Some(called.clone()),
            "listen-addr" => Some(listen_address(config)),
            "server-mode" => Some(String::new()),
            "port" => Some(config.port.to_string()),
            "tls-port" => Some(config.tls_port.to_string()),
            "unixsocket" => Some(config.unixsocket.to_str().into_owned()),
            "config-file" => Some(config.file().unwrap_or_default().to_owned()),
            _ => None,
        };
        if let Some(text) = config::title::expand(config.proc_title_template.as_bytes(), &value) {
            title.set(&String::from_utf8_lossy(&text));
        }
    }

    /// Tells the service manager that the server can be used.
    pub fn in_service(&self) {
        self.notify("STATUS=Ready to accept connections\nREADY=1\n");
    }

    /// Tells the service manager that the server is about to end.
    pub fn stopping(&self) {
        self.notify("STOPPING=1\n");
    }

    fn notify(&self, state: &str) {
        if let Some(notifier) = &self.notifier {
            // A manager that does not listen any more will find out by itself.
            let _ = notifier.notify(state);
        }
    }

    /// Who writes log lines now.
    #[must_use]
    pub fn role(&self, node: &Node) -> Role {
        match node.engine.data.settings.role {
            EngineRole::Primary => Role::Primary,
            EngineRole::Replica => Role::Replica,
        }
    }

    /// Takes away what shows that the server runs.
    pub fn at_exit(&self, log: &Log, unix_socket: Option<&Path>) {
        self.stopping();
        if let Some(path) = &self.pid_file {
            log.line(Level::Notice, "Removing the pid file.");
            // It may have been removed already, and that is as well.
            let _ = fs::remove_file(path);
        }
        if let Some(path) = unix_socket {
            log.line(Level::Notice, "Removing the unix socket file.");
            let _ = fs::remove_file(path);
        }
    }
}

fn listen_address(config: &Config) -> String {
    if config.port == 0 {
        return config.unixsocket.to_str().into_owned();
    }
    let first = config
        .bind
        .0
        .first()
        .map_or_else(|| "*".into(), |address| address.to_str());
    format!("{first}:{}", config.port)
}
