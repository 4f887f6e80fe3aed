//! What is seen of the servers while they are under load: latencies and memory.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use harness::load::quantile;
use harness::process::status_kb;
use harness::server::parse_info;
use harness::{Client, Reply, Result, Server, bail, ensure};

use crate::bench::statistics::line;

/// What is kept one by one.
const OUTLIER: Duration = Duration::from_millis(5);
/// By how much a latency may exceed what the null server showed at that time.
const ALLOWED: Duration = Duration::from_millis(50);
/// The null server's latencies count for what lies so near.
const NEAR: Duration = Duration::from_millis(100);

/// One slow answer.
#[derive(Clone, Copy, Debug)]
pub struct Outlier {
    /// When it was asked for, since the first probe of this process.
    pub at: Duration,
    pub took: Duration,
    /// How long the server's main thread wanted a processor meanwhile and had none.
    pub waited: Duration,
}

impl fmt::Display for Outlier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.0} ms at {:.2} s ({:.0} ms of it the server waited for a processor)",
            self.took.as_secs_f64() * 1_000.0,
            self.at.as_secs_f64(),
            self.waited.as_secs_f64() * 1_000.0
        )
    }
}

/// Those of `ours` that are longer than allowed beyond anything the machine did to a null server then.
pub fn unexplained(ours: &[Outlier], machine: &[Outlier]) -> Vec<Outlier> {
    let theirs = |outlier: &Outlier| {
        let overlap = |other: &&Outlier| {
            other.at <= outlier.at + outlier.took + NEAR && outlier.at <= other.at + other.took + NEAR
        };
        machine
            .iter()
            .filter(overlap)
            .map(|other| other.took)
            .max()
            .unwrap_or_default()
    };
    let bad = ours.iter().filter(|outlier| outlier.took > ALLOWED + theirs(outlier));
    bad.copied().collect()
}

/// All latencies of a probe.
pub struct Latencies {
    sorted_us: Vec<u32>,
    pub outliers: Vec<Outlier>,
}

impl Latencies {
    pub fn summary(&self) -> String {
        let ms = |us: u32| f64::from(us) / 1_000.0;
        format!(
            "p50 {:.2}, p99.9 {:.1}, worst {:.1} ms of {}",
            ms(quantile(&self.sorted_us, 500)),
            ms(quantile(&self.sorted_us, 999)),
            ms(self.sorted_us.last().copied().unwrap_or(0)),
            self.sorted_us.len()
        )
    }
}

