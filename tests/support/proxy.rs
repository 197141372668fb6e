//! A TCP proxy in front of a broker that keeps one EndTxn of a transaction back and delivers it into the next one.
//!
//! That is what a slow network does to a client which sends a request again over a new connection: the first copy
//! arrives late (KAFKA-17754).

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

/// Kafka's number of the Produce request.
const PRODUCE: i16 = 0;
/// Kafka's number of the EndTxn request.
pub(crate) const END_TXN: i16 = 26;

#[derive(Default)]
struct Script {
    upstream: Option<SocketAddr>,
    /// Requests of this transactional id are meant.
    transactional_id: Vec<u8>,
    hold: Option<i16>,
    held: Option<Vec<u8>>,
    /// The client has sent the held request again.
    is_repeated: bool,
    /// Connection and number of the Produce request whose answer releases the held one.
    awaited: Option<(usize, [u8; 4])>,
    /// The broker's answer to the held request.
    answer: Option<Vec<u8>>,
}

/// See the module.
#[derive(Clone)]
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    script: Arc<Mutex<Script>>,
}

impl Proxy {
    /// Listens, and passes everything on once it knows where to.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Self {
            address: listener.local_addr().unwrap(),
            script: Arc::default(),
        };
        let accepting = proxy.clone();
        std::thread::spawn(move || {
            for (number, client) in listener.incoming().enumerate() {
                let Ok(client) = client else { continue };
                let Some(Ok(server)) = accepting.script().upstream.map(TcpStream::connect) else {
                    continue;
                };
                accepting.connect(number, &client, &server);
            }
        });
        proxy
    }

    /// The broker behind it.
    pub(crate) fn forward_to(&self, broker: SocketAddr) {
        self.script().upstream = Some(broker);
    }

    /// Keeps the next request of that kind back, once; it is delivered into the next transaction, after its
    /// first acknowledged record.
    pub(crate) fn hold(&self, api: i16, transactional_id: &str) {
        let mut script = self.script();
        *script = Script {
            upstream: script.upstream,
            transactional_id: transactional_id.as_bytes().to_vec(),
            hold: Some(api),
            ..Script::default()
        };
    }

    /// The broker's answer to the held request, once it was delivered.
    pub(crate) fn answer(&self) -> Option<Vec<u8>> {
        self.script().answer.clone()
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }

    fn connect(&self, number: usize, client: &TcpStream, server: &TcpStream) {
        for is_request in [true, false] {
            let (from, to) = if is_request { (client, server) } else { (server, client) };
            let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
            let proxy = self.clone();
            std::thread::spawn(move || {
                while let Some(frame) = read_frame(&mut from) {
                    if is_request && !proxy.passes(number, &frame) {
                        break;
                    }
                    if to.write_all(&frame).is_err() {
                        break;
                    }
                    if !is_request {
                        proxy.answered(number, &frame);
                    }
                }
                let _ = from.shutdown(Shutdown::Both);
                let _ = to.shutdown(Shutdown::Both);
            });
        }
    }

    /// Looks at a request; false if it is kept and the connection must end.
    fn passes(&self, connection: usize, frame: &[u8]) -> bool {
        let mut script = self.script();
        let api = i16::from_be_bytes([frame[4], frame[5]]);
        let id = &script.transactional_id;
        let is_ours = !id.is_empty() && frame.windows(id.len()).any(|window| window == id);
        if !is_ours {
            return true;
        }
        if script.hold == Some(api) {
            script.hold = None;
            script.held = Some(frame.to_vec());
            return false;
        }
        let Some(held) = script.held.clone() else { return true };
        let held_api = i16::from_be_bytes([held[4], held[5]]);
        if !script.is_repeated {
            script.is_repeated = api == held_api;
        } else if api == PRODUCE && script.awaited.is_none() {
            script.awaited = Some((connection, [frame[8], frame[9], frame[10], frame[11]]));
        }
        true
    }

    fn answered(&self, connection: usize, frame: &[u8]) {
        let mut script = self.script();
        let number = [frame[4], frame[5], frame[6], frame[7]];
        if script.awaited == Some((connection, number))
            && script.answer.is_none()
            && let Some(held) = script.held.take()
        {
            drop(script);
            self.deliver(&held);
        }
    }

    fn deliver(&self, held: &[u8]) {
        let upstream = self.script().upstream.unwrap();
        let mut broker = TcpStream::connect(upstream).unwrap();
        broker.write_all(held).unwrap();
        let answer = read_frame(&mut broker);
        self.script().answer = answer;
    }
}

/// One request or answer with its length in front; `None` at the end of the connection.
fn read_frame(from: &mut TcpStream) -> Option<Vec<u8>> {
    let mut frame = vec![0; 4];
    from.read_exact(&mut frame).ok()?;
    let length = usize::try_from(i32::from_be_bytes([frame[0], frame[1], frame[2], frame[3]])).ok()?;
    frame.resize(4 + length, 0);
    from.read_exact(&mut frame[4..]).ok()?;
    Some(frame)
}
