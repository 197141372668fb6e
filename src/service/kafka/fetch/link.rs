//! One connection to a broker: a request at a time, sent and answered without waiting.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

/// Bytes of the size that stands before an answer.
pub(super) const SIZE: usize = size_of::<i32>();
/// An answer may be larger than what was asked for by one batch.
const ANSWER_MAX: usize = 256 << 20;
/// A broker that says nothing for so long is gone; it was asked to wait for far less.
const SILENCE: Duration = Duration::from_secs(10);

/// A request that is not answered yet.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) correlation: i32,
    /// Numbers of the fetches it asks for.
    pub(super) fetches: Vec<u64>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Link {
    /// `host:port`.
    pub(super) broker: String,
    pub(super) asked: Option<Asked>,
    stream: TcpStream,
    /// What is left to send.
    out: Vec<u8>,
    sent: usize,
    /// An answer as far as it came; what is behind that is room.
    answer: Vec<u8>,
    read: usize,
    /// When it was last heard of.
    heard: Instant,
}

impl Link {
    /// Begins to connect; whether that succeeds shows later. Looking a name up waits.
    ///
    /// # Errors
    /// If the name is unknown or no socket is to be had.
    pub(super) fn open(broker: &str, registry: &Registry, token: Token) -> io::Result<Self> {
        let unknown = || io::Error::new(ErrorKind::NotFound, "its name has no address");
        let addresses: Vec<SocketAddr> = broker.to_socket_addrs()?.collect();
        // Brokers rarely listen where only the second address leads.
        let v4 = addresses.iter().find(|address| address.is_ipv4());
        let address = v4.or(addresses.first()).ok_or_else(unknown)?;
        let mut stream = TcpStream::connect(*address)?;
        stream.set_nodelay(true)?;
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self {
            broker: broker.to_owned(),
            asked: None,
            stream,
            out: Vec::new(),
            sent: 0,
            answer: Vec::new(),
            read: 0,
            heard: Instant::now(),
        })
    }

    /// Sends a request, or as much of it as the broker takes now.
    ///
    /// # Errors
    /// If the connection is lost.
    pub(super) fn ask(&mut self, asked: Asked, request: Vec<u8>) -> io::Result<()> {
        self.asked = Some(asked);
        (self.out, self.sent, self.heard) = (request, 0, Instant::now());
        self.send().map(drop)
    }

    /// Sends and reads what can be without waiting. True once an answer is there.
    ///
    /// # Errors
    /// If the connection is lost, what comes is no answer, or nothing has come for too long.
    pub(super) fn go_on(&mut self) -> io::Result<bool> {
        if self.asked.is_none() {
            return Ok(false);
        }
        let is_complete = self.send()? && self.receive()?;
        if !is_complete && self.heard.elapsed() > SILENCE {
            return Err(io::Error::new(ErrorKind::TimedOut, "it does not answer"));
        }
        Ok(is_complete)
    }

    fn receive(&mut self) -> io::Result<bool> {
        if !self.fill(SIZE)? {
            return Ok(false);
        }
        let size = self.answer.first_chunk().copied().map_or(0, i32::from_be_bytes);
        let size = usize::try_from(size).ok().filter(|size| *size <= ANSWER_MAX);
        let size = size.ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "the size of an answer is impossible"))?;
        self.fill(SIZE + size)
    }

    /// Takes the answer, with its size before it, and how long it is; `room` is for the next.
    pub(super) fn take(&mut self, room: Vec<u8>) -> (Vec<u8>, usize) {
        let length = std::mem::take(&mut self.read);
        (std::mem::replace(&mut self.answer, room), length)
    }

    fn send(&mut self) -> io::Result<bool> {
        while self.sent < self.out.len() {
            match self.stream.write(&self.out[self.sent..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Not connected yet.
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => {
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Whether so many bytes of the answer are there.
    fn fill(&mut self, wanted: usize) -> io::Result<bool> {
        if self.answer.len() < wanted {
            self.answer.resize(wanted, 0);
        }
        while self.read < wanted {
            match self.stream.read(&mut self.answer[self.read..wanted]) {
                Ok(0) => return Err(io::Error::new(ErrorKind::UnexpectedEof, "it closed the connection")),
                Ok(count) => {
                    self.read += count;
                    self.heard = Instant::now();
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}
