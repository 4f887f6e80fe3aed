//! Commands from standard input: a prompt for a person, plain lines for a script.

use std::borrow::Cow;
use std::io::{BufRead, IsTerminal};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::DefaultHistory;
use rustyline::validate::Validator;
use rustyline::{CompletionType, Config, Context, Editor, Helper};

use crate::connection::Endpoint;
use crate::docs::{Doc, Docs};
use crate::format::Style;
use crate::screen;
use crate::session::{Loudness, Session};

/// From this time on, a command's duration is shown.
const SLOW_MS: u128 = 500;

/// Whether another line should be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Line,
    Quit,
}

/// Runs the commands of standard input to its end.
pub fn run(mut session: Session) {
    session.connect(Loudness::Loud);
    if std::io::stdin().is_terminal() && std::io::stdout().is_terminal() {
        edited_lines(&mut session);
    } else {
        plain_lines(&mut session);
    }
}

fn plain_lines(session: &mut Session) {
    let mut docs = Docs::default();
    for line in std::io::stdin().lock().split(b'\n') {
        let Ok(line) = line else { return };
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        if !line.is_empty() && execute(session, &mut docs, line) == Next::Quit {
            return;
        }
    }
}

fn edited_lines(session: &mut Session) {
    let interrupted = Arc::new(AtomicBool::new(false));
    if signal_hook::flag::register(signal_hook::consts::SIGINT, Arc::clone(&interrupted)).is_ok() {
        session.interrupted = Some(Arc::clone(&interrupted));
    }
    let config = Config::builder()
        .completion_type(CompletionType::Circular)
        .auto_add_history(false)
        .build();
    let Ok(mut editor) = Editor::<Assistant, DefaultHistory>::with_config(config) else {
        return plain_lines(session);
    };
    editor.set_helper(Some(Assistant::default()));
    let history = history_path();
    if let Some(path) = &history {
        // The first time there is none.
        let _ = editor.load_history(path);
    }
    loop {
        refresh_docs(session, &mut editor);
        match editor.readline(&session.prompt()) {
            Ok(line) if line.is_empty() => {}
            Ok(line) => {
                if !is_secret(&line) {
                    // A full disk must not end the conversation.
                    let _ = editor.add_history_entry(&line);
                    let _ = history.as_ref().map(|path| editor.save_history(path));
                }
                interrupted.store(false, Ordering::Relaxed);
                let mut docs = editor.helper().map(|helper| helper.docs.clone()).unwrap_or_default();
                // Several lines pasted at once are several commands.
                if line
                    .lines()
                    .any(|line| execute(session, &mut docs, line.as_bytes()) == Next::Quit)
                {
                    return;
                }
                if line.trim_start().starts_with(':')
                    && let Some(helper) = editor.helper_mut()
                {
                    helper.preference(&line);
                }
            }
            Err(ReadlineError::Interrupted) => screen::print(b""),
            Err(_) => return,
        }
    }
}

/// Asks for the command table once it can be had: after AUTH, say.
fn refresh_docs(session: &mut Session, editor: &mut Editor<Assistant, DefaultHistory>) {
    let Some(helper) = editor.helper_mut() else { return };
    if !helper.docs.is_empty() || session.in_multi() || !session.is_connected() {
        return;
    }
    if let Some(Ok(docs)) = session.connection().map(Docs::fetch) {
        helper.docs = docs;
    }
}

/// Runs one line.
fn execute(session: &mut Session, docs: &mut Docs, line: &[u8]) -> Next {
    let Ok(words) = base::words::split(line) else {
        screen::print_line("Invalid argument(s)");
        return Next::Line;
    };
    let Some(first) = words.first().map(|word| word.to_ascii_lowercase()) else {
        return Next::Line;
    };
    let text = |index: usize| String::from_utf8_lossy(&words[index]).into_owned();
    match (first.as_slice(), words.len()) {
        (b"quit" | b"exit", _) => return Next::Quit,
        (b"clear", 1) => screen::print(b"\x1b[H\x1b[2J"),
        (b"help" | b"?", _) => help(session, docs, &words[1..]),
        (b"connect", 3) => match text(2).parse() {
            Ok(port) => {
                session.options.endpoint = Endpoint::Tcp { host: text(1), port };
                session.connect(Loudness::Loud);
            }
            Err(_) => screen::print_line("Invalid port"),
        },
        ([b':', ..], _) => {}
        _ => match repetition(&words) {
            Ok((repeat, words)) => timed(session, words, repeat),
            Err(()) => screen::print_line("Invalid redis-cli repeat command option value."),
        },
    }
    Next::Line
}

/// A number before a command says how often.
fn repetition(words: &[Vec<u8>]) -> Result<(i64, &[Vec<u8>]), ()> {
    let number = std::str::from_utf8(&words[0]).ok().filter(|text| {
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    });
    match number {
        Some(text) if words.len() > 1 => match text.parse() {
            Ok(repeat) if repeat > 0 => Ok((repeat, &words[1..])),
            _ => Err(()),
        },
        _ => Ok((1, words)),
    }
}

