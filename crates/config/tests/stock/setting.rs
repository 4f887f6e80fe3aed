//! CONFIG GET and SET beside stock.

use crate::common::show;
use crate::server::{Reply, Scratch, Stock, installed, scratch};
use config::directive;
use config::{Config, Directive, Effect, Flags, Rule, SetContext};

pub const OURS: [&str; 3] = [
    "unbuilt-directives",
    "repl-sync-buffer-limit",
    "io-threads-always-active",
];

fn same_start(name: &str) -> (Stock, Config, Scratch) {
    let directory = scratch(name);
    let conf = "port {port}\nenable-protected-configs yes\n";
    let stock = Stock::start(&directory, conf, &[]);
    let mut config = Config::default();
    config.port = stock.port;
    config.enable_protected_configs = config::Access::Yes;
    config.dir.0 = config::Text::from(directory.canonicalize().unwrap().to_str().unwrap());
    (stock, config, directory)
}

#[test]
fn names_and_defaults() {
    if !installed() {
        return;
    }
    let (mut stock, config, _directory) = same_start("defaults");
    let mut theirs = stock.ask(&[b"CONFIG", b"GET", b"*"]).pairs();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let mut ours: Vec<(String, String)> = config
        .get([&b"*"[..]])
        .into_iter()
        .map(|(n, v)| (text(n), text(v)))
        .collect();
    ours.retain(|(name, _)| !OURS.contains(&name.as_str()));
    theirs.sort();
    ours.sort();
    assert_eq!(ours, theirs);
    let hidden = directive::all().filter(|directive| directive.flags.has(Flags::HIDDEN));
    for directive in hidden.filter(|directive| !OURS.contains(&directive.name)) {
        let theirs = stock.ask(&[b"CONFIG", b"GET", directive.name.as_bytes()]).pairs();
        assert_eq!(theirs, [(directive.name.to_owned(), show(&config, directive.name))]);
    }
    for patterns in [
        &["PORT", "port", "p?rt"][..],
        &["*-announce-ip"],
        &["nope"],
        &["[p]ort", "maxm*y"],
        &["slave-*"],
    ] {
        let words: Vec<&[u8]> = [&b"CONFIG"[..], b"GET"]
            .into_iter()
            .chain(patterns.iter().map(|p| p.as_bytes()))
            .collect();
        let mut theirs = stock.ask(&words).pairs();
        let ours = config.get(patterns.iter().map(|pattern| pattern.as_bytes()));
        let mut ours: Vec<_> = ours.into_iter().map(|(n, v)| (text(n), text(v))).collect();
        theirs.sort();
        ours.sort();
        assert_eq!(ours, theirs, "{patterns:?}");
    }
}

/// Values to try: good ones, the bounds and beyond, and nonsense.
fn values(directive: &Directive) -> Vec<String> {
    let mut values: Vec<String> = [
        "", "x", "yes", "NO", " 1", "1 2", "-1", "0", "1", "+1", "01", "007", "1.5", "100%", "%", "5%",
    ]
    .map(str::to_owned)
    .to_vec();
    values.extend(
        [
            "99999999999999999999",
            "-99999999999999999999",
            "1k",
            "1Kb",
            "2MB",
            "1gb",
            "1 kb",
            "no one",
        ]
        .map(str::to_owned),
    );
    let around = |value: i128| [value - 1, value, value + 1].map(|value| value.to_string());
    match directive.rule {
        Rule::Int(min, max) => values.extend([around(min.into()), around(max.into())].concat()),
        Rule::Memory(min, max) => values.extend([around(min.into()), around(max.into())].concat()),
        _ => {}
    }
    values.extend(
        directive
            .choices()
            .into_iter()
            .flat_map(|choice| [choice.to_owned(), choice.to_uppercase()]),
    );
    let special: &[&str] = match directive.name {
        "save" => &[
            "1 2",
            "1 2 3 4",
            "1 2 3",
            "0 1",
            "1 -1",
            "1 2  3 4",
            "+1 2",
            "10 99999999999",
            "a b",
            "\"1 2\"",
        ],
        "bind" => &["127.0.0.1", "127.0.0.1 -1.2.3.4", "a b c d e f g h i j k l m n o p q"],
        "client-output-buffer-limit" => &[
            "normal 0 0",
            "foo 0 0 0",
            "normal 0 0 -1",
            "normal 0 -1 0",
            "master 0 0 0",
            "normal 1kx 0 0",
            "replica 1mb 2kb 3 pubsub 3 4 5",
            "SLAVE 5 6 +8",
            " normal 0 0 0",
            "normal 1gb 1gb 99999999999999999999",
            "normal 1gb 1gb 4294967297",
        ],
        "oom-score-adj-values" => &["1 2 3", "1 2", "1 2 b", "-2001 0 0", "0 0 2001", "5  2", "1 2 3 4"],
        "latency-tracking-info-percentiles" => &[
            "50 99.9",
            "101",
            "-1",
            "33.333333333333336 99.99999999999 1e-7",
            "1 x",
            "1  2",
            "nan",
        ],
        "notify-keyspace-events" => &["KEA", "Kg$lshzxetdmn", "EKxg", "E", "Ag", "ntmdxK", "foo", "K g"],
        "shutdown-on-sigint" | "shutdown-on-sigterm" => &[
            "save now force",
            "force FORCE now",
            "save nosave",
            "save default",
            "now  force",
        ],
        // A title that is empty only at this moment, as `{unixsocket}` is, is refused by stock and taken by us.
        "proc-title-template" => &["{title} x", "{foo}", "{{foo", "{title", "   ", "{config-file} {port}"],
        "dbfilename" => &["a/b", "a\\b", "dump2.rdb"],
        "cluster-announce-hostname" => &["a b", "a_b", "a-b.c"],
        "maxmemory" => &["k", "18446744073709551615k", "100mb"],
        "maxmemory-clients" => &["101%", "0%", "-5", "9999999999999999999", "0x5%", "1gb"],
        "requirepass" | "masterauth" => &["secret", "with space", "\u{1}\"'"],
        _ => &[],
    };
    values.extend(special.iter().map(|value| (*value).to_owned()));
    values
}

