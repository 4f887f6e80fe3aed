//! Which of its programs the binary is asked to be: by the name it is called by, or by its first argument.
//!
//! ```text
//!   skein [server] [redis.conf] [--directive value …] [-]      redis-server (link)   ─► Server
//!   skein cli …                                                redis-cli (link)      ─► Cli
//!   skein demo …                                                                     ─► Demo
//!   skein check-rdb FILE                                       redis-check-rdb (link)─► CheckRdb
//!                                   redis-sentinel, redis-check-aof, redis-benchmark ─► NotBuilt
//! ```

/// What to do, and the arguments for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invocation {
    /// Run the server.
    Server(Vec<String>),
    /// Run the client.
    Cli(Vec<String>),
    /// Show a primary and two replicas at work.
    Demo(Vec<String>),
    /// Check RDB files.
    CheckRdb(Vec<String>),
    /// Print the version.
    Version,
    /// Print how to use the binary.
    Help,
    /// Say that this is not built, in these words, and fail.
    NotBuilt(&'static str),
}

impl Invocation {
    /// Reads the command line; `called` is the name or path that the program was called by.
    #[must_use]
    pub fn parse(called: &str, arguments: &[String]) -> Self {
        let name = called.rsplit('/').next().unwrap_or(called);
        let all = || arguments.to_vec();
        match name {
            "redis-cli" | "valkey-cli" => return Self::Cli(all()),
            "redis-check-rdb" | "valkey-check-rdb" => return Self::CheckRdb(all()),
            "redis-sentinel" | "valkey-sentinel" => return Self::NotBuilt(SENTINEL),
            "redis-check-aof" | "valkey-check-aof" => return Self::NotBuilt(CHECK_AOF),
            "redis-benchmark" | "valkey-benchmark" => return Self::NotBuilt(BENCHMARK),
            "redis-server" | "valkey-server" => return Self::server(arguments),
            _ => {}
        }
        let rest = || arguments[1..].to_vec();
        match arguments.first().map(String::as_str) {
            Some("server") => Self::server(&arguments[1..]),
            Some("cli") => Self::Cli(rest()),
            Some("demo") => Self::Demo(rest()),
            Some("check-rdb") => Self::CheckRdb(rest()),
            Some("check-aof") => Self::NotBuilt(CHECK_AOF),
            Some("benchmark") => Self::NotBuilt(BENCHMARK),
            Some("sentinel") => Self::NotBuilt(SENTINEL),
            _ => Self::server(arguments),
        }
    }

    fn server(arguments: &[String]) -> Self {
        match arguments.first().map(String::as_str) {
            Some("-v" | "--version") => Self::Version,
            Some("-h" | "--help") => Self::Help,
            Some("--test-memory") => Self::NotBuilt(TEST_MEMORY),
            Some("--check-system") => Self::NotBuilt(CHECK_SYSTEM),
            Some("--check-rdb") => Self::CheckRdb(arguments[1..].to_vec()),
            Some("--check-aof") => Self::NotBuilt(CHECK_AOF),
            _ if arguments.iter().any(|argument| argument == "--sentinel") => Self::NotBuilt(SENTINEL),
            _ => Self::Server(arguments.to_vec()),
        }
    }
}

const SENTINEL: &str = "Sentinel is not built into Skein yet. Run the stock redis-sentinel beside it: it can watch \
                        Skein servers.";
const CHECK_AOF: &str = "Skein has no append-only file yet, and so nothing to check one with. Use the stock \
                         redis-check-aof.";
const BENCHMARK: &str = "Skein has no benchmark of its own. Use the stock redis-benchmark: it works with Skein.";
const TEST_MEMORY: &str = "Skein has no memory test. Use memtest86+, or memtester on a running system.";
const CHECK_SYSTEM: &str = "Skein has no system check yet. What it finds wrong with the system it says in its log when \
                            it starts.";

/// What `--help` prints.
pub const HELP: &str = "\
Usage: skein [server] [/path/to/redis.conf] [--directive value ...] [-]
       skein cli [options] [command ...]
       skein demo
       skein check-rdb FILE ...
       skein --version

The server reads the configuration of Redis: a file, then directives from the
command line, then, for a lone '-', more of them from standard input.

Examples:
       skein                                       the defaults: port 6379
       skein /etc/redis/redis.conf
       skein --port 7777 --replicaof 127.0.0.1 6379
       skein /etc/redis/redis.conf --loglevel verbose
       echo 'maxmemory 128mb' | skein -
       skein cli -p 7777 info replication
       skein cli topology                          the tree of primary and replicas

Called redis-server, redis-cli or redis-check-rdb (a link), it acts as that.
";

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Invocation {
        let mut words = line.split(' ').map(str::to_owned);
        let called = words.next().unwrap();
        Invocation::parse(&called, &words.collect::<Vec<_>>())
    }

    fn words(line: &str) -> Vec<String> {
        line.split_ascii_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn a_name_or_a_first_word_chooses_the_program() {
        assert_eq!(parsed("skein"), Invocation::Server(vec![]));
        assert_eq!(
            parsed("/usr/bin/skein server a.conf"),
            Invocation::Server(words("a.conf"))
        );
        assert_eq!(
            parsed("skein a.conf --port 7000 -"),
            Invocation::Server(words("a.conf --port 7000 -"))
        );
        assert_eq!(parsed("/opt/redis-server a.conf"), Invocation::Server(words("a.conf")));
        assert_eq!(parsed("redis-server server"), Invocation::Server(words("server")));
        assert_eq!(parsed("redis-cli -p 1 ping"), Invocation::Cli(words("-p 1 ping")));
        assert_eq!(parsed("skein cli demo"), Invocation::Cli(words("demo")));
        assert_eq!(parsed("skein demo --plain"), Invocation::Demo(words("--plain")));
        assert_eq!(
            parsed("skein check-rdb dump.rdb"),
            Invocation::CheckRdb(words("dump.rdb"))
        );
        assert_eq!(
            parsed("redis-check-rdb dump.rdb"),
            Invocation::CheckRdb(words("dump.rdb"))
        );
        assert_eq!(parsed("skein --version"), Invocation::Version);
        assert_eq!(parsed("redis-server -v"), Invocation::Version);
        assert_eq!(parsed("skein -h"), Invocation::Help);
    }

    #[test]
    fn what_is_not_built_says_so() {
        for line in [
            "redis-sentinel s.conf",
            "skein s.conf --sentinel",
            "redis-benchmark",
            "skein --test-memory 10",
            "redis-check-aof",
        ] {
            assert!(matches!(parsed(line), Invocation::NotBuilt(_)), "{line}");
        }
    }
}
