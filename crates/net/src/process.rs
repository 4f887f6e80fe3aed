//! The process among others: descriptors, background, title, what it uses.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::AsFd;

use rustix::process::{Resource, Rlimit};

/// This process's id.
#[must_use]
pub fn pid() -> u32 {
    std::process::id()
}

/// Whether a descriptor is a terminal.
#[must_use]
pub fn is_terminal(descriptor: impl AsFd) -> bool {
    rustix::termios::isatty(descriptor)
}

/// Sets the mask of permissions that new files do not get.
pub fn set_umask(mask: u32) {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(mask));
}

/// What came of asking for descriptors.
#[derive(Debug)]
pub enum FileLimit {
    /// There are enough already.
    Enough,
    /// There are enough now.
    Raised {
        /// The limit before.
        from: u64,
        /// The limit now.
        to: u64,
    },
    /// There are not enough.
    Short {
        /// The limit before.
        from: u64,
        /// The limit now.
        to: u64,
        /// What the system said to the number asked for.
        error: io::Error,
    },
}

/// Sees to it that the process may open `wanted` descriptors, or as many as it is allowed to.
#[must_use]
pub fn raise_file_limit(wanted: u64) -> FileLimit {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let from = limit.current.unwrap_or(u64::MAX);
    if from >= wanted {
        return FileLimit::Enough;
    }
    // Root may raise the hard limit; others get as far as it allows.
    let attempt = |current: u64| {
        let maximum = limit.maximum.map(|hard| hard.max(current));
        rustix::process::setrlimit(
            Resource::Nofile,
            Rlimit {
                current: Some(current),
                maximum,
            },
        )
    };
    match attempt(wanted) {
        Ok(()) => FileLimit::Raised { from, to: wanted },
        Err(error) => {
            let allowed = limit.maximum.unwrap_or(wanted).min(wanted);
            let to = if allowed > from && attempt(allowed).is_ok() {
                allowed
            } else {
                from
            };
            FileLimit::Short {
                from,
                to,
                error: error.into(),
            }
        }
    }
}

/// Goes on in a child that has no terminal, standard descriptors at `/dev/null`; the parent exits with 0 and never
/// returns.
///
/// # Errors
/// When the process cannot be duplicated.
///
/// # Panics
/// When the process has other threads already: they would be missing in the child.
pub fn daemonize() -> io::Result<()> {
    let threads = fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    assert!(threads == 1, "going to the background with {threads} threads");
    // SAFETY: `fork` is sound in a process with a single thread, which was checked above: the child is an exact copy.
    match unsafe { libc::fork() } {
        -1 => return Err(io::Error::last_os_error()),
        0 => {}
        // SAFETY: `_exit` may be called anywhere; exit handlers belong to the child now.
        _ => unsafe { libc::_exit(0) },
    }
    rustix::process::setsid()?;
    let null = fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    Ok(())
}

/// The words that `ps` shows, rewritten where the kernel reads them: the memory of the process's arguments and
/// environment.
#[derive(Debug)]
pub struct Title {
    area: *mut u8,
    bytes: usize,
}

// SAFETY: the area belongs to the one value of this type (see `Title::claim`), whatever thread holds it.
unsafe impl Send for Title {}

impl Title {
    /// Claims the memory that the kernel keeps arguments and environment in, after moving the environment out of it.
    /// `None` where that cannot be found out, and the title stays as it was.
    ///
    /// # Panics
    /// When called twice, or with other threads running.
    #[must_use]
    pub fn claim() -> Option<Self> {
        static CLAIMED: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);
        assert!(
            !CLAIMED.swap(true, std::sync::atomic::Ordering::SeqCst),
            "the title is claimed twice"
        );
        let threads = fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
        assert!(threads == 1, "the environment moves with {threads} threads");

        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        // The name of the program may hold spaces and parentheses; what follows the last one is plain.
        let fields: Vec<&str> = stat[stat.rfind(')')? + 1..].split_ascii_whitespace().collect();
        let number = |field: usize| {
            fields
                .get(field - 3)?
                .parse::<usize>()
                .ok()
                .filter(|number| *number != 0)
        };
        let (arguments, arguments_end) = (number(48)?, number(49)?);
        let (environment, environment_end) = (number(50)?, number(51)?);
        if arguments >= arguments_end || environment != arguments_end || environment_end < environment {
            return None;
        }