/// Settings whose trial would end the connection, need the system's consent, or change this process.
fn cannot_be_tried(directive: &Directive, value: &str) -> bool {
    match directive.name {
        // They apply to the system and may be refused by it, as ours are by the server.
        "port" | "tls-port" => !value.is_empty() && value.parse::<u16>().is_ok(),
        "bind" => value != "127.0.0.1" && value.split(' ').count() <= 16,
        "maxclients" => value.parse::<u64>().is_ok_and(|value| value > 4000),
        "dir" => true,
        // A signal every so often.
        "watchdog-period" => true,
        // Would close our own connection.
        "client-output-buffer-limit" => value.starts_with("normal 1 ") || value.starts_with("normal 1k "),
        "maxmemory-clients" => matches!(value, "1" | "1k" | "1Kb" | "2MB" | "5%" | "100%" | "99%"),
        "timeout" => value == "1",
        _ => false,
    }
}

/// What is not built is refused here whatever stock says.
fn differs_by_design(directive: &Directive) -> bool {
    matches!(directive.effect, Effect::Unbuilt(_)) || directive.name == "activedefrag"
}

#[test]
fn verdicts_and_what_they_leave_behind() {
    if !installed() {
        return;
    }
    let (mut stock, mut config, _directory) = same_start("verdicts");
    let context = SetContext {
        loading: false,
        protected_allowed: true,
    };
    let (mut tried, mut wrong) = (0, Vec::new());
    for directive in
        directive::all().filter(|directive| !OURS.contains(&directive.name) && !differs_by_design(directive))
    {
        for name in [Some(directive.name), directive.alias].into_iter().flatten() {
            for value in values(directive) {
                if cannot_be_tried(directive, &value) {
                    continue;
                }
                tried += 1;
                let theirs = stock.ask(&[b"CONFIG", b"SET", name.as_bytes(), value.as_bytes()]);
                let ours = match config.prepare(&[name.as_bytes(), value.as_bytes()], context) {
                    Ok(prepared) => {
                        config = prepared.config;
                        "+OK".to_owned()
                    }
                    Err(error) => format!("-{error}"),
                };
                let shown = stock.ask(&[b"CONFIG", b"GET", name.as_bytes()]).pairs().remove(0).1;
                if theirs.line() != ours || shown != show(&config, name) {
                    wrong.push(format!(
                        "{name} {value:?}:\n  theirs {} ({shown})\n  ours   {ours} ({})",
                        theirs.line(),
                        show(&config, name)
                    ));
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {tried} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(tried > 4000, "only {tried} were tried");
}

#[test]
fn several_pairs_at_once() {
    if !installed() {
        return;
    }
    let (mut stock, mut config, _directory) = same_start("pairs");
    for words in [
        &["hz", "10", "hz", "11"][..],
        &["hz", "abc", "hz", "abc"],
        &["hz", "20", "HZ", "30"],
        &["slave-priority", "5", "replica-priority", "6"],
        &["slave-priority", "5", "replica-priority", "x"],
        &["foo", "1", "timeout", "2"],
        &["timeout", "abc", "foo", "2"],
        &["timeout", "abc", "databases", "2"],
        &["databases", "2", "foo", "1"],
        &["databases", "2", "timeout", "1", "timeout", "2"],
        &["timeout", "1", "timeout", "2", "databases", "2"],
        &["timeout", "7", "hz", "x", "loglevel", "debug"],
        &["timeout", "7", "hz", "501", "loglevel", "debug"],
        &["timeout", "7", "hz"],
        &["", "x"],
        &["DATABASES", "2"],
        &["hz", "0", "repl-backlog-size", "1"],
        &["maxmemory", "1gb", "maxmemory", "1gb"],
    ] {
        let mut request: Vec<&[u8]> = vec![b"CONFIG", b"SET"];
        request.extend(words.iter().map(|word| word.as_bytes()));
        let theirs = stock.ask(&request);
        let ours = match config.prepare(&request[2..], SetContext::default()) {
            Ok(prepared) => {
                config = prepared.config;
                Reply::Line("+OK".into())
            }
            Err(error) => Reply::Line(format!("-{error}")),
        };
        assert_eq!(ours, theirs, "{words:?}");
        for name in [
            "timeout",
            "hz",
            "loglevel",
            "replica-priority",
            "repl-backlog-size",
            "maxmemory",
        ] {
            let shown = stock.ask(&[b"CONFIG", b"GET", name.as_bytes()]).pairs().remove(0).1;
            assert_eq!(show(&config, name), shown, "{name} after {words:?}");
        }
    }
}
