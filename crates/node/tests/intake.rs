//! Several sessions' input at once: what they see is what they would see one request after the other.
#![allow(missing_docs)]

use base::{Now, Rng};
use config::Config;
use engine::SessionId;
use engine::session::Peer;
use node::{Input, Node, Nowhere, Opened};

struct Server {
    node: Node,
    clients: Vec<SessionId>,
}

impl Server {
    fn new(clients: usize, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        change(&mut config);
        let mut node = Node::new(config, Box::new(Nowhere), Now::default(), 1, || 0).unwrap();
        let clients = (0..clients)
            .map(|_| {
                let peer = Peer {
                    loopback: true,
                    ..Peer::default()
                };
                match node.open(peer) {
                    Opened::Session(id) => id,
                    Opened::Refused(_) => panic!("refused"),
                }
            })
            .collect();
        Self { node, clients }
    }

    /// Gives each client's bytes to the node at once; how many of them were consumed.
    fn offer(&mut self, sent: &[Vec<u8>]) -> Vec<usize> {
        let mut inputs: Vec<Input<'_>> = self
            .clients
            .iter()
            .zip(sent)
            .map(|(id, buffer)| Input {
                id: *id,
                buffer,
                consumed: 0,
            })
            .collect();
        self.node.inputs(&mut inputs);
        inputs.iter().map(|input| input.consumed).collect()
    }

    fn replies(&mut self, client: usize) -> String {
        let session = &mut self.node.engine.sessions[self.clients[client]];
        String::from_utf8(std::mem::take(&mut session.out)).unwrap()
    }
}

/// Lines of words as the requests they are.
fn requests(lines: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in lines {
        let words: Vec<&str> = line.split(' ').collect();
        resp::write_command(&mut bytes, &words);
    }
    bytes
}

#[test]
fn a_command_behind_auth_is_read_as_one_who_may() {
    let mut server = Server::new(2, |config| config.requirepass = "secret".into());
    // Before AUTH eleven words are too many, behind it they are not.
    let many = "MSET a 1 b 2 c 3 d 4 e 5 f 6";
    let sent = [requests(&["GET a", "AUTH secret", many, "GET a"]), requests(&[many])];
    let consumed = server.offer(&sent);
    assert_eq!(consumed, [sent[0].len(), sent[1].len()]);
    assert_eq!(
        server.replies(0),
        "-NOAUTH Authentication required.\r\n+OK\r\n+OK\r\n$1\r\n1\r\n"
    );
    assert_eq!(
        server.replies(1),
        "-ERR Protocol error: unauthenticated multibulk length\r\n"
    );
}

#[test]
fn who_blocks_takes_no_more_and_who_is_killed_nothing() {
    let mut server = Server::new(4, |_| {});
    let kill = format!("CLIENT KILL ID {}", server.clients[2].number);
    let first = requests(&["SET a 1", "BLPOP list 0"]);
    let sent = [
        [first.clone(), requests(&["GET a", "GET a"])].concat(),
        requests(&["INCR a", &kill, "INCR a"]),
        requests(&["INCR a", "INCR a"]),
        requests(&["RPUSH list x", "GET a"]),
    ];
    let consumed = server.offer(&sent);
    assert_eq!(consumed[0], first.len());
    assert_eq!(consumed[1], sent[1].len());
    assert_eq!(consumed[3], sent[3].len());
    assert_eq!(server.replies(1), ":2\r\n:1\r\n:3\r\n");
    assert_eq!(server.replies(3), ":1\r\n$1\r\n3\r\n", "who was killed changed nothing");
    assert_eq!(server.replies(0), "+OK\r\n*2\r\n$4\r\nlist\r\n$1\r\nx\r\n");
    let rest = [sent[0][consumed[0]..].to_vec()];
    assert_eq!(server.offer(&rest), [rest[0].len()]);
    assert_eq!(server.replies(0), "$1\r\n3\r\n$1\r\n3\r\n");
}

/// Random requests of several clients, in pieces cut anywhere, against the same ones given whole, one at a time.
#[test]
fn pieces_of_many_clients_are_as_good_as_whole_requests() {
    const CLIENTS: usize = 5;
    let mut rng = Rng::new(5);
    for round in 0..60 {
        let mut server = Server::new(CLIENTS, |_| {});
        let mut alone = Server::new(CLIENTS, |_| {});
        // Each client has keys of its own, so that only the order of its own requests counts.
        let streams: Vec<Vec<Vec<u8>>> = (0..CLIENTS)
            .map(|client| {
                (0..40)
                    .map(|_| {
                        let key = format!("{client}:{}", rng.below(3));
                        let line = match rng.below(12) {
                            0 => "MULTI".into(),
                            1 => "EXEC".into(),
                            2 => format!("SELECT {}", rng.below(2)),
                            3 => "GET".into(),
                            4 => format!("LPUSH {key} x"),
                            5 => format!("NONSENSE {key}"),
                            6 => "ECHO hello".into(),
                            7..=9 => format!("APPEND {key} {}", "y".repeat(rng.below(40) as usize)),
                            _ => format!("GET {key}"),
                        };
                        requests(&[&line])
                    })
                    .collect()
            })
            .collect();
        for (client, stream) in streams.iter().enumerate() {
            for request in stream {
                let taken = alone.node.input(alone.clients[client], request);
                assert_eq!(taken, request.len());
            }
        }
        let mut left: Vec<Vec<u8>> = streams.iter().map(|stream| stream.concat()).collect();
        let mut sent = vec![Vec::new(); CLIENTS];
        while left.iter().any(|bytes| !bytes.is_empty()) {
            for (sent, left) in sent.iter_mut().zip(&mut left) {
                let most = 1 << rng.below(11);
                sent.extend(left.drain(..left.len().min(rng.below(most) as usize + 1)));
            }
            let consumed = server.offer(&sent);
            for (sent, consumed) in sent.iter_mut().zip(consumed) {
                sent.drain(..consumed);
            }
        }
        assert!(sent.iter().all(Vec::is_empty), "round {round}: {sent:?}");
        for client in 0..CLIENTS {
            assert_eq!(
                server.replies(client),
                alone.replies(client),
                "round {round}, client {client}"
            );
        }
    }
}
