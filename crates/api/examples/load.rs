//! The load generator of `bench/jobs`: keeps some connections busy with signed requests, class after class.
//!
//! Reads lines from standard input, `access key id<TAB>secret<TAB>query`, where a query is `name=value&…`, and asks them in
//! turn; prints how many requests were answered, how many of them a second, and how long that took.

use std::error::Error;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha1::Sha1;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

type Failed = Box<dyn Error + Send + Sync>;

const STRICT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
const USAGE: &str = "load ADDRESS CONNECTIONS SECONDS <queries";

/// What is asked, and by whose key.
struct Query {
    key: String,
    secret: String,
    text: String,
}

struct Load {
    address: String,
    queries: Vec<Query>,
    connections: usize,
    time: Duration,
    requests: AtomicU64,
}

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, connections, seconds] = arguments.as_slice() else { return Err(USAGE.into()) };
    let mut lines = String::new();
    std::io::stdin().read_to_string(&mut lines)?;
    let query = |line: &str| {
        let mut parts = line.split('\t').map(str::to_owned);
        Some(Query { key: parts.next()?, secret: parts.next()?, text: parts.next()? })
    };
    let load = Load {
        address: address.clone(),
        queries: lines.lines().filter_map(query).collect(),
        connections: connections.parse()?,
        time: Duration::from_secs(seconds.parse()?),
        requests: AtomicU64::new(0),
    };
    let report = measure(&Arc::new(load)).await?;
    writeln!(std::io::stdout(), "{report}")?;
    Ok(())
}

/// How many requests, how many a second, and the median and the 99th percentile of their milliseconds.
async fn measure(load: &Arc<Load>) -> Result<String, Failed> {
    let began = Instant::now();
    let workers: Vec<_> =
        (0..load.connections).map(|_| tokio::spawn(work(Arc::clone(load), began + load.time))).collect();
    let mut times = Vec::new();
    for worker in workers {
        times.extend(worker.await??);
    }
    let seconds = began.elapsed().as_secs_f64();
    times.sort_unstable();
    let part = |percent: usize| {
        let time = times.get(times.len() * percent / 100).copied().unwrap_or_default();
        time.as_secs_f64() * 1000.0
    };
    let count = f64::from(u32::try_from(times.len())?);
    Ok(format!("{count}\t{:.1}\t{:.3}\t{:.3}", count / seconds, part(50), part(99)))
}

async fn work(load: Arc<Load>, until: Instant) -> Result<Vec<Duration>, Failed> {
    let mut stream = BufReader::new(TcpStream::connect(&load.address).await?);
    stream.get_ref().set_nodelay(true)?;
    let mut times = Vec::new();
    while Instant::now() < until {
        let number = load.requests.fetch_add(1, Ordering::Relaxed);
        let at = usize::try_from(number)?;
        let query = load.queries.get(at % load.queries.len().max(1)).ok_or("there is no query")?;
        let request = query.request(&load.address, number);
        let began = Instant::now();
        stream.write_all(request.as_bytes()).await?;
        answer(&mut stream).await?;
        times.push(began.elapsed());
    }
    Ok(times)
}

/// Reads one answer, which must be a success.
async fn answer(stream: &mut BufReader<TcpStream>) -> Result<(), Failed> {
    let (mut line, mut length, mut status) = (String::new(), 0, String::new());
    while line != "\r\n" {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Err("the server has closed the connection".into());
        }
        if status.is_empty() {
            status.clone_from(&line);
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    if status.contains(" 200 ") {
        return Ok(());
    }
    Err(format!("{status}{}", String::from_utf8_lossy(&body)).into())
}

impl Query {
    /// A request of signature version 1, all of it in the query.
    fn request(&self, host: &str, number: u64) -> String {
        let now = now();
        let nonce = format!("{:x}-{number:x}", std::process::id());
        let mut pairs: Vec<(&str, &str)> =
            self.text.split('&').filter_map(|pair| pair.split_once('=')).collect();
        pairs.extend([
            ("Version", "2017-09-08"),
            ("Format", "JSON"),
            ("AccessKeyId", self.key.as_str()),
            ("SignatureMethod", "HMAC-SHA1"),
            ("SignatureVersion", "1.0"),
            ("SignatureNonce", &nonce),
            ("Timestamp", &now),
        ]);
        pairs.sort_unstable();
        let pairs: Vec<_> =
            pairs.iter().map(|(name, value)| format!("{}={}", strict(name), strict(value))).collect();
        let canonical = pairs.join("&");
        let key = format!("{}&", self.secret);
        let mac = Hmac::<Sha1>::new_from_slice(key.as_bytes()).expect("HMAC takes keys of any length");
        let mac = mac.chain_update(format!("GET&%2F&{}", strict(&canonical)));
        let signature = STANDARD.encode(mac.finalize().into_bytes());
        format!("GET /?{canonical}&Signature={} HTTP/1.1\r\nhost: {host}\r\n\r\n", strict(&signature))
    }
}

#[expect(clippy::disallowed_methods, reason = "a client signs by the clock of its machine")]
fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn strict(text: &str) -> String {
    utf8_percent_encode(text, STRICT).to_string()
}