fn timed(session: &mut Session, words: &[Vec<u8>], repeat: i64) {
    let start = Instant::now();
    let outcome = session.issue(words, repeat);
    let elapsed = start.elapsed();
    // What failed has been printed.
    if outcome.is_ok() && elapsed.as_millis() >= SLOW_MS && session.options.style == Style::Standard {
        screen::print_line(&format!("({:.2}s)", elapsed.as_secs_f64()));
    }
}

fn help(session: &mut Session, docs: &mut Docs, topic: &[Vec<u8>]) {
    if docs.is_empty()
        && let Some(Ok(fetched)) = session.connection().map(Docs::fetch)
    {
        *docs = fetched;
    }
    let words: Vec<String> = topic
        .iter()
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect();
    match words.first() {
        None => screen::print_line(concat!(
            "\"help <command>\" tells about a command, \"help @<group>\" about all of a group (@string, @generic, …).\n",
            "<tab> completes a name. \"<number> <command>\" repeats it. \"connect <host> <port>\" goes elsewhere.\n",
            ":set hints and :set nohints turn hints on and off. \"quit\" leaves.",
        )),
        Some(group) if group.starts_with('@') => docs.group(&group[1..]).for_each(describe),
        Some(_) => match docs.find(&words) {
            Some((doc, _)) => describe(doc),
            None if docs.is_empty() => screen::print_line("The server tells nothing about its commands."),
            None => screen::print_line("No such command."),
        },
    }
}

fn describe(doc: &Doc) {
    let mut text = format!(
        "\n  \x1b[1m{}\x1b[0m \x1b[90m{}\x1b[0m\n",
        doc.name,
        doc.arguments.join(" ")
    );
    for (label, value) in [("summary", &doc.summary), ("since", &doc.since), ("group", &doc.group)] {
        if !value.is_empty() {
            text += &format!("  \x1b[33m{label}:\x1b[0m {value}\n");
        }
    }
    screen::print(text.as_bytes());
}

/// Lines with passwords stay out of the history.
fn is_secret(line: &str) -> bool {
    let words: Vec<String> = line.split_whitespace().map(str::to_lowercase).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["auth", ..] | ["acl", "setuser", ..] => true,
        ["config", "set", rest @ ..] => rest.iter().any(|word| matches!(*word, "requirepass" | "masterauth")),
        ["hello" | "migrate", rest @ ..] => rest.iter().any(|word| matches!(*word, "auth" | "auth2")),
        _ => false,
    }
}

fn history_path() -> Option<PathBuf> {
    match std::env::var_os("REDISCLI_HISTFILE") {
        Some(path) if path == "/dev/null" => None,
        Some(path) => Some(path.into()),
        None => Some(PathBuf::from(std::env::var_os("HOME")?).join(".skein_cli_history")),
    }
}

/// What helps while a line is edited.
struct Assistant {
    docs: Docs,
    hints: bool,
}

impl Default for Assistant {
    fn default() -> Self {
        Self {
            docs: Docs::default(),
            hints: true,
        }
    }
}

impl Assistant {
    fn preference(&mut self, line: &str) {
        match line.split_whitespace().collect::<Vec<_>>().as_slice() {
            [":set", "hints"] => self.hints = true,
            [":set", "nohints"] => self.hints = false,
            _ => screen::print_line("Preferences are :set hints and :set nohints."),
        }
    }
}

impl Helper for Assistant {}
impl Validator for Assistant {}

impl Hinter for Assistant {
    type Hint = String;

    fn hint(&self, line: &str, position: usize, _: &Context<'_>) -> Option<String> {
        (self.hints && position == line.len())
            .then(|| self.docs.hint(line))
            .flatten()
    }
}

impl Highlighter for Assistant {
    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        Cow::Owned(format!("\x1b[90m{hint}\x1b[0m"))
    }
}

impl Completer for Assistant {
    type Candidate = String;

    fn complete(&self, line: &str, position: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        let start = if line.to_lowercase().starts_with("help ") { 5 } else { 0 };
        let typed = line.get(start..position).unwrap_or_default();
        let names = if typed.trim().is_empty() {
            Vec::new()
        } else {
            self.docs.completions(typed)
        };
        Ok((start, names))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_before_a_command_repeats_it() {
        let words = |line: &str| base::words::split(line.as_bytes()).unwrap();
        assert_eq!(
            repetition(&words("5 ping")).map(|(repeat, rest)| (repeat, rest.len())),
            Ok((5, 1))
        );
        assert_eq!(
            repetition(&words("5")).map(|(repeat, rest)| (repeat, rest.len())),
            Ok((1, 1))
        );
        assert_eq!(
            repetition(&words("5x ping")).map(|(repeat, rest)| (repeat, rest.len())),
            Ok((1, 2))
        );
        assert_eq!(repetition(&words("0 ping")), Err(()));
        assert_eq!(repetition(&words("-2 ping")), Err(()));
        assert_eq!(repetition(&words("99999999999999999999 ping")), Err(()));
    }

    #[test]
    fn passwords_stay_out_of_the_history() {
        assert!(is_secret("AUTH pw") && is_secret("config set requirepass x") && is_secret("hello 3 auth u p"));
        assert!(!is_secret("config get requirepass") && !is_secret("set auth x"));
    }
}
