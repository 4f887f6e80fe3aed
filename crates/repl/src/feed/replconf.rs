//! REPLCONF, as replicas send it: what they are, and what they have.

use base::{Offset, number};
use resp::Args;

use super::replica::{Peer, Replica};
use super::{Context, Feeds};
use crate::effect::{Contents, ReplicaId};

/// The longest address a replica may announce.
const ANNOUNCED_IP_BYTES_MAX: usize = 255;

/// What to reply to a REPLCONF.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplconfReply {
    /// `+OK`.
    Ok,
    /// Nothing.
    Silent,
    /// It was `REPLCONF GETACK`; if we are a replica our primary gets our offset, and nobody a reply.
    GetAck,
    /// An error, with its code.
    Error(String),
}

impl Feeds {
    /// `REPLCONF <option> <value> …` from the connection `id`.
    pub(crate) fn on_replconf(
        &mut self,
        cx: &mut Context<'_>,
        id: ReplicaId,
        ip: &str,
        args: Args<'_>,
    ) -> ReplconfReply {
        if args.len().is_multiple_of(2) {
            return ReplconfReply::Error("ERR syntax error".into());
        }
        for at in (1..args.len()).step_by(2) {
            let (option, value) = (args.get(at), args.get(at + 1));
            if option.eq_ignore_ascii_case(b"ack") {
                if let Some(offset) = number::parse_u64(value) {
                    self.on_ack(cx, id, Offset(offset));
                }
                return ReplconfReply::Silent;
            }
            if option.eq_ignore_ascii_case(b"getack") {
                return ReplconfReply::GetAck;
            }
            if let Err(error) = note(&mut self.peer(id, ip).peer, option, value) {
                return ReplconfReply::Error(error);
            }
        }
        ReplconfReply::Ok
    }

    fn peer(&mut self, id: ReplicaId, ip: &str) -> &mut Replica {
        let at = self
            .replicas
            .iter()
            .position(|replica| replica.id == id)
            .unwrap_or_else(|| {
                self.replicas.push(Replica::new(id, ip));
                self.replicas.len() - 1
            });
        &mut self.replicas[at]
    }
}

/// Notes one thing that a replica tells of itself.
fn note(peer: &mut Peer, option: &[u8], value: &[u8]) -> Result<(), String> {
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match option.to_ascii_lowercase().as_slice() {
        b"listening-port" => {
            let port = number::parse_i64(value).ok_or("ERR value is not an integer or out of range")?;
            // A number that is no port is kept as "did not say".
            peer.listening_port = u16::try_from(port).unwrap_or(0);
        }
        b"ip-address" => {
            if value.len() >= ANNOUNCED_IP_BYTES_MAX {
                let length = value.len();
                return Err(format!(
                    "ERR REPLCONF ip-address provided by replica instance is too long: {length} bytes"
                ));
            }
            peer.announced_ip = (!value.is_empty()).then(|| lossy(value));
        }
        // Capabilities that we do not know are not ours to use.
        b"capa" if value.eq_ignore_ascii_case(b"eof") => peer.reads_marked = true,
        b"capa" if value.eq_ignore_ascii_case(b"psync2") => peer.follows_ids = true,
        b"capa" if value.eq_ignore_ascii_case(b"rdb-channel-repl") => peer.knows_rdb_channel = true,
        b"capa" => {}
        b"version" => peer.version = Some(lossy(value)),
        b"rdb-only" => {
            let number = number::parse_i64(value).ok_or("ERR value is not an integer or out of range")?;
            peer.snapshot_only = number == 1;
        }
        b"rdb-filter-only" => peer.contents = parse_contents(value)?,
        _ => return Err(format!("ERR Unrecognized REPLCONF option: {}", lossy(option))),
    }
    Ok(())
}

fn parse_contents(value: &[u8]) -> Result<Contents, String> {
    let mut contents = Contents {
        data: false,
        functions: false,
    };
    for word in value.split(|byte| *byte == b' ').filter(|word| !word.is_empty()) {
        if !word.eq_ignore_ascii_case(b"functions") {
            let word = String::from_utf8_lossy(word);
            return Err(format!("ERR Unsupported rdb-filter-only option: {word}"));
        }
        contents.functions = true;
    }
    Ok(contents)
}
