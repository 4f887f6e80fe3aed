//! Three servers: their config files, their processes, and what one tells them.

use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use resp::{Value, write_command};

use super::Stop;
use crate::connection::Credentials;
use crate::topology::probe::{Address, Prober};
use crate::topology::show::as_named_tree;
use crate::topology::tree::{ServerIndex, Topology};

/// How long a server may take to answer after its start.
const START_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a server may take to save and leave.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a server may take to answer a command.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a promotion waits for the new primary to have everything.
const CATCH_UP_MS: &str = "1000";
/// Lines of a log shown when its server did not start.
const LOG_TAIL_LINES: usize = 15;
/// A program to run instead of ourselves, for trying the demo with another server.
const SERVER_VARIABLE: &str = "SKEIN_DEMO_SERVER";

/// One server of the flock.
#[derive(Debug)]
pub struct Goose {
    /// `primary`, `replica-1`, `replica-2`: what it was at the start.
    pub name: &'static str,
    /// Where it listens.
    pub address: Address,
    config: PathBuf,
    child: Option<Child>,
}

impl Goose {
    /// Whether its process is ours and runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.child.is_some()
    }
}

/// The three, and who leads.
#[derive(Debug)]
pub struct Flock {
    /// In the order of their start.
    pub geese: Vec<Goose>,
    /// Which of them takes writes.
    pub leader: usize,
    directory: PathBuf,
    password: String,
    keep: bool,
    prober: Prober,
    /// Keys written so far: the next has this number.
    written: u64,
}

impl Flock {
    /// Writes the config files into a new directory and starts the servers.
    ///
    /// # Errors
    /// For people; when a server does not start, with the end of its log. Nothing is left behind then.
    pub fn launch(keep: bool, stop: &Stop) -> Result<Self, String> {
        let directory = std::env::temp_dir().join(format!("skein-demo-{}", std::process::id()));
        // The config files hold the password.
        let created = fs::DirBuilder::new().mode(0o700).create(&directory);
        created.map_err(|error| format!("{} cannot be made: {error}", directory.display()))?;
        let password = password().map_err(|error| format!("No randomness for a password: {error}"))?;
        let credentials = Credentials {
            user: None,
            password: Some(password.clone()),
        };
        let prober = Prober::new(credentials, COMMAND_TIMEOUT);
        let mut flock = Self {
            geese: Vec::new(),
            leader: 0,
            directory,
            password,
            keep,
            prober,
            written: 0,
        };
        let ports = free_ports(3).map_err(|error| format!("No free ports: {error}"))?;
        for (name, &port) in ["primary", "replica-1", "replica-2"].into_iter().zip(&ports) {
            let config = flock.directory.join(format!("{name}.conf"));
            let follows = (name != "primary").then_some(ports[0]);
            let text = config_text(name, port, follows, &flock.password, &flock.directory);
            fs::write(&config, text).map_err(|error| format!("{} cannot be written: {error}", config.display()))?;
            let address = Address {
                host: "127.0.0.1".to_owned(),
                port,
            };
            flock.geese.push(Goose {
                name,
                address,
                config,
                child: None,
            });
        }
        for index in 0..flock.geese.len() {
            flock.start(index)?;
        }
        for index in 0..flock.geese.len() {
            flock.wait_for_answer(index, stop)?;
        }
        Ok(flock)
    }

    /// Where the config files are.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// How to talk to the leader, for people.
    #[must_use]
    pub fn invitation(&self) -> String {
        let port = self.geese[self.leader].address.port;
        format!("skein cli -p {port} -a {} --no-auth-warning", self.password)
    }

    /// The last words.
    #[must_use]
    pub fn farewell(&self) -> String {
        if self.keep {
            format!(
                "The servers are stopped; their files stay in {}",
                self.directory.display()
            )
        } else {
            "The servers are stopped and their files are gone.".to_owned()
        }
    }

    /// Starts a server; one that does not lead follows the leader, whatever its config file said at first.
    ///
    /// # Errors
    /// When there is no process to be had.
    pub fn start(&mut self, index: usize) -> Result<(), String> {
        let program = match std::env::var_os(SERVER_VARIABLE) {
            Some(program) => PathBuf::from(program),
            None => std::env::current_exe().map_err(|error| format!("We do not know our own program: {error}"))?,
        };
        let leader_port = self.geese[self.leader].address.port;
        let goose = &mut self.geese[index];
        let output = fs::File::create(self.directory.join(format!("{}.out", goose.name)))
            .and_then(|file| Ok((file.try_clone()?, file)))
            .map_err(|error| format!("{} cannot be written: {error}", self.directory.display()))?;
        let mut command = Command::new(&program);
        command.arg(&goose.config).current_dir(&self.directory);
        if index != self.leader {
            command.args(["--replicaof", "127.0.0.1", &leader_port.to_string()]);
        }
        // Its own process group: Ctrl-C is for us, and we tell the servers.
        let child = command
            .stdin(Stdio::null())
            .stdout(output.0)
            .stderr(output.1)
            .process_group(0)
            .spawn();
        let child = child.map_err(|error| format!("{} does not start: {error}", program.display()))?;
        goose.child = Some(child);
        Ok(())
    }

