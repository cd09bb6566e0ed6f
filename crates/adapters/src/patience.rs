//! Reading and writing where the other side may never answer: a cancel is taken at once, and silence has an end.
//!
//! The stream is made non-blocking; who waits for it looks at the cancel handle several times a second.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use lifeboat_repository::{Cancel, ErrorKind};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// How long a wait goes on before the cancel handle is looked at again.
const LOOK_EVERY: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

/// A socket or a pipe.
pub struct Patient<S> {
    stream: S,
    cancel: Cancel,
    silence: Option<Duration>,
}

impl<S: AsFd> Patient<S> {
    /// `silence` is how long the other side may say or take nothing; without one it may do so for ever.
    pub fn new(stream: S, silence: Option<Duration>, cancel: Cancel) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&stream, true)?;
        Ok(Self { stream, cancel, silence })
    }

    pub fn set_silence(&mut self, silence: Option<Duration>) {
        self.silence = silence;
    }

    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    pub fn into_inner(self) -> S {
        self.stream
    }

    /// Waits until there is something to read, or the other side has hung up.
    pub fn wait_readable(&self) -> io::Result<()> {
        self.wait(PollFlags::IN)
    }

    fn wait(&self, flags: PollFlags) -> io::Result<()> {
        let began = Instant::now();
        loop {
            self.cancel.check().map_err(io::Error::other)?;
            let mut polled = [PollFd::new(&self.stream, flags)];
            match poll(&mut polled, Some(&LOOK_EVERY)) {
                Ok(0) => {}
                Ok(_) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            if self.silence.is_some_and(|silence| began.elapsed() >= silence) {
                let text = format!("nothing came for {} seconds", began.elapsed().as_secs());
                return Err(io::Error::new(io::ErrorKind::TimedOut, text));
            }
        }
    }

    /// Does `what` as soon as it can be done.
    fn when(
        &mut self,
        flags: PollFlags,
        mut what: impl FnMut(&mut S) -> io::Result<usize>,
    ) -> io::Result<usize> {
        self.cancel.check().map_err(io::Error::other)?;
        loop {
            match what(&mut self.stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait(flags)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }
}

impl<S: AsFd + Read> Read for Patient<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.when(PollFlags::IN, |stream| stream.read(buffer))
    }
}

impl<S: AsFd + Write> Write for Patient<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.when(PollFlags::OUT, |stream| stream.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.when(PollFlags::OUT, |stream| stream.flush().map(|()| 0)).map(drop)
    }
}

impl<S: AsFd> AsFd for Patient<S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// True for what a [`Patient`] says when its operation was cancelled.
pub fn is_cancelled(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<lifeboat_repository::Error>());
    inner.is_some_and(|inner| inner.kind == ErrorKind::Cancelled)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_cancel_ends_a_wait() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let cancel = Cancel::default();
        let mut patient = Patient::new(ours, None, cancel.clone()).unwrap();
        std::thread::scope(|scope| {
            let reading = scope.spawn(|| patient.read(&mut [0; 8]).unwrap_err());
            cancel.cancel();
            assert!(is_cancelled(&reading.join().unwrap()));
        });
    }

    #[test]
    fn silence_has_an_end() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut patient = Patient::new(ours, Some(Duration::from_millis(1)), Cancel::default()).unwrap();
        assert_eq!(patient.read(&mut [0; 8]).unwrap_err().kind(), io::ErrorKind::TimedOut);
        theirs.write_all(b"word").unwrap();
        let mut buffer = [0; 4];
        patient.read_exact(&mut buffer).unwrap();
        assert_eq!(&buffer, b"word");
        drop(theirs);
        assert_eq!(patient.read(&mut buffer).unwrap(), 0);
        assert_eq!(patient.write(b"x").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
