//! The live view: who leads, who follows how closely, and the stream between them, moving.
//!
//! ```text
//!   server     port   link            offset  behind             ops/s     keys
//!   primary    7001   primary           5406                        21     1200
//!   replica-1  7002   up                5406  0 bytes, 0 s          12     1200
//!   replica-2  7003   stopped
//!
//!     primary ──·──·──•──·──·──●──·──► replica-1
//!                                      replica-2
//! ```

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Stop;
use super::flock::Flock;
use super::terminal::Terminal;
use crate::topology::probe::LinkState;
use crate::topology::tree::Topology;

/// A frame of the picture.
const FRAME: Duration = Duration::from_millis(125);
/// Keys of the steady trickle that keeps the stream moving: one every so many frames.
const TRICKLE_FRAMES: u64 = 3;
/// Keys that `w` writes.
const BURST_KEYS: u64 = 1000;
/// Frames a byte takes from the primary to the replica, in the picture.
const LANE_CELLS: usize = 36;
/// News kept on the screen.
const NEWS_LINES: usize = 8;

/// The view and what it remembers between frames.
struct View {
    lanes: Vec<Lane>,
    news: VecDeque<String>,
    started: Instant,
    trickle: bool,
}

/// The stream to one server: the bytes that came in each of the last frames, the newest first.
struct Lane {
    offset: Option<u64>,
    cells: VecDeque<u64>,
    /// Whether the link was up, to tell when it changes.
    up: Option<bool>,
}

/// Shows the flock until `q`, Ctrl-C, or the end of `length`.
///
/// # Errors
/// When there is no terminal to be had.
pub fn run(flock: &mut Flock, length: Option<Duration>, stop: &Stop) -> Result<(), String> {
    let terminal = Terminal::take().map_err(|error| format!("The terminal does not let us: {error}"))?;
    let lane = || Lane {
        offset: None,
        cells: VecDeque::from(vec![0; LANE_CELLS]),
        up: None,
    };
    let mut view = View {
        lanes: flock.geese.iter().map(|_| lane()).collect(),
        news: VecDeque::new(),
        started: Instant::now(),
        trickle: true,
    };
    view.tell("one leads, two follow");
    let mut frame = 0u64;
    let mut next_frame = Instant::now();
    while !stop.is_set() && length.is_none_or(|length| view.started.elapsed() < length) {
        if let Some(key) = terminal.key(next_frame.saturating_duration_since(Instant::now())) {
            if matches!(key, b'q' | b'Q' | 3 | 4) {
                break;
            }
            view.on_key(flock, key, stop);
        }
        if Instant::now() < next_frame {
            continue;
        }
        next_frame = Instant::now() + FRAME;
        frame += 1;
        if view.trickle && frame.is_multiple_of(TRICKLE_FRAMES) && flock.geese[flock.leader].is_running() {
            view.tell_problem(flock.write(1));
        }
        for index in 0..flock.geese.len() {
            if let Some(death) = flock.death(index) {
                death.lines().for_each(|line| view.tell(line));
            }
        }
        let topology = flock.survey();
        view.follow(flock, &topology);
        terminal.draw(&view.lines(flock, &topology));
    }
    Ok(())
}

impl View {
    fn tell(&mut self, news: &str) {
        let line = format!("{:>5.0} s  {news}", self.started.elapsed().as_secs_f64());
        self.news.push_back(line);
        if self.news.len() > NEWS_LINES {
            self.news.pop_front();
        }
    }

    fn tell_problem(&mut self, outcome: Result<(), String>) {
        if let Err(problem) = outcome {
            problem.lines().for_each(|line| self.tell(line));
        }
    }

    fn on_key(&mut self, flock: &mut Flock, key: u8, stop: &Stop) {
        let outcome = match key.to_ascii_lowercase() {
            b'w' => {
                self.tell(&format!(
                    "{BURST_KEYS} keys written to {}",
                    flock.geese[flock.leader].name
                ));
                flock.write(BURST_KEYS)
            }
            b't' => {
                self.trickle = !self.trickle;
                Ok(())
            }
            b's' => self.stop_or_start(flock, stop),
            b'p' => self.promote(flock),
            _ => Ok(()),
        };
        self.tell_problem(outcome);
    }

    /// Brings back who is away; if nobody is, the last follower goes.
    fn stop_or_start(&mut self, flock: &mut Flock, stop: &Stop) -> Result<(), String> {
        let away = flock.geese.iter().position(|goose| !goose.is_running());
        if let Some(index) = away {
            self.tell(&format!("{} comes back", flock.geese[index].name));
            flock.start(index)?;
            return flock.wait_for_answer(index, stop);
        }
        match (0..flock.geese.len()).rev().find(|index| *index != flock.leader) {
            Some(index) => {
                self.tell(&format!("{} is stopped", flock.geese[index].name));
                flock.stop(index)
            }
            None => Ok(()),
        }
    }

    fn promote(&mut self, flock: &mut Flock) -> Result<(), String> {
        let candidate = (0..flock.geese.len()).find(|index| *index != flock.leader && flock.geese[*index].is_running());
        let Some(index) = candidate else {
            return Err("nobody is there to be promoted".to_owned());
        };
        flock.promote(index)?;
        self.tell(&format!("{} leads now; the others follow it", flock.geese[index].name));
        Ok(())
    }

