//! Child processes that cannot outlive us, ports, and temporary directories.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, mpsc};

use crate::error::{Context, Result};
use crate::{Error, bail};

type Order = (Command, mpsc::Sender<std::io::Result<Child>>);

/// Starts `program` so that the kernel kills it when this process ends, however it ends.
///
/// The kernel's promise is bound to the *thread* that forked, so one thread that never ends does all the starting.
///
/// # Errors
/// When the program cannot be started.
pub fn spawn(program: &Path, configure: impl FnOnce(&mut Command)) -> Result<Child> {
    static SPAWNER: OnceLock<Mutex<mpsc::Sender<Order>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (orders, inbox) = mpsc::channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, answer) in inbox {
                let _ = answer.send(command.spawn());
            }
        });
        Mutex::new(orders)
    });

    let mut command = if find_program("setpriv").is_some() {
        let mut wrapped = Command::new("setpriv");
        wrapped.args(["--pdeathsig", "KILL", "--"]).arg(program);
        wrapped
    } else {
        Command::new(program)
    };
    configure(&mut command);
    let (answer, reply) = mpsc::channel();
    spawner
        .lock()
        .map_err(|_| Error::new("the spawning thread is gone"))?
        .send((command, answer))
        .map_err(|_| Error::new("the spawning thread is gone"))?;
    let child = reply.recv().map_err(|_| Error::new("the spawning thread is gone"))?;
    child.context(|| format!("starting {}", program.display()))
}

/// The full path of a program found through `PATH`.
#[must_use]
pub fn find_program(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|dir| dir.join(name))
        .find(|path| path.is_file())
}

/// Sends a signal by name (`KILL`, `TERM`, `STOP`, `CONT`) to a process that we started.
///
/// # Errors
/// When there is no such process.
pub fn signal(pid: u32, name: &str) -> Result<()> {
    let status = Command::new("kill")
        .arg(format!("-{name}"))
        .arg(pid.to_string())
        .status()?;
    if !status.success() {
        bail!("signal {name} to process {pid} failed");
    }
    Ok(())
}