    /// Waits until a server answers.
    ///
    /// # Errors
    /// When it ended instead, or does not answer in time; with the end of its log.
    pub fn wait_for_answer(&mut self, index: usize, stop: &Stop) -> Result<(), String> {
        let end = Instant::now() + START_TIMEOUT;
        let address = self.geese[index].address.clone();
        loop {
            if stop.is_set() {
                return Err("Interrupted.".to_owned());
            }
            if let Some(death) = self.death(index) {
                return Err(death);
            }
            let problem = match self.prober.probe(&address) {
                Ok(_) => return Ok(()),
                Err(problem) => problem,
            };
            if Instant::now() > end {
                let name = self.geese[index].name;
                return Err(format!("{name} does not answer: {problem}\n{}", self.log_tail(index)));
            }
            stop.sleep(Duration::from_millis(50));
        }
    }

    /// If a server ended by itself: the news, with the end of its log.
    pub fn death(&mut self, index: usize) -> Option<String> {
        let goose = &mut self.geese[index];
        let status = goose.child.as_mut()?.try_wait().ok()??;
        goose.child = None;
        let (name, address) = (goose.name, goose.address.clone());
        self.prober.forget(&address);
        Some(format!(
            "{name} ended by itself ({status}). The end of its log:\n{}",
            self.log_tail(index)
        ))
    }

    /// Stops a server: it saves, leaves, and can come back to where it was.
    ///
    /// # Errors
    /// When it had to be killed.
    pub fn stop(&mut self, index: usize) -> Result<(), String> {
        let goose = &mut self.geese[index];
        self.prober.forget(&goose.address);
        match goose.child.take() {
            Some(child) => end(child).map_err(|()| format!("{} had to be killed", goose.name)),
            None => Ok(()),
        }
    }

    /// Makes `index` the leader: it takes writes, all others follow it.
    ///
    /// # Errors
    /// When a server does not do as told.
    pub fn promote(&mut self, index: usize) -> Result<(), String> {
        if self.geese[self.leader].is_running() {
            // Nothing written so far may be lost: the new leader first gets what the old one has.
            let running = self.geese.iter().filter(|goose| goose.is_running()).count();
            let followers = running.saturating_sub(1).to_string();
            self.command(self.leader, &["WAIT", &followers, CATCH_UP_MS])?;
        }
        self.command(index, &["REPLICAOF", "NO", "ONE"])?;
        self.leader = index;
        let port = self.geese[index].address.port.to_string();
        for other in 0..self.geese.len() {
            if other != index && self.geese[other].is_running() {
                self.command(other, &["REPLICAOF", "127.0.0.1", &port])?;
            }
        }
        Ok(())
    }

    /// Sends one command to one server.
    ///
    /// # Errors
    /// When it cannot be reached or says no.
    pub fn command(&mut self, index: usize, words: &[&str]) -> Result<Value, String> {
        let goose = &self.geese[index];
        let (name, address) = (goose.name, &goose.address);
        let reply = self
            .prober
            .connection(address)
            .and_then(|connection| connection.call(words).map_err(|error| error.to_string()));
        let reply = reply.inspect_err(|_| self.prober.forget(&self.geese[index].address));
        let reply = reply.map_err(|error| format!("{} to {name}: {error}", words.join(" ")))?;
        match reply.as_error() {
            Some(line) => Err(format!(
                "{} to {name}: {}",
                words.join(" "),
                String::from_utf8_lossy(line)
            )),
            None => Ok(reply),
        }
    }

    /// Writes `count` new keys to the leader, in one pipeline.
    ///
    /// # Errors
    /// When the leader does not take them.
    pub fn write(&mut self, count: u64) -> Result<(), String> {
        let mut pipeline = Vec::new();
        for number in self.written..self.written + count {
            let (key, value) = (format!("goose:{number}"), format!("wing beat {number}"));
            write_command(&mut pipeline, ["SET", &key, &value]);
        }
        let goose = &self.geese[self.leader];
        let outcome = self.prober.connection(&goose.address).and_then(|connection| {
            connection.send_raw(&pipeline).map_err(|error| error.to_string())?;
            for _ in 0..count {
                let reply = connection.read().map_err(|error| error.to_string())?;
                if let Some(line) = reply.as_error() {
                    return Err(String::from_utf8_lossy(line).into_owned());
                }
            }
            Ok(())
        });
        match outcome {
            Ok(()) => {
                self.written += count;
                Ok(())
            }
            Err(error) => {
                self.prober.forget(&self.geese[self.leader].address);
                Err(format!("writing to {}: {error}", self.geese[self.leader].name))
            }
        }
    }