    /// Takes note of what moved since the last frame.
    fn follow(&mut self, flock: &Flock, topology: &Topology) {
        let mut news = Vec::new();
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            let found = flock.found(index, topology).map(|found| &topology.servers[found]);
            let offset = found.and_then(|server| Some(server.facts.as_ref().ok()?.offset));
            let moved = match (lane.offset, offset) {
                (Some(before), Some(now)) => now.saturating_sub(before),
                _ => 0,
            };
            lane.offset = offset;
            lane.cells.push_front(moved);
            lane.cells.truncate(LANE_CELLS);

            let up = found.and_then(|server| Some(server.upstream()?.state == LinkState::Up));
            if let (Some(before), Some(now)) = (lane.up, up)
                && before != now
            {
                let name = flock.geese[index].name;
                news.push(if now {
                    format!("{name}: link up")
                } else {
                    format!("{name}: link lost")
                });
            }
            lane.up = up.or(if flock.geese[index].is_running() {
                lane.up
            } else {
                Some(false)
            });
        }
        news.iter().for_each(|line| self.tell(line));
    }

    fn lines(&self, flock: &Flock, topology: &Topology) -> Vec<String> {
        let mut lines = vec![
            "\x1b[1m Skein\x1b[0m  one leads, the others follow".to_owned(),
            format!(
                "\x1b[90m config files, logs and data: {}\x1b[0m",
                flock.directory().display()
            ),
            format!("\x1b[90m talk to the primary: {}\x1b[0m", flock.invitation()),
            String::new(),
        ];
        lines.push(format!("\x1b[90m{HEADING}\x1b[0m"));
        lines.extend((0..flock.geese.len()).flat_map(|index| server_lines(flock, topology, index)));
        lines.push(String::new());
        lines.extend(self.picture(flock));
        lines.push(String::new());
        let keys = [
            ("w", "write 1000 keys"),
            ("t", "trickle"),
            ("s", "stop/restart"),
            ("p", "promote"),
            ("q", "quit"),
        ];
        lines.push(
            keys.map(|(key, what)| format!(" \x1b[7m {key} \x1b[0m {what}"))
                .join(" "),
        );
        lines.push(String::new());
        lines.extend(self.news.iter().map(|news| format!("\x1b[90m{news}\x1b[0m")));
        lines
    }

    /// The lanes from the leader to each of the others.
    fn picture(&self, flock: &Flock) -> Vec<String> {
        let leader = flock.geese[flock.leader].name;
        let others: Vec<usize> = (0..flock.geese.len()).filter(|index| *index != flock.leader).collect();
        let middle = others.len() / 2;
        let lane = |(position, &index): (usize, &usize)| {
            let from = if position + 1 == middle.max(1) { leader } else { "" };
            let (lane, name) = (&self.lanes[index], flock.geese[index].name);
            match (flock.geese[index].is_running(), lane.up) {
                (false, _) => format!(
                    "  {from:>10} {}   \x1b[90m{name} (stopped)\x1b[0m",
                    " ".repeat(LANE_CELLS)
                ),
                (true, Some(true)) => {
                    let cells: String = lane.cells.iter().map(|&bytes| cell(bytes)).collect();
                    format!("  {from:>10} \x1b[36m{cells}►\x1b[0m  {name}")
                }
                (true, _) => format!("  {from:>10} \x1b[31m{}×\x1b[0m  {name}", "╌".repeat(LANE_CELLS)),
            }
        };
        others.iter().enumerate().map(lane).collect()
    }
}

/// How many bytes moved in a frame, as one character.
fn cell(bytes: u64) -> char {
    match bytes {
        0 => '─',
        1..=63 => '·',
        64..=4095 => '•',
        _ => '●',
    }
}

/// The table's heading; its columns are those of [`server_lines`].
const HEADING: &str = " server     port   link            offset  behind             ops/s     keys";

/// A server's line of the table, and one more when its link is broken.
fn server_lines(flock: &Flock, topology: &Topology, index: usize) -> Vec<String> {
    let goose = &flock.geese[index];
    let head = format!(" {:<10} {:<6}", goose.name, goose.address.port);
    let found = flock.found(index, topology);
    let Some((found, facts)) = found.and_then(|found| Some((found, topology.servers[found].facts.as_ref().ok()?)))
    else {
        let state = if goose.is_running() {
            "\x1b[33mno answer yet"
        } else {
            "\x1b[90mstopped"
        };
        return vec![format!("{head} {state}\x1b[0m")];
    };
    let (colour, state) = match facts.upstream.as_ref().map(|upstream| &upstream.state) {
        None => (32, "primary".to_owned()),
        Some(LinkState::Up) => (32, "up".to_owned()),
        Some(LinkState::Syncing { percent: Some(percent) }) => (33, format!("syncing {percent}%")),
        Some(LinkState::Syncing { percent: None }) => (33, "syncing".to_owned()),
        Some(LinkState::Down {
            seconds: Some(seconds), ..
        }) => (31, format!("DOWN {seconds} s")),
        Some(LinkState::Down { seconds: None, .. }) => (31, "DOWN".to_owned()),
    };
    let lag = topology.servers[found]
        .listed
        .as_ref()
        .and_then(|listed| listed.lag_seconds);
    let behind = match (topology.bytes_behind(found), lag) {
        (Some(bytes), Some(seconds)) => format!("{bytes} bytes, {seconds} s"),
        (Some(bytes), None) => format!("{bytes} bytes"),
        (None, _) => String::new(),
    };
    let (offset, ops, keys) = (facts.offset, facts.ops_per_second, facts.keys);
    let state = format!("\x1b[{colour}m{state:<12}\x1b[0m");
    let mut lines = vec![format!("{head} {state} {offset:>9}  {behind:<16} {ops:>7} {keys:>8}")];
    lines.extend(
        topology
            .why_broken(found)
            .map(|why| format!("            \x1b[31m{why}\x1b[0m")),
    );
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_bytes_are_drawn_larger() {
        assert_eq!([0, 1, 64, 4096].map(cell), ['─', '·', '•', '●']);
    }
}
