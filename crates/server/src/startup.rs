//! From the command line to a running server.
//!
//! ```text
//!   configuration ─► background ─► log ─► limits ─► node ─► sockets ─► pid file, title ─► data from disk ─► the loop
//! ```

use std::fs;
use std::io::{self, Read};
use std::process::ExitCode;

use config::{Config, LogLevel};
use engine::host::Level;
use net::process::{self, FileLimit, HugePages, Title};
use net::{Clock, Interest, Poller, Signals, Waker};
use node::start::StartLoad;
use node::{Node, Outside as _};

use crate::background::Background;
use crate::connections::{Connections, POOLED_BUFFERS};
use crate::event_loop::Server;
use crate::feeding::Feeding;
use crate::io_threads::IoThreads;
use crate::link::Link;
use crate::listeners::Listeners;
use crate::log::{Log, Role, Sink};
use crate::outside::Machine;
use crate::surroundings::Surroundings;
use crate::threads::{self, Mailbox, Reaper};
use crate::token::Token;
use crate::version::{REDIS_VERSION, SKEIN_VERSION};

/// Descriptors that are not clients': listeners, files, the poller, the links.
pub const RESERVED_DESCRIPTORS: u64 = 32;

/// Runs the server with these arguments until it ends. `called` is the name that the program was called by.
#[must_use]
pub fn run(called: &str, arguments: &[String]) -> ExitCode {
    // Before there are other threads.
    let title = Title::claim();
    let mut invocation = config::arguments::parse(arguments);
    // Before `dir` changes what a relative path means.
    if let Some(absolute) = invocation.file.as_ref().and_then(|file| std::path::absolute(file).ok()) {
        invocation.file = Some(absolute.to_string_lossy().into_owned());
    }
    let mut config = match config::load(&invocation, &mut World) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let log = log_of(&config);
    let huge_pages = match config.disable_thp {
        true => process::limit_huge_pages(),
        false => process::huge_pages(),
    };
    let surroundings = Surroundings::new(called, title);
    if config.daemonize
        && let Err(error) = process::daemonize()
    {
        log.line(Level::Warning, &format!("Can't go to the background: {error}"));
        return ExitCode::FAILURE;
    }
    say_what_starts(&log, &config, arguments.is_empty());
    if let Err(last_words) = limit_clients(&mut config, &log) {
        log.line(Level::Warning, &last_words);
        return ExitCode::FAILURE;
    }
    if huge_pages != HugePages::Never
        && let Err(error) = threads::start_preparer()
    {
        log.line(
            Level::Warning,
            &format!("Memory will come in small pages only, for want of a thread: {error}"),
        );
    }
    match start(config, log, surroundings) {
        Ok(server) => match server.run() {
            Ok(code) => ExitCode::from(code as u8),
            Err(error) => {
                eprintln!("The event loop failed: {error}");
                ExitCode::FAILURE
            }
        },
        Err((log, last_words)) => {
            log.line(Level::Warning, &last_words);
            ExitCode::FAILURE
        }
    }
}

/// Everything up to the first turn of the loop.
fn start(config: Config, mut log: Log, mut surroundings: Surroundings) -> Result<Server, (Log, String)> {
    surroundings.find_supervisor(&config, &log);
    log.role = if config.replicaof.0.is_some() {
        Role::Replica
    } else {
        Role::Primary
    };
    let parts = match Parts::new(config.clone(), &log) {
        Ok(parts) => parts,
        Err(what) => return Err((log, what)),
    };
    let Parts {
        mut node,
        poller,
        waker,
        signals,
        listeners,
        background,
        inbox,
        reaper,
        io_threads,
    } = parts;
    surroundings.write_pid_file(&config, &log);
    surroundings.show_title(&config);
    show_logo(&config, &log);
    log.line(Level::Warning, "Server initialized");
    warn(&config, &log);

    node.begin_turn(Clock.now());
    let begun = match begin_load(&mut node) {
        Ok(begun) => begun,
        Err(what) => return Err((log, format!("{what}. The server does not run without its data."))),
    };
    node.begin_turn(Clock.now());
    let mut server = Server {
        node,
        log,
        poller,
        connections: Connections::new(io_threads.as_ref().map_or(POOLED_BUFFERS, IoThreads::buffers)),
        listeners,
        link: Link::default(),
        arrived: Vec::new(),
        link_input: Vec::new(),
        background,
        inbox,
        reaper,
        signals,
        waker,
        surroundings,
        io_threads,
        mark_all: false,
        exit: None,
        next_tick_ms: 0,
        replicas: Vec::new(),
        feeding: Feeding::default(),
    };
    server.carry_out_effects();
    match begun {
        Some(load) => server.background.start(load),
        None => server.in_service(),
    }
    Ok(server)
}