    /// Asks all running servers who follows whom.
    pub fn survey(&mut self) -> Topology {
        let running = self.geese.iter().filter(|goose| goose.is_running());
        let seeds: Vec<Address> = running.map(|goose| goose.address.clone()).collect();
        Topology::survey(&seeds, &mut |address| self.prober.probe(address))
    }

    /// The tree of what a survey found, in our names.
    #[must_use]
    pub fn tree(&self, topology: &Topology) -> String {
        as_named_tree(topology, &|address| {
            let goose = self.geese.iter().find(|goose| goose.address.port == address.port);
            goose.map_or_else(
                || address.to_string(),
                |goose| format!("{} :{}", goose.name, address.port),
            )
        })
    }

    /// Where a server of the flock stands in what a survey found.
    #[must_use]
    pub fn found(&self, index: usize, topology: &Topology) -> Option<ServerIndex> {
        let port = self.geese[index].address.port;
        topology
            .servers
            .iter()
            .position(|server| server.address.port == port && server.facts.is_ok())
    }

    /// What a server wrote last: its log, or what it said before it had one.
    fn log_tail(&self, index: usize) -> String {
        let name = self.geese[index].name;
        let mut text = String::new();
        for file in [format!("{name}.out"), format!("{name}.log")] {
            // One of the two is often missing or empty.
            text += &String::from_utf8_lossy(&fs::read(self.directory.join(file)).unwrap_or_default());
        }
        let lines: Vec<&str> = text.lines().collect();
        let tail = &lines[lines.len().saturating_sub(LOG_TAIL_LINES)..];
        if tail.is_empty() {
            "  (it wrote nothing)".to_owned()
        } else {
            format!("  {}", tail.join("\n  "))
        }
    }
}

impl Drop for Flock {
    fn drop(&mut self) {
        for index in (0..self.geese.len()).rev() {
            if let Err(problem) = self.stop(index) {
                eprintln!("{problem}");
            }
        }
        if !self.keep
            && let Err(error) = fs::remove_dir_all(&self.directory)
        {
            eprintln!("{} stays: {error}", self.directory.display());
        }
    }
}

/// Asks a process to end, then makes it; `Err` when it had to be made.
fn end(mut child: Child) -> Result<(), ()> {
    if let Some(pid) = rustix::process::Pid::from_raw(child.id() as i32) {
        // If it is gone already, so much the better.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
    let deadline = Instant::now() + STOP_TIMEOUT;
    while Instant::now() < deadline {
        if matches!(child.try_wait(), Ok(Some(_)) | Err(_)) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = child.kill();
    let _ = child.wait();
    Err(())
}

/// Ports that nobody listens on, in order; all held until all are found.
fn free_ports(count: usize) -> std::io::Result<Vec<u16>> {
    let listeners: Vec<TcpListener> = (0..count)
        .map(|_| TcpListener::bind("127.0.0.1:0"))
        .collect::<Result<_, _>>()?;
    listeners
        .iter()
        .map(|listener| Ok(listener.local_addr()?.port()))
        .collect()
}

fn password() -> std::io::Result<String> {
    let mut bytes = [0; 8];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A config file to learn from.
fn config_text(name: &str, port: u16, follows: Option<u16>, password: &str, directory: &Path) -> String {
    let role = match follows {
        None => "# The primary: it takes writes and streams them to every server that follows it.\n".to_owned(),
        Some(primary) => format!(
            "# A replica: it copies a primary in real time and answers reads.\n\n\
             # Whom to follow: the primary's host and port. (`slaveof` is the old word for the same.)\n\
             replicaof 127.0.0.1 {primary}\n\n\
             # Clients cannot write here: what a replica changed by itself would differ from its primary.\n\
             replica-read-only yes\n\n\
             # While the link to the primary is down, go on answering reads with what is here. With `no`, reads get\n\
             # the error MASTERDOWN instead.\n\
             replica-serve-stale-data yes\n"
        ),
    };
    let masterauth_reason = match follows {
        None => "# For the day another server leads and this one follows it: the password it will say then.",
        Some(_) => "# What this replica says to its primary: the primary's requirepass.",
    };
    format!(
        "# {name}.conf, written by `skein demo`. Everything here works in a stock redis.conf too.\n\
         {role}\n\
         # Where clients connect. Only this machine may: this is a demo.\n\
         bind 127.0.0.1\n\
         port {port}\n\n\
         # The password that clients, and replicas, must say first: AUTH {password}\n\
         requirepass {password}\n\n\
         {masterauth_reason}\n\
         masterauth {password}\n\n\
         # Where the data and the log go. The data is saved an hour after a change, and at the end: a server that\n\
         # comes back then knows how far it was, and asks its primary only for what it missed.\n\
         dir \"{}\"\n\
         dbfilename {name}.rdb\n\
         logfile {name}.log\n\
         save 3600 1\n\n\
         # Do not wait for more replicas before a full sync: in a demo we would rather see it happen.\n\
         repl-diskless-sync-delay 0\n",
        directory.display()
    )
}