/// A port of 127.0.0.1 that nobody listens on, below the range from which the kernel picks for outgoing connections.
///
/// # Errors
/// When two thousand ports in a row are taken.
pub fn free_port() -> Result<u16> {
    const FIRST: u32 = 12_000;
    const COUNT: u32 = 18_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..2_000 {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        // Processes running at the same time start far from each other.
        let offset = (std::process::id().wrapping_mul(977) + step) % COUNT;
        let port = u16::try_from(FIRST + offset).map_err(|_| Error::new("port out of range"))?;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port on 127.0.0.1")
}

/// A directory of our own that goes away with the value.
#[derive(Debug)]
pub struct TempDir(PathBuf);

const PREFIX: &str = "skein-test-";

impl TempDir {
    /// A new empty directory.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new() -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        static SWEPT: OnceLock<()> = OnceLock::new();
        SWEPT.get_or_init(sweep_leftovers);
        let name = format!(
            "{PREFIX}{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).context(|| format!("making {}", path.display()))?;
        Ok(Self(path))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Removes directories left by test processes that were killed.
fn sweep_leftovers() {
    let Ok(entries) = std::fs::read_dir(std::env::temp_dir()) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
        if owner.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Processor time that a process has used so far, user and system.
///
/// The kernel gives the time of a process in hundredths of a second, and that of each thread it has in nanoseconds. The sum
/// over its threads is what counts, unless one of them has ended meanwhile and taken its time along.
#[derive(Clone, Debug)]
pub struct CpuTime {
    ticks: u64,
    threads: BTreeMap<u32, u64>,
}

/// Hundredths of a second by which the two ways of counting may differ: user and system time are each cut to a whole one,
/// at both ends.
const TICK_SLACK: f64 = 4.0;

impl CpuTime {
    /// What it is now.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn of(pid: u32) -> Result<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The name, in brackets, may hold spaces; the fields after it do not. utime and stime are the 14th and 15th field.
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        let ticks = after_name
            .split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|t| t.parse::<u64>().ok())
            .sum();
        let mut threads = BTreeMap::new();
        for entry in std::fs::read_dir(format!("/proc/{pid}/task"))?.flatten() {
            // A thread may end between the two looks.
            let Ok(figures) = std::fs::read_to_string(entry.path().join("schedstat")) else {
                continue;
            };
            let on_processor = figures.split(' ').next().and_then(|field| field.parse::<u64>().ok());
            let thread = entry.file_name().to_string_lossy().parse::<u32>().ok();
            threads.extend(thread.zip(on_processor));
        }
        Ok(Self { ticks, threads })
    }

    /// Seconds used since an earlier reading.
    #[must_use]
    pub fn seconds_since(&self, earlier: &Self) -> f64 {
        let ticks = self.ticks.saturating_sub(earlier.ticks) as f64;
        let before = |thread| earlier.threads.get(thread).copied().unwrap_or(0);
        let nanoseconds: u64 = self
            .threads
            .iter()
            .map(|(thread, now)| now.saturating_sub(before(thread)))
            .sum();
        let fine = nanoseconds as f64 / 1e9;
        // More in ticks than in threads that live: some of it was spent by threads that have ended.
        if ticks - fine * 100.0 > TICK_SLACK {
            ticks / 100.0
        } else {
            fine
        }
    }
}

/// Binds the calling thread, and those that it starts from now on, to one processor.
///
/// # Errors
/// When there is no such processor.
pub fn pin_this_thread(cpu: usize) -> Result<()> {
    let mut set = rustix::thread::CpuSet::new();
    set.set(cpu);
    rustix::thread::sched_setaffinity(None, &set).context(|| format!("binding a thread to processor {cpu}"))
}

/// Makes the calling thread give way to others.
///
/// # Errors
/// When the kernel refuses.
pub fn be_nice(by: i32) -> Result<()> {
    rustix::process::nice(by).map(drop).context(|| "giving way to others")
}

/// Raises how many files this process may have open to `wanted`, or as far as it may; gives what it is then.
///
/// # Errors
/// When the kernel refuses.
pub fn raise_file_limit(wanted: u64) -> Result<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let now = getrlimit(Resource::Nofile);
    let Some(current) = now.current.filter(|current| *current < wanted) else {
        return Ok(now.current.unwrap_or(u64::MAX));
    };
    let possible = now.maximum.map_or(wanted, |maximum| maximum.min(wanted)).max(current);
    let limit = Rlimit {
        current: Some(possible),
        maximum: now.maximum,
    };
    setrlimit(Resource::Nofile, limit).context(|| "raising the limit of open files")?;
    Ok(possible)
}

/// A field of `/proc/PID/status` in kB (`VmHWM`, `VmRSS`).
///
/// # Errors
/// When the process or the field is gone.
pub fn status_kb(pid: u32, field: &str) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    status
        .lines()
        .find_map(|line| {
            line.strip_prefix(field)?
                .strip_prefix(':')?
                .split_whitespace()
                .next()?
                .parse()
                .ok()
        })
        .ok_or_else(|| Error::new(format!("no {field} for process {pid}")))
}

#[cfg(test)]
mod tests {
    use super::CpuTime;

    #[test]
    fn time_of_threads_is_fine_and_that_of_ended_ones_is_not_lost() {
        let reading = |ticks, threads: &[(u32, u64)]| CpuTime {
            ticks,
            threads: threads.iter().copied().collect(),
        };
        let before = reading(100, &[(1, 1_000_000_000), (2, 5)]);
        let after = reading(101, &[(1, 1_012_345_678), (2, 5), (3, 1_000)]);
        assert!((after.seconds_since(&before) - 0.012_346_678).abs() < 1e-9);
        // Another thread ran for half a second and ended.
        let after = reading(151, &[(1, 1_012_345_678), (2, 5)]);
        assert!((after.seconds_since(&before) - 0.51).abs() < 1e-9);
    }

    #[test]
    fn this_process_has_a_time() {
        let before = CpuTime::of(std::process::id()).unwrap();
        let sum = (0..20_000_000_u64).fold(0, |sum, n| std::hint::black_box(sum ^ n));
        let after = CpuTime::of(std::process::id()).unwrap();
        assert!(after.seconds_since(&before) > 0.0, "{sum}");
    }
}
