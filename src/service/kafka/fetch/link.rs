//! One connection to a broker: a request at a time, sent and answered without waiting.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

/// Bytes of the size that stands before an answer.
pub(super) const SIZE: usize = size_of::<i32>();
/// An answer may be larger than what was asked for by one batch.
const ANSWER_MAX: usize = 256 << 20;
/// A broker that says nothing for so long is gone; it was asked to wait for far less.
const SILENCE: Duration = Duration::from_secs(10);
/// One that takes no connection for so long is not there.
const CONNECT: Duration = Duration::from_secs(3);
/// Room is made for so much of an answer at a time, so that a size alone claims no memory.
const STEP: usize = 1 << 20;

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
    pub(super) broker: SocketAddr,
    pub(super) asked: Option<Asked>,
    stream: TcpStream,
    /// Requests so far.
    pub(super) requests: usize,
    is_connected: bool,
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
    /// Begins to connect; whether that succeeds shows later.
    ///
    /// # Errors
    /// If no socket is to be had.
    pub(super) fn open(broker: SocketAddr, registry: &Registry, token: Token) -> io::Result<Self> {
        let mut stream = TcpStream::connect(broker)?;
        stream.set_nodelay(true)?;
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self {
            broker,
            asked: None,
            requests: 0,
            is_connected: false,
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
        self.requests += 1;
        (self.out, self.sent) = (request, 0);
        // A broker that throttles has said when it will be heard of.
        self.heard = self.heard.max(Instant::now());
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
        let patience = if self.is_connected { SILENCE } else { CONNECT };
        if !is_complete && self.heard.elapsed() > patience {
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

    /// The broker has said that it answers nothing for so long.
    pub(super) fn is_throttled(&mut self, time: Duration) {
        self.heard = Instant::now() + time;
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
                Ok(count) => {
                    self.sent += count;
                    self.is_connected = true;
                }
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
        while self.read < wanted {
            if self.answer.len() == self.read {
                self.answer.resize(wanted.min(self.read + STEP), 0);
            }
            let end = wanted.min(self.answer.len());
            match self.stream.read(&mut self.answer[self.read..end]) {
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
