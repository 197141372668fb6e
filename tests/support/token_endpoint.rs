//! The token endpoint of an identity provider, for OAUTHBEARER: checks the client's secret, hands out unsigned tokens.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Serves HTTPS until it is dropped. The `openssl` program does TLS for it, one connection after the other.
pub(crate) struct TokenEndpoint {
    pub(crate) url: String,
    handed_out: Arc<AtomicUsize>,
    openssl: Child,
}

impl TokenEndpoint {
    /// One that knows one client; its tokens live for `life`. `certificate` holds its key too.
    pub(crate) fn start(client: &str, secret: &str, life: Duration, certificate: &Path) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut openssl = Command::new("openssl")
            .args(["s_server", "-quiet", "-accept", &address.to_string(), "-cert"])
            .arg(certificate)
            .arg("-key")
            .arg(certificate)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut answers = openssl.stdin.take().unwrap();
        let mut requests = BufReader::new(openssl.stdout.take().unwrap());
        let handed_out = Arc::new(AtomicUsize::new(0));
        let count = handed_out.clone();
        let expected = format!(
            "Basic {}",
            base64(format!("{client}:{secret}").as_bytes(), STANDARD, "=")
        );
        std::thread::spawn(move || {
            while let Some(is_token) = answer(&mut requests, &mut answers, &expected, life) {
                count.fetch_add(usize::from(is_token), Ordering::Relaxed);
            }
        });
        let begin = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(begin.elapsed() < Duration::from_secs(10), "openssl does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self {
            url: format!("https://{address}/token"),
            handed_out,
            openssl,
        }
    }

    pub(crate) fn handed_out(&self) -> usize {
        self.handed_out.load(Ordering::Relaxed)
    }
}

impl Drop for TokenEndpoint {
    fn drop(&mut self) {
        let _ = self.openssl.kill();
        let _ = self.openssl.wait();
    }
}

/// Answers one request; true if with a token, `None` when no more will come. What is no request is passed over.
fn answer(requests: &mut impl BufRead, answers: &mut impl Write, expected: &str, life: Duration) -> Option<bool> {
    let (mut length, mut is_request, mut is_known) = (0, false, false);
    loop {
        let mut line = String::new();
        if requests.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        if !is_request {
            is_request = line.starts_with("POST /token ");
        } else if line.is_empty() {
            break;
        } else if let Some((name, value)) = line.split_once(": ") {
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().ok()?,
                "authorization" => is_known = value == expected,
                _ => {}
            }
        }
    }
    let mut form = vec![0; length];
    requests.read_exact(&mut form).ok()?;
    let form = String::from_utf8(form).ok()?;
    let (status, body) = if is_known && form.contains("grant_type=client_credentials") {
        let scope = form
            .split_once("scope=")
            .map_or("", |(_, scope)| scope)
            .replace('+', " ");
        let token = token(&scope, life);
        (
            "200 OK",
            format!("{{\"access_token\":\"{token}\",\"token_type\":\"Bearer\"}}"),
        )
    } else {
        ("401 Unauthorized", "{\"error\":\"invalid_client\"}".to_owned())
    };
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}");
    write!(answers, "{head}\r\nConnection: close\r\n\r\n{body}").ok()?;
    answers.flush().ok()?;
    Some(status.starts_with("200"))
}

fn token(scope: &str, life: Duration) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = format!(
        "{{\"sub\":\"falsefront\",\"scope\":[\"{}\"],\"iat\":{now},\"exp\":{}}}",
        scope.replace(' ', "\",\""),
        now + life.as_secs()
    );
    let part = |text: &str| base64(text.as_bytes(), URL, "");
    format!("{}.{}.", part("{\"alg\":\"none\"}"), part(&claims))
}

fn base64(bytes: &[u8], alphabet: &[u8; 64], padding: &str) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = (0..3).fold(0_usize, |bits, at| {
            bits << 8 | usize::from(chunk.get(at).copied().unwrap_or(0))
        });
        for digit in 0..=chunk.len() {
            text.push(char::from(alphabet[bits >> (18 - 6 * digit) & 63]));
        }
        text.push_str(&padding.repeat(3 - chunk.len()));
    }
    text
}
