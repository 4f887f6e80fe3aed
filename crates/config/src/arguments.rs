//! The command line of the server: `skein [redis.conf] [--directive value ...] [-]`.
//!
//! Options become lines of configuration that are read after the file and standard input: `--port 6380` is the line
//! `port "6380"`. A word is the name of an option when it begins with `--` and the option before it has its value; so a
//! value may begin with `--` too. `--save` alone, or before another option, means `--save ""`.

use base::words::{quote_into, split};

/// What a command line asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Invocation {
    /// The configuration file.
    pub file: Option<String>,
    /// True when `-` asks for configuration on standard input.
    pub from_stdin: bool,
    /// The options as lines of configuration.
    pub options: Vec<u8>,
}

/// Reads the words behind the program's name. `--help`, `--version` and their like are the caller's, and gone already.
#[must_use]
pub fn parse(words: &[String]) -> Invocation {
    let mut invocation = Invocation::default();
    let mut first = 0;
    if let Some(file) = words.first().filter(|word| !word.starts_with('-')) {
        invocation.file = Some(file.clone());
        first = 1;
    }
    let mut has_value = true;
    for (index, word) in words.iter().enumerate().skip(first) {
        let last = index + 1 == words.len();
        if word == "-" && (index == 0 || last) {
            invocation.from_stdin = true;
        } else if let Some(option) = word.strip_prefix("--").filter(|_| has_value) {
            has_value = invocation.take_option(word, option, words.get(index + 1));
        } else {
            quote_into(&mut invocation.options, word.as_bytes());
            invocation.options.push(b' ');
            has_value = true;
        }
    }
    invocation
}

impl Invocation {
    /// Takes the name of an option, perhaps with its value in the same word. Returns whether it has its value.
    fn take_option(&mut self, word: &str, option: &str, next: Option<&String>) -> bool {
        if !self.options.is_empty() {
            self.options.push(b'\n');
        }
        self.options.extend_from_slice(option.as_bytes());
        self.options.push(b' ');
        let only_a_name = split(word.as_bytes()).is_ok_and(|words| words.len() == 1);
        if !only_a_name {
            return true;
        }
        let ends_here = next.is_none_or(|next| next.starts_with("--"));
        if ends_here && word.eq_ignore_ascii_case("--save") {
            self.options.extend_from_slice(b"\"\"");
            return next.is_some();
        }
        ends_here && next.is_some() && word.eq_ignore_ascii_case("--sentinel")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(words: &[&str], expected: &str) {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let invocation = parse(&words);
        let mut shown = String::from_utf8(invocation.options).unwrap();
        if invocation.from_stdin {
            shown.push_str("<stdin>");
        }
        if let Some(file) = invocation.file {
            shown.insert_str(0, &format!("<{file}>"));
        }
        assert_eq!(shown, expected, "{words:?}");
    }

    /// Each line was tried with a stock 7.0.15 server.
    #[test]
    fn options_become_lines() {
        check(&["--port", "7000"], "port \"7000\" ");
        check(
            &["a.conf", "--port", "7000", "--timeout", "3"],
            "<a.conf>port \"7000\" \ntimeout \"3\" ",
        );
        check(&["--replicaof", "host 1"], "replicaof \"host 1\" ");
        check(&["--replicaof host 1"], "replicaof host 1 ");
        check(&["--port 7000 ", "--save 5 6"], "port 7000  \nsave 5 6 ");
        check(&["--save", "", "--port", "1"], "save \"\" \nport \"1\" ");
        check(&["--save", "--port", "1"], "save \"\"\nport \"1\" ");
        check(&["--port", "1", "--save"], "port \"1\" \nsave \"\"");
        check(&["--save", "60", "1", "5", "2"], "save \"60\" \"1\" \"5\" \"2\" ");
        check(
            &["--masterauth", "--foo", "--timeout", "3"],
            "masterauth \"--foo\" \ntimeout \"3\" ",
        );
        check(&["--masterauth", "--foo", "bar"], "masterauth \"--foo\" \"bar\" ");
        check(&["--masterauth", "a\nb\"c"], "masterauth \"a\\nb\\\"c\" ");
        check(&["-"], "<stdin>");
        check(&["-", "--port", "1"], "port \"1\" <stdin>");
        check(&["--port", "1", "-"], "port \"1\" <stdin>");
        check(
            &["--port", "1", "-", "--timeout", "3"],
            "port \"1\" \"-\" \ntimeout \"3\" ",
        );
        check(&["a.conf", "-"], "<a.conf><stdin>");
        check(&["-x"], "\"-x\" ");
        check(&["--"], " ");
        check(&["--sentinel", "--port", "1"], "sentinel \nport \"1\" ");
    }
}
