//! At the end of an epoch: the same keys, of the same types and encodings, with the same values and expiries, by reading
//! everything that commands tell about them.

use harness::{Client, Reply, Result, Value};

use super::generate::Words;
use super::volatile;

const DATABASES: usize = 16;

/// What the servers answered differently, if anything: the question, why, and both answers.
pub type Difference = (Words, String, String, String);

/// Reads all databases of both servers.
pub fn difference(a: &mut Client, b: &mut Client, sorted: bool) -> Result<Option<Difference>> {
    let context = volatile::Context {
        known: &|_| true,
        sorted,
    };
    for db in 0..DATABASES {
        let found = compare(
            a,
            b,
            &[words(&["SELECT", &db.to_string()]), words(&["KEYS", "*"])],
            &context,
        )?;
        let keys = match found {
            Compared::Same(answers) => answers[1]
                .items()
                .iter()
                .filter_map(Reply::bytes)
                .map(<[u8]>::to_vec)
                .collect::<Vec<_>>(),
            Compared::Different(difference) => return Ok(Some(difference)),
        };
        for keys in keys.chunks(64) {
            let asked: Vec<Words> = keys.iter().flat_map(|key| about(key)).collect();
            let kinds = match compare(a, b, &asked, &context)? {
                Compared::Same(answers) => answers,
                Compared::Different(difference) => return Ok(Some(difference)),
            };
            let kinds = kinds.chunks(asked.len() / keys.len()).map(|answers| answers[0].text());
            let asked: Vec<Words> = keys
                .iter()
                .zip(kinds)
                .flat_map(|(key, kind)| reads(&kind, key))
                .collect();
            if let Compared::Different(difference) = compare(a, b, &asked, &context)? {
                return Ok(Some(difference));
            }
        }
    }
    Ok(None)
}

fn words(words: &[&str]) -> Words {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

/// What to ask about every key.
fn about(key: &[u8]) -> Vec<Words> {
    let ask = |words: &[&str]| -> Words {
        let words = words.iter().map(|word| word.as_bytes().to_vec());
        words.chain([key.to_vec()]).collect()
    };
    vec![ask(&["TYPE"]), ask(&["OBJECT", "ENCODING"]), ask(&["PEXPIRETIME"])]
}

/// What reads the whole value.
fn reads(kind: &str, key: &[u8]) -> Vec<Words> {
    let ask = |before: &[&str], after: &[&str]| -> Words {
        let bytes = |word: &&str| word.as_bytes().to_vec();
        let before = before.iter().map(bytes);
        before.chain([key.to_vec()]).chain(after.iter().map(bytes)).collect()
    };
    match kind {
        "list" => vec![ask(&["LRANGE"], &["0", "-1"])],
        "set" => vec![ask(&["SMEMBERS"], &[])],
        "hash" => vec![ask(&["HGETALL"], &[])],
        "zset" => vec![ask(&["ZRANGE"], &["0", "-1", "WITHSCORES"]), ask(&["ZCARD"], &[])],
        "stream" => vec![
            ask(&["XRANGE"], &["-", "+"]),
            ask(&["XINFO", "STREAM"], &["FULL", "COUNT", "0"]),
            ask(&["XINFO", "GROUPS"], &[]),
        ],
        _ => vec![ask(&["GET"], &[])],
    }
}

enum Compared {
    /// What the first answered.
    Same(Vec<Value>),
    Different(Difference),
}

fn compare(a: &mut Client, b: &mut Client, asked: &[Words], context: &volatile::Context<'_>) -> Result<Compared> {
    let (a, b) = (a.pipeline(asked)?, b.pipeline(asked)?);
    for ((words, a), b) in asked.iter().zip(&a).zip(&b) {
        if a == b {
            continue;
        }
        if let Some(why) = volatile::difference(words, a, b, context) {
            return Ok(Compared::Different((words.clone(), why, a.show(), b.show())));
        }
    }
    Ok(Compared::Same(a))
}