/// Loads the file that the last run left, or begins to when it is large; then it is to be loaded on another thread, while
/// clients hear that the server is loading.
fn begin_load(node: &mut Node) -> Result<Option<StartLoad>, String> {
    let Node { engine, state, .. } = node;
    let Some(load) = node::start::begin(state, engine)? else {
        return Ok(None);
    };
    // As stock servers, which look after clients between pieces of this size only.
    let quick =
        load.bytes <= state.config.loading_process_events_interval_bytes as u64 && state.config.key_load_delay == 0;
    if quick {
        return node::start::run_in_place(state, engine, load).map(|()| None);
    }
    Ok(Some(load))
}

/// What a server is put together from.
struct Parts {
    node: Node,
    poller: Poller,
    waker: Waker,
    signals: Signals,
    listeners: Listeners,
    background: Background,
    inbox: crate::threads::Inbox<crate::background::Message>,
    reaper: Reaper,
    io_threads: Option<IoThreads>,
}

impl Parts {
    fn new(config: Config, log: &Log) -> Result<Self, String> {
        let system = |what: &'static str| move |error: io::Error| format!("Can't {what}: {error}");
        let poller = Poller::new().map_err(system("watch sockets"))?;
        let waker = Waker::new().map_err(system("wake the event loop"))?;
        let registration = poller.register(&waker, Token::Wake.to_u64(), Interest::Read);
        // Its interest never changes, so nobody needs to keep the registration.
        let _registration = registration.map_err(system("wake the event loop"))?;
        let signals = Signals::install(&waker).map_err(system("handle signals"))?;
        if config.crash_log_enabled {
            Signals::install_crash_handler().map_err(system("handle signals"))?;
        }
        let listeners = Listeners::open(&config, &poller, log)?;

        let machine = Machine::new();
        let (mailbox, inbox) = Mailbox::new(&waker);
        let background = Background::new(mailbox, machine.disk(), machine.targets());
        let reaper = Reaper::start().map_err(system("start a thread"))?;
        let io_threads = IoThreads::start(&config).map_err(system("start the threads of io-threads"))?;
        let [seed, other] = process::entropy().map_err(system("read the system's entropy"))?;
        let config_file = config.file().map(str::to_owned);
        let mut node = Node::new(
            config,
            Box::new(machine),
            Clock.now(),
            seed ^ other.rotate_left(32),
            mono_us,
        )?;
        node.state.config_file = config_file;
        Ok(Self {
            node,
            poller,
            waker,
            signals,
            listeners,
            background,
            inbox,
            reaper,
            io_threads,
        })
    }
}

fn mono_us() -> u64 {
    Clock.recent_mono_us()
}

/// A level of the configuration as the log knows it.
#[must_use]
pub fn level_of(level: LogLevel) -> Level {
    match level {
        LogLevel::Debug => Level::Debug,
        LogLevel::Verbose => Level::Verbose,
        LogLevel::Notice => Level::Notice,
        LogLevel::Warning => Level::Warning,
    }
}

fn log_of(config: &Config) -> Log {
    let sink = match (config.logfile.is_empty(), config.daemonize) {
        (false, _) => Sink::File(config.logfile.to_str().into_owned().into()),
        (true, true) => Sink::Nowhere,
        (true, false) => Sink::Stdout,
    };
    Log {
        sink,
        level: level_of(config.loglevel),
        role: Role::Starting,
    }
}