fn now() -> Duration {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

/// How long the main thread of a process has waited for a processor so far.
fn waited(pid: u32) -> Duration {
    let figures = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap_or_default();
    let nanoseconds = figures.split(' ').nth(1).and_then(|field| field.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or(0))
}

/// A thread that asks for a key once a millisecond.
pub struct Probe {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Latencies>>>,
}

impl Probe {
    pub fn start(port: u16, pid: u32) -> Result<Self> {
        let mut client = Client::connect(port)?;
        let stop = Arc::new(AtomicBool::new(false));
        let flag = stop.clone();
        let thread = std::thread::spawn(move || {
            let (mut sorted_us, mut outliers) = (Vec::new(), Vec::new());
            while !flag.load(Ordering::Relaxed) {
                let before = waited(pid);
                let at = now();
                client.ok(&["GET", "s:1"])?;
                let took = now() - at;
                sorted_us.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
                if took >= OUTLIER {
                    let waited = waited(pid).saturating_sub(before);
                    outliers.push(Outlier { at, took, waited });
                }
                std::thread::sleep(Duration::from_millis(1).saturating_sub(took));
            }
            sorted_us.sort_unstable();
            Ok(Latencies { sorted_us, outliers })
        });
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }

    pub fn stop(&mut self) -> Result<Latencies> {
        self.stop.store(true, Ordering::Relaxed);
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            _ => bail!("a probe panicked, or was asked twice"),
        }
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Megabytes over time.
struct Series {
    name: &'static str,
    points: Vec<(f64, f64)>,
}

/// In how many windows the second half is cut; of each the lowest value counts, which is the one without a snapshot.
const WINDOWS: usize = 10;
/// Growth over the second half that is none yet: of the level, and times the scatter around the line.
const OF_LEVEL: f64 = 0.03;
const OF_SCATTER: f64 = 3.0;

/// The line through the lowest points of the second half.
struct Trend {
    from: f64,
    growth: f64,
    allowed: f64,
}

impl Series {
    fn trend(&self) -> Trend {
        let half = &self.points[self.points.len() / 2..];
        let width = half.len().div_ceil(WINDOWS).max(1);
        let lowest = |window: &[(f64, f64)]| window.iter().copied().min_by(|a, b| a.1.total_cmp(&b.1));
        let low: Vec<(f64, f64)> = half.chunks(width).filter_map(lowest).collect();
        let (slope, start) = line(&low);
        let n = low.len().max(1) as f64;
        let scatter = (low.iter().map(|(x, y)| (y - start - slope * x).powi(2)).sum::<f64>() / n).sqrt();
        let (first, last) = (low.first().map_or(0.0, |p| p.0), low.last().map_or(0.0, |p| p.0));
        let from = start + slope * first;
        Trend {
            from,
            growth: slope * (last - first),
            allowed: (OF_LEVEL * from).max(OF_SCATTER * scatter),
        }
    }
}

/// Samples of memory: what the servers count and what the kernel says.
pub struct Memory {
    primary: Client,
    replica: Client,
    series: [Series; 4],
}

impl Memory {
    pub fn new(primary: &Server, replica: &Server) -> Result<Self> {
        let series = [
            "used by the primary",
            "resident primary",
            "used by replica a",
            "resident replica a",
        ];
        Ok(Self {
            primary: primary.client()?,
            replica: replica.client()?,
            series: series.map(|name| Series {
                name,
                points: Vec::new(),
            }),
        })
    }

    pub fn sample(&mut self, at: Duration, primary: &Server, replica: &Server) -> Result<()> {
        const MEGABYTE: f64 = 1024.0 * 1024.0;
        let at = at.as_secs_f64();
        let used = |client: &mut Client| -> Result<Option<f64>> {
            let reply = client.call(&["INFO", "memory"])?;
            let info = parse_info(&reply.text());
            Ok(info.get("used_memory").and_then(|text| text.parse::<f64>().ok()))
        };
        let resident =
            |server: &Server| -> Result<Option<f64>> { Ok(Some(status_kb(server.pid(), "VmRSS")? as f64 * 1024.0)) };
        let values = [
            used(&mut self.primary)?,
            resident(primary)?,
            used(&mut self.replica)?,
            resident(replica)?,
        ];
        for (series, value) in self.series.iter_mut().zip(values) {
            series.points.extend(value.map(|bytes| (at, bytes / MEGABYTE)));
        }
        Ok(())
    }

    pub fn samples(&self) -> usize {
        self.series[0].points.len()
    }

    pub fn latest(&self) -> String {
        let latest = self
            .series
            .iter()
            .filter_map(|series| Some((series.name, series.points.last()?.1)));
        let parts: Vec<String> = latest
            .map(|(name, megabytes)| format!("{name} {megabytes:.0} MB"))
            .collect();
        parts.join(", ")
    }

    /// Fails if one of them grows, if that is to be judged.
    pub fn judge(&self, judged: bool) -> Result<String> {
        let (mut notes, mut grown) = (Vec::new(), Vec::new());
        for series in &self.series {
            let Trend { from, growth, allowed } = series.trend();
            let note = format!("{} {growth:+.1} MB from {from:.1} (allowed {allowed:.1})", series.name);
            if growth > allowed {
                grown.push(note.clone());
            }
            notes.push(note);
        }
        ensure!(!judged || grown.is_empty(), "it grows: {}", grown.join("; "));
        let judged = if judged { "" } else { "too short to be judged; " };
        Ok(format!("{judged}{}", notes.join("; ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outlier(at_ms: u64, took_ms: u64) -> Outlier {
        Outlier {
            at: Duration::from_millis(at_ms),
            took: Duration::from_millis(took_ms),
            waited: Duration::ZERO,
        }
    }

    #[test]
    fn a_stall_is_explained_by_the_machines_own_at_the_same_time_only() {
        let ours = [outlier(1_000, 120), outlier(5_000, 49), outlier(9_000, 60)];
        assert_eq!(unexplained(&ours, &[]).len(), 2);
        assert_eq!(unexplained(&ours, &[outlier(1_050, 80)]).len(), 1);
        assert_eq!(unexplained(&ours, &[outlier(3_000, 500)]).len(), 2);
        assert_eq!(unexplained(&ours, &[outlier(1_050, 60)]).len(), 2, "not as long");
    }

    #[test]
    fn growth_is_told_from_saw_teeth() {
        let series = |value: fn(f64) -> f64| Series {
            name: "",
            points: (0..600)
                .map(|second| (f64::from(second), value(f64::from(second))))
                .collect(),
        };
        let grows = |series: Series| {
            let trend = series.trend();
            trend.growth > trend.allowed
        };
        assert!(!grows(series(|t| 100.0 + (t % 17.0))));
        assert!(
            !grows(series(|t| if t < 300.0 { 50.0 + t / 6.0 } else { 100.0 })),
            "warming up"
        );
        assert!(grows(series(|t| 100.0 + t / 30.0 + (t % 17.0))));
    }
}
