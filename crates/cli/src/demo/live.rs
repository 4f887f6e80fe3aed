//! The live view: who leads, who follows how closely, and the stream between them, moving.
//!
//! ```text
//!   primary    127.0.0.1:7001  primary               offset 5406   21 ops/s   1200 keys
//!   replica-1  127.0.0.1:7002  link up               offset 5406   0 bytes behind, 0 s
//!   replica-2  127.0.0.1:7003  stopped
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
use crate::topology::show::link_text;
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
        lines.extend((0..flock.geese.len()).map(|index| server_line(flock, topology, index)));
        lines.push(String::new());
        lines.extend(self.picture(flock));
        lines.push(String::new());
        lines.push(
            " \x1b[7m w \x1b[0m write a thousand keys   \x1b[7m t \x1b[0m trickle on/off   \
             \x1b[7m s \x1b[0m stop or restart a replica   \x1b[7m p \x1b[0m promote one   \x1b[7m q \x1b[0m quit"
                .to_owned(),
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

fn server_line(flock: &Flock, topology: &Topology, index: usize) -> String {
    let goose = &flock.geese[index];
    let head = format!(" {:<10} {:<16}", goose.name, goose.address.to_string());
    let Some(found) = flock.found(index, topology) else {
        let state = if goose.is_running() {
            "\x1b[33mno answer yet\x1b[0m"
        } else {
            "\x1b[90mstopped\x1b[0m"
        };
        return format!("{head} {state}");
    };
    let server = &topology.servers[found];
    let Ok(facts) = &server.facts else { return head };
    let offset = format!("offset {:<10}", facts.offset);
    let counts = format!("{:>5} ops/s {:>7} keys", facts.ops_per_second, facts.keys);
    match &facts.upstream {
        None => format!("{head} \x1b[32m{:<22}\x1b[0m {offset} {:<24} {counts}", "primary", ""),
        Some(upstream) => {
            let colour = if upstream.state == LinkState::Up { "32" } else { "31" };
            let lag = server.listed.as_ref().and_then(|listed| listed.lag_seconds);
            let lag = lag.map_or(String::new(), |seconds| format!(", {seconds} s"));
            let behind = topology
                .bytes_behind(found)
                .map_or(String::new(), |bytes| format!("{bytes} bytes behind{lag}"));
            let why = topology
                .why_broken(found)
                .map_or(String::new(), |why| format!("  {why}"));
            let link = link_text(&upstream.state);
            format!("{head} \x1b[{colour}m{link:<22}\x1b[0m {offset} {behind:<24} {counts}\x1b[31m{why}\x1b[0m")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_bytes_are_drawn_larger() {
        assert_eq!([0, 1, 64, 4096].map(cell), ['─', '·', '•', '●']);
    }
}
