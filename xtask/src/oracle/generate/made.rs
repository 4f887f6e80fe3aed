//! What the names in angle brackets stand for, a line each.

use harness::wait;

use super::words::{COMMANDS, FLOATS, INTS, JUNK, OFFSETS, PARAMETERS, PATTERNS};
use super::{Generator, Words};

/// Types with keys of their own: the name in the tables, and what the keys begin with.
const KINDS: &[(&str, &str)] = &[
    ("bitmap", "b"),
    ("hll", "p"),
    ("list", "l"),
    ("set", "s"),
    ("hash", "h"),
    ("zset", "z"),
    ("geo", "g"),
    ("stream", "x"),
];
/// The type that a group of commands is about.
const ABOUT: &[(&str, &str)] = &[
    ("strings", "string"),
    ("bitmaps", "bitmap"),
    ("hyperloglogs", "hll"),
    ("lists", "list"),
    ("sets", "set"),
    ("hashes", "hash"),
    ("zsets", "zset"),
    ("geo", "geo"),
    ("streams", "stream"),
];
/// Keys of each.
const KEYS: u64 = 5;

/// Names of consumer groups, and of consumers.
const GROUPS: &[&str] = &["g1", "g2", "g3", "", "a-much-longer-name-of-a-group"];
const CONSUMERS: &[&str] = &["alice", "bob", "carol", ""];

/// Stream ids of one epoch begin here.
const FIRST_MS: u64 = 1_000;

