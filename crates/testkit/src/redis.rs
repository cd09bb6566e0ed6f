//! Real Redis servers and clusters, started for one test and gone with it.
//!
//! `redis-server` must be in the path; where it is not, the test fails. Each server listens on a free port and on a
//! socket in a folder of its own, holds everything in memory, and dies with the thread that started it, also after
//! `kill -9`.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::servant::free_port;

const PATIENCE: Duration = Duration::from_secs(60);

/// A running server.
pub struct Redis {
    server: Mutex<Child>,
    folder: tempfile::TempDir,
    port: u16,
    password: Option<String>,
    options: Vec<String>,
}

impl Redis {
    /// Starts a server with more options, such as `["--requirepass", "secret"]`.
    #[must_use]
    pub fn start(options: &[&str]) -> Self {
        loop {
            // Somebody else may take the port before the server does; then it ends, and another one is tried.
            if let Some(redis) = Self::try_start(options) {
                return redis;
            }
        }
    }

    fn try_start(options: &[&str]) -> Option<Self> {
        // Not in TMPDIR: the name of a socket may have 107 bytes.
        let folder = tempfile::Builder::new().prefix("lifeboat-redis-").tempdir_in("/tmp");
        let folder = folder.expect("/tmp takes folders");
        let port = free_port();
        let options: Vec<_> = options.iter().map(|&option| option.to_owned()).collect();
        let password =
            options.windows(2).find(|pair| pair.first().is_some_and(|name| name == "--requirepass"));
        let password = password.and_then(|pair| pair.get(1)).cloned();
        let server = serve(folder.path(), port, &options)?;
        Some(Self { server: Mutex::new(server), folder, port, password, options })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// With the password.
    pub fn url(&self) -> String {
        let password = self.password.as_ref().map(|password| format!(":{password}@")).unwrap_or_default();
        format!("redis://{password}127.0.0.1:{}", self.port)
    }

    /// A connection that has logged in.
    #[must_use]
    pub fn client(&self) -> Client {
        let mut client = Client::connect(self.port).expect("the server takes connections");
        if let Some(password) = &self.password {
            client.run(&["AUTH", password]);
        }
        client
    }

    /// What `redis-cli` prints when it is run against this server.
    pub fn cli(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("redis-cli");
        command.args(["-p", &self.port.to_string()]).args(arguments);
        if let Some(password) = &self.password {
            command.env("REDISCLI_AUTH", password);
        }
        let output = command.output().expect("redis-cli can be run (install the package redis-tools)");
        assert!(
            output.status.success(),
            "redis-cli {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The process of the server.
    pub fn pid(&self) -> Pid {
        i32::try_from(self.child().id()).ok().and_then(Pid::from_raw).expect("an id is positive")
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("it is our child");
    }

    /// Kills the server at once and waits until it is gone.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
        self.child().wait().expect("it is our child");
    }

    /// Starts it again, with what it finds in its folder, after [`Redis::kill`].
    pub fn restart(&self) {
        let began = Instant::now();
        let server = loop {
            // What has died may hold its port for a moment.
            if let Some(server) = serve(self.folder.path(), self.port, &self.options) {
                break server;
            }
            assert!(began.elapsed() < PATIENCE, "the port of the server does not come free");
            std::thread::sleep(Duration::from_millis(10));
        };
        *self.child() = server;
    }

    /// Waits until `INFO` says something.
    pub fn wait_for_info(&self, line: &str) {
        let (began, mut client) = (Instant::now(), self.client());
        while !client.text(&["INFO"]).lines().any(|found| found == line) {
            assert!(began.elapsed() < PATIENCE, "INFO never says {line}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// A server that takes connections; `None` where somebody else has the port.
fn serve(folder: &Path, port: u16, options: &[String]) -> Option<Child> {
    let log = fs::File::create(folder.join("log")).expect("the folder can be written to");
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", "redis-server", "--bind", "127.0.0.1", "--port"]);
    command.arg(port.to_string()).arg("--dir").arg(folder);
    command.arg("--unixsocket").arg(folder.join("socket"));
    command.args(["--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0"]);
    let spawned = command.args(options).stdin(Stdio::null()).stdout(log).stderr(Stdio::null()).spawn();
    let mut server = spawned.expect("setpriv of util-linux can be run");
    let began = Instant::now();
    let says = |text: &str| fs::read_to_string(folder.join("log")).is_ok_and(|log| log.contains(text));
    while !says("Ready to accept connections") {
        if let Some(status) = server.try_wait().expect("it is our child") {
            assert!(
                says("in use"),
                "redis-server does not start ({status}; install the package redis-server): {}",
                fs::read_to_string(folder.join("log")).unwrap_or_default()
            );
            return None;
        }
        assert!(began.elapsed() < PATIENCE, "redis-server does not get ready");
        std::thread::sleep(Duration::from_millis(5));
    }
    Some(server)
}

impl Drop for Redis {
    fn drop(&mut self) {
        let mut server = self.child();
        // One that a test has killed is gone already.
        if server.kill().is_ok() {
            server.wait().expect("it is our child");
        }
    }
}

/// A cluster of masters that share the slots evenly.
pub struct RedisCluster {
    pub nodes: Vec<Redis>,
}

impl RedisCluster {
    #[must_use]
    pub fn start(masters: u16, options: &[&str]) -> Self {
        let nodes: Vec<(Redis, u16)> = (0..masters).map(|_| Self::node(options)).collect();
        for (at, (node, _)) in (0..masters).zip(&nodes) {
            let slot = |at| u32::from(at) * 16_384 / u32::from(masters);
            let (first, last) = (slot(at), slot(at + 1) - 1);
            let mut client = node.client();
            client.run(&["CLUSTER", "SET-CONFIG-EPOCH", &(at + 1).to_string()]);
            client.run(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()]);
        }
        let mut first = nodes.first().expect("a cluster has a node").0.client();
        for (node, bus) in nodes.iter().skip(1) {
            first.run(&["CLUSTER", "MEET", "127.0.0.1", &node.port.to_string(), &bus.to_string()]);
        }
        let known = format!("cluster_known_nodes:{masters}");
        for (node, _) in &nodes {
            let (began, mut client) = (Instant::now(), node.client());
            let mut is_ready = || {
                let info = client.text(&["CLUSTER", "INFO"]);
                info.contains("cluster_state:ok") && info.contains(&known)
            };
            while !is_ready() {
                assert!(began.elapsed() < PATIENCE, "the cluster does not get ready");
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        Self { nodes: nodes.into_iter().map(|(node, _)| node).collect() }
    }

    fn node(options: &[&str]) -> (Redis, u16) {
        let bus = free_port();
        let bus_text = bus.to_string();
        let more =
            ["--cluster-enabled", "yes", "--cluster-port", &bus_text, "--cluster-node-timeout", "60000"];
        (Redis::start(&[&more[..], options].concat()), bus)
    }

    /// Moves a slot with its keys from one node to another.
    pub fn move_slot(&self, slot: u16, from: &Redis, to: &Redis) {
        let (mut giver, mut taker) = (from.client(), to.client());
        let (giver_id, taker_id) = (giver.text(&["CLUSTER", "MYID"]), taker.text(&["CLUSTER", "MYID"]));
        let (slot, port) = (slot.to_string(), to.port.to_string());
        taker.run(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &giver_id]);
        giver.run(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &taker_id]);
        for key in giver.run(&["CLUSTER", "GETKEYSINSLOT", &slot, "10000"]).list() {
            let key = key.bytes();
            giver.run(&[&b"MIGRATE"[..], b"127.0.0.1", port.as_bytes(), &key, b"0", b"5000"]);
        }
        for client in [&mut taker, &mut giver] {
            client.run(&["CLUSTER", "SETSLOT", &slot, "NODE", &taker_id]);
        }
    }

    /// A client that goes to the node that an answer sends it to.
    #[must_use]
    pub fn client(&self) -> ClusterClient {
        let clients = self.nodes.iter().map(|node| (node.port, node.client())).collect();
        ClusterClient { clients, owners: BTreeMap::new() }
    }
}

/// What a server answered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Answer {
    Text(String),
    Number(i64),
    Bytes(Vec<u8>),
    Nothing,
    List(Vec<Answer>),
    Error(String),
}

impl Answer {
    pub fn bytes(self) -> Vec<u8> {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Text(text) => text.into_bytes(),
            Self::Number(number) => number.to_string().into_bytes(),
            other => panic!("no bytes: {other:?}"),
        }
    }

    pub fn list(self) -> Vec<Answer> {
        match self {
            Self::List(list) => list,
            other => panic!("no list: {other:?}"),
        }
    }
}

/// A plain client; an error of the server fails the test, except where it is asked for.
pub struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    pub fn connect(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    pub fn run<P: AsRef<[u8]>>(&mut self, parts: &[P]) -> Answer {
        match self.ask(parts) {
            Ok(Answer::Error(error)) => {
                let first = parts.first().map(|part| String::from_utf8_lossy(part.as_ref()).into_owned());
                panic!("{}: {error}", first.unwrap_or_default())
            }
            Ok(answer) => answer,
            Err(error) => panic!("the server went away: {error}"),
        }
    }

    /// The same with errors of the server as answers.
    pub fn ask<P: AsRef<[u8]>>(&mut self, parts: &[P]) -> io::Result<Answer> {
        self.send(parts)?;
        self.answer()
    }

    pub fn text<P: AsRef<[u8]>>(&mut self, parts: &[P]) -> String {
        String::from_utf8_lossy(&self.run(parts).bytes()).into_owned()
    }

    /// Runs many commands with few round trips.
    pub fn run_all<P: AsRef<[u8]>>(&mut self, commands: &[Vec<P>]) {
        for some in commands.chunks(1000) {
            let mut bytes = Vec::new();
            some.iter().for_each(|command| encode(command, &mut bytes));
            self.stream.get_mut().write_all(&bytes).expect("the server reads");
            for _ in some {
                let answer = self.answer().expect("the server answers");
                assert!(!matches!(answer, Answer::Error(_)), "{answer:?}");
            }
        }
    }

    fn send<P: AsRef<[u8]>>(&mut self, parts: &[P]) -> io::Result<()> {
        let mut bytes = Vec::new();
        encode(parts, &mut bytes);
        self.stream.get_mut().write_all(&bytes)
    }

    fn answer(&mut self) -> io::Result<Answer> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let (kind, rest) = line.trim_end().split_at(1);
        let number = || rest.parse::<i64>().expect("a number");
        Ok(match kind {
            "+" => Answer::Text(rest.to_owned()),
            "-" => Answer::Error(rest.to_owned()),
            ":" => Answer::Number(number()),
            "$" | "*" if rest == "-1" => Answer::Nothing,
            "$" => {
                let mut bytes = vec![0; usize::try_from(number()).expect("a length") + 2];
                self.stream.read_exact(&mut bytes)?;
                bytes.truncate(bytes.len() - 2);
                Answer::Bytes(bytes)
            }
            "*" => Answer::List((0..number()).map(|_| self.answer()).collect::<io::Result<_>>()?),
            _ => panic!("a strange answer: {line}"),
        })
    }
}

fn encode<P: AsRef<[u8]>>(parts: &[P], bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(format!("*{}\r\n", parts.len()).as_bytes());
    for part in parts {
        bytes.extend_from_slice(format!("${}\r\n", part.as_ref().len()).as_bytes());
        bytes.extend_from_slice(part.as_ref());
        bytes.extend_from_slice(b"\r\n");
    }
}

/// A client of a cluster, for commands whose second part is the key.
pub struct ClusterClient {
    clients: Vec<(u16, Client)>,
    /// Which port a key was at.
    owners: BTreeMap<Vec<u8>, u16>,
}

impl ClusterClient {
    pub fn run<P: AsRef<[u8]>>(&mut self, parts: &[P]) -> Answer {
        let key = parts.get(1).expect("a command on a key").as_ref().to_vec();
        let owner = self.owners.get(&key).copied();
        match self.node(owner).ask(parts).expect("the node answers") {
            Answer::Error(error) if error.starts_with("MOVED ") => {
                let port = error.rsplit(':').next().and_then(|port| port.parse().ok());
                self.owners.insert(key, port.expect("a port"));
                self.node(port).run(parts)
            }
            Answer::Error(error) => panic!("{error}"),
            answer => answer,
        }
    }

    /// The one at a port, or any.
    fn node(&mut self, port: Option<u16>) -> &mut Client {
        let is_it = |node: &&mut (u16, Client)| port.is_none_or(|port| port == node.0);
        &mut self.clients.iter_mut().find(is_it).expect("a node of ours").1
    }
}

/// All that a server holds, by database and key: what it is and when it expires. Unordered values are sorted.
pub type Contents = BTreeMap<(u64, Vec<u8>), (Answer, i64)>;

pub fn contents(client: &mut Client) -> Contents {
    let mut contents = Contents::new();
    let space = client.text(&["INFO", "keyspace"]);
    let databases = space.lines().filter_map(|line| line.strip_prefix("db")?.split(':').next()?.parse().ok());
    for db in databases.collect::<Vec<u64>>() {
        // A cluster has one and knows no SELECT.
        if db > 0 {
            client.run(&["SELECT", &db.to_string()]);
        }
        for key in client.run(&["KEYS", "*"]).list().into_iter().map(Answer::bytes) {
            let expiry = client.run::<&[u8]>(&[b"PEXPIRETIME", &key]);
            // One that expires right now is gone.
            if let Some(value) = value(&key, client)
                && let Answer::Number(expiry) = expiry
                && expiry != -2
            {
                contents.insert((db, key), (value, expiry));
            }
        }
    }
    client.ask(&["SELECT", "0"]).expect("the server answers");
    contents
}

fn value(key: &[u8], client: &mut Client) -> Option<Answer> {
    let kind = client.text::<&[u8]>(&[b"TYPE", key]);
    let value = match kind.as_str() {
        "none" => return None,
        "string" => client.run::<&[u8]>(&[b"GET", key]),
        "list" => client.run::<&[u8]>(&[b"LRANGE", key, b"0", b"-1"]),
        "set" => sorted(client.run::<&[u8]>(&[b"SMEMBERS", key]).list(), 1),
        "hash" => sorted(client.run::<&[u8]>(&[b"HGETALL", key]).list(), 2),
        "zset" => client.run::<&[u8]>(&[b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"]),
        "stream" => {
            let info = client.run::<&[u8]>(&[b"XINFO", b"STREAM", key, b"FULL", b"COUNT", b"0"]);
            Answer::List(vec![without_memory(info), client.run::<&[u8]>(&[b"XRANGE", key, b"-", b"+"])])
        }
        other => panic!("a value of the type {other}"),
    };
    Some(Answer::List(vec![Answer::Text(kind), value]))
}

fn sorted(list: Vec<Answer>, together: usize) -> Answer {
    let mut groups: Vec<Answer> = list.chunks(together).map(|group| Answer::List(group.to_vec())).collect();
    groups.sort();
    Answer::List(groups)
}

/// What is told of a stream, but for how it lies in memory, which its values do not decide.
fn without_memory(info: Answer) -> Answer {
    let fields = info.list();
    let is_kept = |pair: &&[Answer]| {
        let name = pair.first().cloned().map(Answer::bytes).unwrap_or_default();
        !name.starts_with(b"radix-tree")
    };
    Answer::List(fields.chunks(2).filter(is_kept).flatten().cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_starts_answers_and_is_gone_with_its_folder() {
        let redis = Redis::start(&["--requirepass", "secret"]);
        let (mut client, folder) = (redis.client(), redis.folder().to_owned());
        client.run(&["SET", "a", "1"]);
        client.run(&["HSET", "h", "z", "1", "a", "2"]);
        assert_eq!(redis.cli(&["GET", "a"]).trim(), "1");
        let contents = contents(&mut client);
        assert_eq!(contents.len(), 2);
        drop(redis);
        assert!(!folder.exists());
        client.ask(&["PING"]).unwrap_err();
    }

    #[test]
    fn a_cluster_serves_all_slots() {
        let cluster = RedisCluster::start(3, &[]);
        let mut client = cluster.client();
        for key in 0..30 {
            client.run(&["SET", &format!("key:{key}"), "value"]);
        }
        let sizes = cluster.nodes.iter().map(|node| node.client().run(&["DBSIZE"]));
        let sizes: Vec<Answer> = sizes.collect();
        assert!(!sizes.contains(&Answer::Number(0)) && !sizes.contains(&Answer::Number(30)), "{sizes:?}");
    }
}