        let variables: Vec<_> = std::env::vars_os().collect();
        for (name, value) in &variables {
            // SAFETY: no other thread runs (checked above), so nobody reads the environment meanwhile.
            unsafe { std::env::remove_var(name) };
            // SAFETY: as above. Set anew, the variable lives in memory of the allocator's.
            unsafe { std::env::set_var(name, value) };
        }
        Some(Self {
            area: std::ptr::with_exposed_provenance_mut(arguments),
            bytes: environment_end - arguments,
        })
    }

    /// Shows `title`, cut to the room there is.
    pub fn set(&mut self, title: &str) {
        let shown = title.len().min(self.bytes - 1);
        // SAFETY: `area..area + bytes` is the memory that the kernel laid out for arguments and environment, mapped and
        // writable for the life of the process; the two are adjacent (checked in `claim`). The environment was moved
        // out, `std::env::args` copies at each call and tolerates what it finds, and there is one `Title` only.
        unsafe {
            self.area.write_bytes(0, self.bytes);
            self.area.copy_from_nonoverlapping(title.as_ptr(), shown);
        }
    }
}

/// Names the calling thread, as `top -H` shows it: 15 bytes at most.
pub fn name_thread(name: &str) {
    let short: String = name.chars().take(15).collect();
    if let Ok(name) = CString::new(short) {
        // A name is a comfort; a system that refuses it changes nothing.
        let _ = rustix::thread::set_name(&name);
    }
}

/// Lets the calling thread stand back when others of this machine want its processor: `nice` from 1 (a little) to 19.
///
/// On Linux niceness belongs to a thread, not to its process.
pub fn stand_back(nice: i32) {
    // Standing back is a courtesy; a system that refuses it changes nothing but latencies.
    let _ = rustix::process::setpriority_process(None, nice);
}

/// CPU time used, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuTime {
    /// In the program.
    pub user_us: u64,
    /// In the kernel.
    pub system_us: u64,
}

impl CpuTime {
    /// Of all threads of this process.
    #[must_use]
    pub fn of_process() -> Self {
        Self::of(libc::RUSAGE_SELF)
    }

    /// Of the calling thread.
    #[must_use]
    pub fn of_thread() -> Self {
        Self::of(libc::RUSAGE_THREAD)
    }

    /// Of children that have ended.
    #[must_use]
    pub fn of_children() -> Self {
        Self::of(libc::RUSAGE_CHILDREN)
    }

    fn of(who: libc::c_int) -> Self {
        // SAFETY: `rusage` is plain data for which zeroes are valid, and `getrusage` only writes into it.
        let usage = unsafe {
            let mut usage: libc::rusage = std::mem::zeroed();
            if libc::getrusage(who, &raw mut usage) != 0 {
                return Self::default();
            }
            usage
        };
        let microseconds = |time: libc::timeval| (time.tv_sec * 1_000_000 + time.tv_usec).unsigned_abs();
        Self {
            user_us: microseconds(usage.ru_utime),
            system_us: microseconds(usage.ru_stime),
        }
    }
}

/// Dies as of an access to invalid memory, for tests of what happens then.
pub fn raise_segfault() {
    // SAFETY: `raise` only delivers a signal to the calling thread.
    unsafe { libc::raise(libc::SIGSEGV) };
}

/// Memory of this process that is in RAM, in bytes; 0 when the system does not tell.
#[must_use]
pub fn resident_bytes() -> u64 {
    let pages = fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok());
    pages.unwrap_or(0) * rustix::param::page_size() as u64
}

/// The machine's memory, in bytes.
#[must_use]
pub fn total_memory_bytes() -> u64 {
    let system = rustix::system::sysinfo();
    u64::from(system.mem_unit) * system.totalram
}

/// Memory that can still be taken without swapping: what the system says is available, or what the control group
/// leaves, whichever is less. `None` when the system does not tell.
#[must_use]
pub fn available_memory_bytes() -> Option<u64> {
    let meminfo = fs::read_to_string("/proc/meminfo").ok()?;
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let system = line.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1024;
    let read = |file: &str| {
        fs::read_to_string(format!("/sys/fs/cgroup/{file}"))
            .ok()?
            .trim()
            .parse::<u64>()
            .ok()
    };
    let group = read("memory.max")
        .zip(read("memory.current"))
        .map(|(most, now)| most.saturating_sub(now));
    Some(group.map_or(system, |group| group.min(system)))
}