impl Generator<'_> {
    pub(super) fn make_into(&mut self, name: &str, out: &mut Words) {
        match name {
            "pair" => {
                let kind = self.kind();
                out.extend([self.make(kind), self.make(kind)]);
            }
            // Says no word, but what the command is about, where words that hang on the key come before it.
            "choose" => self.choose_stream(),
            "restorable" => {
                let payloads = self.payloads;
                let (kind, payload) = self.rng.pick(payloads);
                out.extend([self.make(kind), self.make("restorettl"), payload.clone()]);
            }
            _ => {
                let word = self.make(name);
                out.push(word);
            }
        }
    }

    pub(super) fn make(&mut self, name: &str) -> Vec<u8> {
        self.key_of(name)
            .or_else(|| self.number_of(name))
            .or_else(|| self.time_of(name))
            .or_else(|| self.element_of(name))
            .or_else(|| self.stream_word_of(name))
            .or_else(|| self.list_word_of(name))
            .unwrap_or_else(|| panic!("grammar: there is no generator <{name}>"))
    }

    pub(super) fn one_of(&mut self, from: &[&str]) -> Vec<u8> {
        self.rng.pick(from).as_bytes().to_vec()
    }

    fn number(&mut self, below: u64) -> Vec<u8> {
        self.rng.below(below).to_string().into_bytes()
    }

    fn between(&mut self, least: i64, most: i64) -> Vec<u8> {
        (least + self.rng.below((most - least + 1) as u64) as i64)
            .to_string()
            .into_bytes()
    }

    /// A type; mostly one that the epoch is about.
    fn kind(&mut self) -> &'static str {
        if !self.kinds.is_empty() && self.rng.chance(4, 5) {
            let at = self.rng.below(self.kinds.len() as u64) as usize;
            return self.kinds[at];
        }
        match self.rng.below(KINDS.len() as u64 + 1) as usize {
            0 => "string",
            at => KINDS[at - 1].0,
        }
    }

    /// A key that mostly holds this type.
    fn key_of(&mut self, name: &str) -> Option<Vec<u8>> {
        let own = match name {
            "string" => self.string_key(),
            // Nothing else ever touches these.
            "lexset" => return Some([b"y".as_slice(), &self.number(3)].concat()),
            "places" => return Some([b"q".as_slice(), &self.number(3)].concat()),
            "key" => {
                let kind = self.kind();
                return self.key_of(kind);
            }
            "sortable" => {
                let kind = *self.rng.pick(&["list", "list", "set"]);
                return self.key_of(kind);
            }
            "zsetorset" => {
                let kind = *self.rng.pick(&["zset", "zset", "zset", "set"]);
                return self.key_of(kind);
            }
            _ => {
                let (_, prefix) = KINDS.iter().find(|(kind, _)| *kind == name)?;
                [prefix.as_bytes(), &self.number(KEYS)].concat()
            }
        };
        let key = match self.rng.below(60) {
            // A HyperLogLog that commands of other types have changed is one that PFADD leaves half done in stock.
            0 if name != "hll" => b"nokey".to_vec(),
            1 => match *self.rng.pick(KINDS) {
                ("hll", _) => own,
                (_, prefix) => [prefix.as_bytes(), &self.number(KEYS)].concat(),
            },
            _ => own,
        };
        self.streams.choose_key(&key);
        Some(key)
    }

    /// The types that these groups are about.
    pub(super) fn kinds_of(groups: &[&'static str]) -> Vec<&'static str> {
        let about = ABOUT.iter().filter(|(group, _)| groups.contains(group));
        about.map(|(_, kind)| *kind).collect()
    }

    fn string_key(&mut self) -> Vec<u8> {
        match self.rng.below(60) {
            0 => Vec::new(),
            1 => b"key with space".to_vec(),
            2 => b"\x00\xff\r\n\"bin".to_vec(),
            3 => vec![b'L'; 300],
            4..=14 => [b"new:".as_slice(), &self.number(300)].concat(),
            _ => [b"k".as_slice(), &self.number(24)].concat(),
        }
    }

    fn number_of(&mut self, name: &str) -> Option<Vec<u8>> {
        Some(match name {
            "int" => self.int(),
            "float" => match self.rng.below(3) {
                0 => self.one_of(FLOATS),
                1 => self.between(-100, 100),
                _ => [self.between(-10, 10), b".".to_vec(), self.number(1000)].concat(),
            },
            "integer" => self.number(self.universe),
            "small" => self.number(20),
            "positive" => match self.rng.below(40) {
                0 => self.one_of(&["0", "-1", "x"]),
                _ => self.between(1, 12),
            },
            "count" => match self.rng.below(3) {
                0 => self.one_of(&["0", "1", "2", "3", "5", "10", "1000", "-1", "x", ""]),
                _ => self.number(10),
            },
            "offset" => match self.rng.below(12) {
                0 => self.one_of(OFFSETS),
                _ => self.between(-20, 20),
            },
            "index" => match self.rng.below(40) {
                0 => self.one_of(OFFSETS),
                1..=8 => self.between(-100, 100),
                _ => self.between(-8, 8),
            },
            "setoffset" => match self.rng.below(12) {
                0 => self.one_of(&[
                    "65530",
                    "65536",
                    "70000",
                    "536870912",
                    "9223372036854775807",
                    "-1",
                    "x",
                    "4294967296",
                ]),
                _ => self.number(60),
            },
            "bit" => match self.rng.below(60) {
                0 => self.one_of(&["-1", "x", "4294967296", "#1", "1.0", ""]),
                1 => self.one_of(&["524288", "600000", "1000000"]),
                2..=10 => self.number(4_000),
                _ => self.number(120),
            },
            "fieldtype" => match self.rng.below(40) {
                0 => self.one_of(&["u64", "i65", "u0", "i", "x8", "", "8", "u08"]),
                at if at % 2 == 0 => [b"u".to_vec(), self.between(1, 63)].concat(),
                _ => [b"i".to_vec(), self.between(1, 64)].concat(),
            },
            "fieldat" => match self.rng.below(40) {
                0 => self.one_of(&["-1", "x", "4294967296", "#-1", "#", "#x"]),
                at if at % 3 == 0 => [b"#".to_vec(), self.number(20)].concat(),
                _ => self.number(200),
            },
            "fieldint" => match self.rng.below(4) {
                0 => self.int(),
                _ => self.between(-300, 300),
            },
            "score" => match self.rng.below(30) {
                // Stock takes the sign from a zero in a listpack, and which sets were once listpacks is its own affair.
                0 => self.one_of(FLOATS.strip_suffix(&["-0.0"]).unwrap_or(FLOATS)),
                1 => self.one_of(&[
                    "inf",
                    "-inf",
                    "+inf",
                    "1e300",
                    "-1e300",
                    "0.1",
                    "1e-300",
                    "9007199254740993",
                ]),
                2..=6 => [self.between(-10, 10), b".".to_vec(), self.number(100)].concat(),
                _ => self.between(-10, 30),
            },
            "weight" => self.one_of(&["1", "2", "0", "-1", "0.5", "inf", "1e10", "1", "2", "3"]),
            "longitude" => self.coordinate(180, "181"),
            "latitude" => self.coordinate(85, "86"),
            "radius" => match self.rng.below(20) {
                0 => self.one_of(&["0", "-1", "x", "1e10"]),
                _ => {
                    let below = *self.rng.pick(&[10, 500, 5_000, 30_000]);
                    self.number(below)
                }
            },
            "timeout" => self.one_of(&["0.001", "0.001", "0.001", "0.001", "-1", "x", ""]),
            "waitcount" => self.one_of(&["0", "1", "-1", "5"]),
            "db" => match self.rng.below(12) {
                0 => self.one_of(&["16", "-1", "x", "", "9999999999999999999", "4294967296"]),
                1 => self.number(16),
                _ => self.number(3),
            },
            _ => return None,
        })
    }

    /// Degrees: mostly in one region, so that places are near each other.
    fn coordinate(&mut self, most: i64, beyond: &str) -> Vec<u8> {
        let whole = match self.rng.below(40) {
            0 => return self.one_of(&[beyond, "x", "", "nan"]),
            1..=10 => self.between(-most, most),
            _ => self.between(8, 16),
        };
        [whole, b".".to_vec(), self.number(10_000)].concat()
    }

    fn int(&mut self) -> Vec<u8> {
        match self.rng.below(12) {
            0 => self.one_of(INTS),
            1 | 2 => ((self.rng.next_u64() as i64) >> self.rng.below(63))
                .to_string()
                .into_bytes(),
            _ => self.between(-100, 100),
        }
    }

    fn time_of(&mut self, name: &str) -> Option<Vec<u8>> {
        let now = wait::unix_ms();
        // The time of the run must not show in what is sent: a day is near enough, and a seed gives the same again.
        let today = now - now % 86_400_000;
        let seconds = today / 1000 + 1_000_000;
        let millis = today + 1_000_000_000;
        Some(match name {
            "secs" => self.duration(100_000, 1 << 33),
            "millis" => self.duration(100_000_000, 1 << 43),
            "at" => self.moment(seconds),
            "atms" => self.moment(millis),
            // SET with a moment past leaves a key that is gone only when somebody looks: the counts of keys would race.
            "farat" => (seconds + self.rng.below(1 << 30) as i64).to_string().into_bytes(),
            "faratms" => (millis + self.rng.below(1 << 40) as i64).to_string().into_bytes(),
            "restorettl" => match self.rng.below(12) {
                0 | 1 => millis.to_string().into_bytes(),
                2 => self.one_of(&["-1", "x", "9223372036854775807", "100000000"]),
                _ => b"0".to_vec(),
            },
            _ => return None,
        })
    }

    /// Far away, past, at the edges or wrong; never so near that it could run out during the test.
    fn duration(&mut self, from: u64, spread: u64) -> Vec<u8> {
        match self.rng.below(20) {
            0 => self.one_of(&["0", "-1", "-100", "-9223372036854775808"]),
            1 => self.one_of(&[
                "9223372036854775807",
                "9223372036854775",
                "9223372036854776",
                "x",
                "",
                "1.5",
                " 1",
                "99999999999999999999",
            ]),
            _ => (from + self.rng.below(spread)).to_string().into_bytes(),
        }
    }

    fn moment(&mut self, far: i64) -> Vec<u8> {
        match self.rng.below(20) {
            0 | 1 => self.one_of(&["0", "1", "-1", "1000000000", "-9223372036854775808"]),
            2 => self.one_of(&[
                "9223372036854775807",
                "9223372036854775",
                "9223372036854776",
                "x",
                "",
                "1e10",
            ]),
            _ => (far + self.rng.below(1 << 30) as i64).to_string().into_bytes(),
        }
    }

    fn element_of(&mut self, name: &str) -> Option<Vec<u8>> {
        Some(match name {
            "value" => self.value(),
            "bytes" => (0..1 + self.rng.below(40))
                .map(|_| match self.rng.below(3) {
                    0 => 0,
                    1 => 0xff,
                    _ => self.rng.below(256) as u8,
                })
                .collect(),
            "member" => self.member(),
            "letters" => (0..=self.rng.below(3))
                .map(|_| b'a' + self.rng.below(5) as u8)
                .collect(),
            "counter" => [b"n".to_vec(), self.number(4)].concat(),
            "place" => [b"place".to_vec(), self.number(self.universe.min(60))].concat(),
            "channel" => self.one_of(&["news", "sports", "", "k1", "a b"]),
            "unit" => self.one_of(&["m", "km", "km", "km", "KM", "ft", "mi", "mm"]),
            "min" | "max" => match self.rng.below(30) {
                0 => self.one_of(&["x", "", "(", "nan", "(inf", "((1"]),
                1..=4 => self.one_of(&["-inf", "+inf", "inf", "(-inf"]),
                at => {
                    let bound = if name == "min" {
                        self.between(-10, 12)
                    } else {
                        self.between(0, 30)
                    };
                    if at % 3 == 0 {
                        [b"(".to_vec(), bound].concat()
                    } else {
                        bound
                    }
                }
            },
            "lexmin" => self.lex(b"-"),
            "lexmax" => self.lex(b"+"),
            _ => return None,
        })
    }

    fn lex(&mut self, edge: &[u8]) -> Vec<u8> {
        match self.rng.below(20) {
            0 => self.one_of(&["a", "", "(", "[", "*"]),
            1..=5 => edge.to_vec(),
            at => {
                let letters = self.make("letters");
                [if at % 2 == 0 { b"[" } else { b"(".as_slice() }, &letters].concat()
            }
        }
    }

    /// One of the epoch's members: numbers, words, and some of special length.
    fn member(&mut self) -> Vec<u8> {
        let which = self.rng.below(self.universe);
        match which % 12 {
            0..=3 => which.to_string().into_bytes(),
            4 => (-(which as i64) * 1_000_000_007).to_string().into_bytes(),
            5 if which % 7 == 5 => vec![b'm'; 60 + (which % 11) as usize],
            6 if which == 6 => Vec::new(),
            7 if which % 5 == 2 => format!("{which}.5").into_bytes(),
            8 if which % 9 == 8 => [b"\xff\xc3\x28".as_slice(), which.to_string().as_bytes()].concat(),
            9 if which % 50 == 21 => b"x".repeat(4_000 + (which * 131 % 9_000) as usize),
            _ => format!("m{which}").into_bytes(),
        }
    }

    fn value(&mut self) -> Vec<u8> {
        match self.rng.below(40) {
            0..=9 => self.int(),
            10..=14 => self.make("float"),
            15..=27 => {
                let len = self.rng.below(60);
                (0..len).map(|_| b'a' + self.rng.below(26) as u8).collect()
            }
            28..=31 => {
                let len = self.rng.below(90);
                (0..len).map(|_| self.rng.below(256) as u8).collect()
            }
            32..=34 => b"abcab".repeat(self.rng.below(60) as usize),
            35 => Vec::new(),
            36 => vec![b'4'; 44],
            37 => vec![b'5'; 45],
            38 => (0..self.rng.below(3_000)).map(|n| (n * n) as u8).collect(),
            _ => match self.rng.below(12) {
                0 => vec![b'z'; 70_000],
                1 => (0..66_000_u32)
                    .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
                    .collect(),
                _ => b"plain".to_vec(),
            },
        }
    }

    fn stream_word_of(&mut self, name: &str) -> Option<Vec<u8>> {
        Some(match name {
            "newid" => {
                self.last_id += 1 + self.rng.below(2);
                match self.rng.below(40) {
                    0 => self.one_of(&["0", "0-0", "x", "1-x", "-1", "5-5", "18446744073709551616", "+", "1-"]),
                    1 => self.id(),
                    2 | 3 => format!("{}-*", FIRST_MS + self.last_id / 3).into_bytes(),
                    4 | 5 => {
                        self.last_id += 3;
                        (FIRST_MS + self.last_id / 3).to_string().into_bytes()
                    }
                    _ => format!("{}-{}", FIRST_MS + self.last_id / 3, self.last_id % 3).into_bytes(),
                }
            }
            "oldid" => match self.rng.below(40) {
                0 => self.one_of(&["0", "x", "-", "", "18446744073709551615-18446744073709551615"]),
                1..=8 => self.id(),
                _ => self.one_of_or(self.streams.ids().to_vec(), Self::id),
            },
            "waiting" => match self.rng.below(12) {
                0 => self.make("oldid"),
                _ => self.one_of_or(self.streams.waiting().to_vec(), Self::id),
            },
            "grouped" => {
                self.choose_stream();
                self.streams.key().to_vec()
            }
            "chosen" => self.streams.key().to_vec(),
            "from" => match self.rng.below(20) {
                0 => self.one_of(&["x", "", "+", "(x", "(-"]),
                1..=6 => b"-".to_vec(),
                7..=9 => [b"(".to_vec(), self.id()].concat(),
                _ => self.id(),
            },
            "to" => match self.rng.below(20) {
                0 => self.one_of(&["x", "", "-", "(", "(+", "(0-0"]),
                1..=8 => b"+".to_vec(),
                9..=11 => [b"(".to_vec(), self.id()].concat(),
                _ => self.id(),
            },
            "afterid" => match self.rng.below(20) {
                0 => self.one_of(&["x", "-", "+", ">"]),
                1..=8 => b"0".to_vec(),
                9 => b"$".to_vec(),
                _ => self.id(),
            },
            "trimat" => match self.rng.below(3) {
                0 => self.id(),
                _ => self.number(20),
            },
            "group" => {
                let group = match self.rng.below(40) {
                    0 => self.one_of(GROUPS),
                    _ => self.one_of_or(self.streams.groups(), |generator| generator.one_of(GROUPS)),
                };
                self.streams.choose_group(&group);
                group
            }
            "newgroup" => {
                let groups = self.streams.groups();
                let free = GROUPS.iter().map(|name| name.as_bytes().to_vec());
                let free: Vec<_> = free.filter(|name| !groups.contains(name)).collect();
                self.one_of_or(free, |generator| generator.one_of(GROUPS))
            }
            "consumer" => match self.rng.below(4) {
                0 => self.one_of(CONSUMERS),
                _ => self.one_of_or(self.streams.consumers().to_vec(), |generator| {
                    generator.one_of(CONSUMERS)
                }),
            },
            _ => return None,
        })
    }

    /// One of these, or else what `otherwise` gives.
    fn one_of_or(&mut self, these: Vec<Vec<u8>>, otherwise: fn(&mut Self) -> Vec<u8>) -> Vec<u8> {
        match these.len() as u64 {
            0 => otherwise(self),
            count => these[self.rng.below(count) as usize].clone(),
        }
    }

    /// Makes the command one about a stream that has groups, as far as is known.
    fn choose_stream(&mut self) {
        let streams = self.streams.with_groups();
        let key = match self.rng.below(40) {
            0 => self.make("stream"),
            _ => self.one_of_or(streams, |generator| generator.make("stream")),
        };
        self.streams.choose_key(&key);
    }

    /// An id that was made up not long ago.
    fn id(&mut self) -> Vec<u8> {
        let back = self.rng.below(60);
        let id = self.last_id.saturating_sub(back);
        match self.rng.below(8) {
            0 => (FIRST_MS + id / 3).to_string().into_bytes(),
            _ => format!("{}-{}", FIRST_MS + id / 3, id % 3).into_bytes(),
        }
    }

    fn list_word_of(&mut self, name: &str) -> Option<Vec<u8>> {
        Some(match name {
            "payload" => {
                let payloads = self.payloads;
                self.rng.pick(payloads).1.clone()
            }
            "cursor" => self.one_of(&["0", "0", "0", "0", "0", "x", "-1", "", "1e3", "18446744073709551616"]),
            "type" => self.one_of(&["string", "STRING", "list", "zset", "hash", "stream", "set", "nosuch"]),
            "pattern" => self.one_of(PATTERNS),
            "sortby" => self.one_of(&["nosort", "k*", "h*->n1", "nokey", "*", "l*", "k*->"]),
            "sortget" => self.one_of(&["#", "k*", "h*->n1", "h0->*", "nokey"]),
            "name" => self.one_of(&["bob", "", "two words", "line\nend", "ok-name", "caf\u{e9}", "x:y"]),
            "setword" => self.one_of(&[
                "NX",
                "XX",
                "GET",
                "KEEPTTL",
                "EX",
                "PX",
                "EXAT",
                // Far away in each of the units.
                "9999999999999",
                "99999999999999",
                "PERSIST",
            ]),
            "command" => self.one_of(COMMANDS),
            "parameter" => self.one_of(PARAMETERS),
            "junk" => self.one_of(JUNK),
            "empty" => Vec::new(),
            _ => return None,
        })
    }
}