fn say_what_starts(log: &Log, config: &Config, no_arguments: bool) {
    let pid = process::pid();
    log.line(Level::Warning, "Skein is starting");
    log.line(
        Level::Warning,
        &format!(
            "Skein version={SKEIN_VERSION}, Redis version={REDIS_VERSION}, bits={}, pid={pid}, just started",
            usize::BITS
        ),
    );
    if no_arguments {
        log.line(
            Level::Warning,
            "Warning: no config file specified, using the default config. In order to specify a config file use skein /path/to/redis.conf",
        );
    } else {
        log.line(Level::Warning, "Configuration loaded");
    }
    let kept = config.kept_without_effect();
    if !kept.is_empty() {
        let names = kept.join(", ");
        log.line(
            Level::Warning,
            &format!("These directives are kept but have no effect in Skein yet: {names}"),
        );
    }
    for unbuilt in config.unbuilt() {
        log.line(
            Level::Warning,
            &format!("WARNING ('unbuilt-directives warn'): {unbuilt}"),
        );
    }
}

/// Sees to it that there are descriptors for `maxclients`, or lowers that.
fn limit_clients(config: &mut Config, log: &Log) -> Result<(), String> {
    let wanted = u64::from(config.maxclients) + RESERVED_DESCRIPTORS;
    match process::raise_file_limit(wanted) {
        FileLimit::Enough => {}
        FileLimit::Raised { from, to } => log.line(
            Level::Notice,
            &format!("Increased maximum number of open files to {to} (it was originally set to {from})."),
        ),
        FileLimit::Short { to, .. } if to <= RESERVED_DESCRIPTORS => {
            return Err(format!(
                "Your current 'ulimit -n' of {to} is not enough for the server to start. Please increase your open file \
                 limit to at least {wanted}. Exiting."
            ));
        }
        FileLimit::Short { from, to, error } => {
            let requested = config.maxclients;
            config.maxclients = (to - RESERVED_DESCRIPTORS) as u32;
            for line in [
                format!("You requested maxclients of {requested} requiring at least {wanted} max file descriptors."),
                format!("Server can't set maximum open files to {wanted} because of OS error: {error}."),
                format!(
                    "Current maximum open files is {from}. maxclients has been reduced to {} to compensate for low \
                     ulimit. If you need higher maxclients increase 'ulimit -n'.",
                    config.maxclients
                ),
            ] {
                log.line(Level::Warning, &line);
            }
        }
    }
    Ok(())
}

fn show_logo(config: &Config, log: &Log) {
    let on_terminal = log.sink == Sink::Stdout && process::is_terminal(io::stdout());
    if config.always_show_logo || on_terminal {
        log.write(crate::logo::logo(config.port, "standalone", process::pid()).as_bytes());
    } else {
        log.line(
            Level::Notice,
            &format!("Running mode=standalone, port={}.", config.port),
        );
    }
}

fn warn(config: &Config, log: &Log) {
    if let Some(most) = net::process::longest_backlog()
        && i64::from(most) < i64::from(config.tcp_backlog)
    {
        log.line(
            Level::Warning,
            &format!(
                "WARNING: The TCP backlog setting of {} cannot be enforced because /proc/sys/net/core/somaxconn is set \
                 to the lower value of {most}.",
                config.tcp_backlog
            ),
        );
    }
}

/// The world as configuration needs it.
struct World;

impl config::Outside for World {
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        fs::read(path).map_err(|error| system_text(&error))
    }

    fn list(&self, directory: &str) -> Result<Vec<String>, String> {
        let entries = fs::read_dir(directory).map_err(|error| system_text(&error))?;
        Ok(entries
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect())
    }

    fn standard_input(&mut self) -> Result<Vec<u8>, String> {
        let mut text = Vec::new();
        io::stdin()
            .lock()
            .read_to_end(&mut text)
            .map_err(|error| system_text(&error))?;
        Ok(text)
    }

    fn enter(&mut self, path: &str) -> Result<String, String> {
        std::env::set_current_dir(path).map_err(|error| system_text(&error))?;
        let directory = std::env::current_dir().map_err(|error| system_text(&error))?;
        Ok(directory.to_string_lossy().into_owned())
    }

    fn can_log_to(&mut self, path: &str) -> Result<(), String> {
        let opened = fs::OpenOptions::new().create(true).append(true).open(path);
        opened.map(drop).map_err(|error| system_text(&error))
    }

    fn has_command(&self, name: &[u8]) -> bool {
        node::has_command(name)
    }
}

/// The system's words for an error, without the number that Rust adds.
fn system_text(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}
