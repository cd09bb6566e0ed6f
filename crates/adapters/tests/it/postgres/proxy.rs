//! A server that sends something else than it meant to: a socket in front of it that damages or cuts what comes back.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use lifeboat_adapters::endpoint::Endpoint;
use lifeboat_testkit::postgres::Postgres;

/// What happens to the bytes that the server sends in each session.
#[derive(Clone, Copy)]
pub(super) enum Harm {
    /// The byte at this place is another one.
    Flip(usize),
    /// The session ends here.
    Cut(usize),
}

/// Calls `work` with a way to the server that does harm.
pub(super) fn through<T>(server: &Postgres, harm: Harm, work: impl FnOnce(&Endpoint) -> T) -> T {
    let folder = tempfile::tempdir_in("/tmp").unwrap();
    let listener = UnixListener::bind(folder.path().join(".s.PGSQL.5432")).unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("postgresql://lifeboat@localhost/postgres?host={}", folder.path().display());
    let real = server.folder().join(".s.PGSQL.5432");
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                let Ok((client, _)) = listener.accept() else {
                    thread::sleep(Duration::from_millis(5));
                    continue;
                };
                client.set_nonblocking(false).unwrap();
                let server = UnixStream::connect(&real).unwrap();
                let (to_server, to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                scope.spawn(move || pass_on(client, to_server, None));
                scope.spawn(move || pass_on(server, to_client, Some(harm)));
            }
        });
        let done = work(&url.parse().unwrap());
        is_over.store(true, Ordering::Relaxed);
        done
    })
}

/// Until one of them hangs up, which then both do.
fn pass_on(mut from: UnixStream, mut to: UnixStream, harm: Option<Harm>) {
    let (mut buffer, mut passed) = (vec![0; 64 << 10], 0);
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        let mut bytes = &mut buffer[..read];
        match harm {
            Some(Harm::Flip(at)) if (passed..passed + read).contains(&at) => bytes[at - passed] ^= 1,
            Some(Harm::Cut(at)) if passed + read > at => bytes = &mut bytes[..at - passed],
            _ => {}
        }
        if to.write_all(bytes).is_err() || bytes.len() < read {
            break;
        }
        passed += read;
    }
    for socket in [from, to] {
        // The other thread may have done it.
        socket.shutdown(Shutdown::Both).unwrap_or_default();
    }
}