/// The system's name as INFO shows it: `Linux 6.1.0 x86_64`.
#[must_use]
pub fn system_name() -> String {
    let name = rustix::system::uname();
    let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
    format!(
        "{} {} {}",
        text(name.sysname()),
        text(name.release()),
        text(name.machine())
    )
}

/// Whether the kernel promises memory that it may not have (`vm.overcommit_memory` is 1).
#[must_use]
pub fn overcommits_memory() -> bool {
    fs::read_to_string("/proc/sys/vm/overcommit_memory").is_ok_and(|text| text.trim() == "1")
}

/// To whom the kernel gives huge pages (`/sys/kernel/mm/transparent_hugepage/enabled`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HugePages {
    /// To nobody, or it has none.
    Never,
    /// To memory that they are asked for.
    Asked,
    /// To all that is large enough.
    Always,
}

/// To whom the kernel gives huge pages.
#[must_use]
pub fn huge_pages() -> HugePages {
    match fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled") {
        Ok(modes) if modes.contains("[always]") => HugePages::Always,
        Ok(modes) if modes.contains("[madvise]") => HugePages::Asked,
        _ => HugePages::Never,
    }
}

/// Lets the kernel give this process huge pages only where they are asked for; what it gives then. The first touch of a huge
/// page, which is cleared as a whole, takes milliseconds on some machines, and whatever thread does it stands still.
pub fn limit_huge_pages() -> HugePages {
    // `PR_THP_DISABLE_EXCEPT_ADVISED` of Linux 6.18; older kernels refuse it.
    const EXCEPT_ADVISED: libc::c_ulong = 1 << 1;
    let limit = |flags: libc::c_ulong| {
        let unused: libc::c_ulong = 0;
        // SAFETY: this call of `prctl` takes numbers and touches no memory of the process.
        unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1 as libc::c_ulong, flags, unused, unused) == 0 }
    };
    // In any case: what the kernel gives to others may be changed while this process runs.
    match (limit(EXCEPT_ADVISED), huge_pages()) {
        (_, HugePages::Never) => HugePages::Never,
        (true, _) | (false, HugePages::Asked) => HugePages::Asked,
        (false, HugePages::Always) => {
            limit(0);
            HugePages::Never
        }
    }
}

/// The longest backlog that the kernel grants a listening socket, when it tells.
#[must_use]
pub fn longest_backlog() -> Option<i32> {
    fs::read_to_string("/proc/sys/net/core/somaxconn")
        .ok()?
        .trim()
        .parse()
        .ok()
}

/// Sixteen bytes of the system's entropy, as two numbers, for seeds.
///
/// # Errors
/// When the system has none to give.
pub fn entropy() -> io::Result<[u64; 2]> {
    use std::io::Read;
    let mut bytes = [0; 16];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    let (a, b) = bytes.split_at(8);
    let number = |half: &[u8]| half.iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
    Ok([number(a), number(b)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_tells_what_it_knows() {
        assert!(resident_bytes() > 100_000);
        assert!(total_memory_bytes() > 100_000_000);
        assert!(available_memory_bytes().unwrap() <= total_memory_bytes());
        assert!(system_name().starts_with("Linux "));
        assert!(longest_backlog().unwrap() > 0);
        assert_ne!(entropy().unwrap(), entropy().unwrap());
        let mut sum = 0u64;
        for i in 0..20_000_000u64 {
            sum = std::hint::black_box(sum + i);
        }
        assert!(CpuTime::of_process().user_us > 0);
        // The kernel tells user from system time by samples, for a thread and its process apart: only sums compare.
        let sum = |time: CpuTime| time.user_us + time.system_us;
        let thread = sum(CpuTime::of_thread());
        assert!(thread <= sum(CpuTime::of_process()));
    }

    #[test]
    fn a_limit_that_is_met_stays_and_an_absurd_one_is_short() {
        assert!(matches!(raise_file_limit(1), FileLimit::Enough));
        match raise_file_limit(1 << 40) {
            FileLimit::Short { from, to, .. } => assert!(to >= from),
            other => panic!("{other:?}"),
        }
    }
}
