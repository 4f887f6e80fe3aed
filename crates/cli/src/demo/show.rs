//! The story for those without a terminal: writes, a replica that leaves and comes back, a change of leader.

use std::time::{Duration, Instant};

use super::Stop;
use super::flock::Flock;
use crate::screen::print_line;
use crate::topology::probe::LinkState;

/// How long the links may take to come up again.
const LINKS_TIMEOUT: Duration = Duration::from_secs(15);
/// Steps of the story, between which the given time is spread.
const PAUSES: u32 = 5;

/// Tells the story in about `length`.
///
/// # Errors
/// When something does not happen as told.
pub fn run(flock: &mut Flock, length: Duration, stop: &Stop) -> Result<(), String> {
    let pause = length / PAUSES;
    print_line("Three servers run on this machine: one leads, two follow.");
    print_line(&format!(
        "Their config files are worth reading: {}",
        flock.directory().display()
    ));
    print_line(&format!("Talk to the primary:  {}\n", flock.invitation()));
    wait_for_links(flock, stop)?;
    picture(flock);
    stop.sleep(pause);

    chapter(stop, "A thousand keys are written to the primary.")?;
    flock.write(1000)?;
    wait_for_offsets(flock, stop)?;
    picture(flock);
    stop.sleep(pause);

    chapter(
        stop,
        "replica-2 is stopped, and five hundred keys are written without it.",
    )?;
    flock.stop(2)?;
    flock.write(500)?;
    picture(flock);
    stop.sleep(pause);

    chapter(stop, "replica-2 comes back.")?;
    let before = syncs(flock);
    flock.start(2)?;
    flock.wait_for_answer(2, stop)?;
    wait_for_links(flock, stop)?;
    wait_for_offsets(flock, stop)?;
    print_line(&format!("It asked for what it missed: {}.", given_since(flock, before)));
    picture(flock);
    stop.sleep(pause);

    chapter(
        stop,
        "replica-1 is promoted; the others, the old primary too, follow it.",
    )?;
    let before = facts_of(flock, 1);
    flock.promote(1)?;
    wait_for_links(flock, stop)?;
    flock.write(500)?;
    wait_for_offsets(flock, stop)?;
    print_line(&format!("They changed leaders: {}.", given_since(flock, before)));
    picture(flock);
    stop.sleep(pause);

    check_keys(flock, stop)
}

fn chapter(stop: &Stop, title: &str) -> Result<(), String> {
    if stop.is_set() {
        return Err("Interrupted.".to_owned());
    }
    print_line(title);
    Ok(())
}

fn picture(flock: &mut Flock) {
    let topology = flock.survey();
    print_line(&flock.tree(&topology));
}

/// Full and partial resyncs the leader has given.
fn syncs(flock: &mut Flock) -> (u64, u64) {
    facts_of(flock, flock.leader)
}

fn facts_of(flock: &mut Flock, index: usize) -> (u64, u64) {
    let topology = flock.survey();
    let facts = flock
        .found(index, &topology)
        .and_then(|found| topology.servers[found].facts.as_ref().ok());
    facts.map_or((0, 0), |facts| (facts.full_syncs, facts.partial_syncs))
}

fn given_since(flock: &mut Flock, (full, partial): (u64, u64)) -> String {
    let (full_now, partial_now) = syncs(flock);
    let (full, partial) = (full_now.saturating_sub(full), partial_now.saturating_sub(partial));
    format!(
        "{partial} partial and {full} full resync{}",
        if full == 1 { "" } else { "s" }
    )
}

/// Waits until every running server but the leader follows it with a link that is up.
fn wait_for_links(flock: &mut Flock, stop: &Stop) -> Result<(), String> {
    wait(flock, stop, "the links do not come up", |flock| {
        let topology = flock.survey();
        let up = |index: usize| {
            let Some(found) = flock.found(index, &topology) else {
                return false;
            };
            topology.servers[found]
                .upstream()
                .is_some_and(|upstream| upstream.state == LinkState::Up)
        };
        (0..flock.geese.len()).all(|index| index == flock.leader || !flock.geese[index].is_running() || up(index))
    })
}

/// Waits until every running server is where the leader is.
fn wait_for_offsets(flock: &mut Flock, stop: &Stop) -> Result<(), String> {
    wait(flock, stop, "the replicas do not catch up", |flock| {
        let topology = flock.survey();
        let running = (0..flock.geese.len()).filter(|index| flock.geese[*index].is_running());
        let behind = running.map(|index| {
            let found = flock.found(index, &topology)?;
            if index == flock.leader {
                Some(0)
            } else {
                topology.bytes_behind(found)
            }
        });
        let caught_up: Vec<Option<u64>> = behind.collect();
        caught_up.iter().all(|behind| *behind == Some(0))
    })
}

fn wait(flock: &mut Flock, stop: &Stop, problem: &str, mut done: impl FnMut(&mut Flock) -> bool) -> Result<(), String> {
    let end = Instant::now() + LINKS_TIMEOUT;
    while !done(flock) {
        if stop.is_set() {
            return Err("Interrupted.".to_owned());
        }
        for index in 0..flock.geese.len() {
            if let Some(death) = flock.death(index) {
                return Err(death);
            }
        }
        if Instant::now() > end {
            let topology = flock.survey();
            return Err(format!(
                "After {} s {problem}:\n{}",
                LINKS_TIMEOUT.as_secs(),
                flock.tree(&topology)
            ));
        }
        stop.sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// The end of the story: all three hold the same number of keys.
fn check_keys(flock: &mut Flock, stop: &Stop) -> Result<(), String> {
    chapter(stop, "In the end all three hold the same keys:")?;
    let mut counts = Vec::new();
    for index in 0..flock.geese.len() {
        let count = flock.command(index, &["DBSIZE"])?.as_int().unwrap_or(-1);
        print_line(&format!("  {:<10} {count} keys", flock.geese[index].name));
        counts.push(count);
    }
    let same = counts.iter().all(|count| *count == counts[0]);
    if same { Ok(()) } else { Err("They do not.".to_owned()) }
}
