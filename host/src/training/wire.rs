//! What a host and its training process say to each other, and how it crosses the socket between them: frames of a length and
//! a message in postcard. A matrix crosses as a file descriptor beside the frame that names it, never as bytes. It refuses frames
//! over the limit before anything is allocated for them.

use airlock_trainer::{Config, Event, RunOutcome, TrainError};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// The longest message, bytes: a checkpoint or a model is the longest thing that crosses.
pub const MESSAGE_BYTES_MAX: u32 = 1 << 30;
/// Bytes that are made room for before they have come.
const READ_AHEAD: u64 = 1 << 20;

/// Names a run between a host and its workers; never used twice in one host.
pub(super) type RunId = u64;
/// From the host.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ToWorker {
    /// The descriptor beside this frame is a sealed matrix of the next `Start`: the training one first, then the validation one.
    Matrix,
    /// Runs over the matrices that came before; `parallel` of them share the threads at a time.
    Start {
        jobs: Vec<Job>,
        threads: u32,
        parallel: u32,
        /// Private memory, bytes, that the runs may hold together.
        memory: u64,
    },
    /// Ends after its current tree.
    Cancel { run: RunId },
}

/// One run of a `Start`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Job {
    pub(super) run: RunId,
    pub(super) config: Config,
}

/// From a worker.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum FromWorker {
    /// It is alive; said at least every `BEAT`.
    Beat,
    /// A run said something.
    Event { run: RunId, event: Event },
    /// A run is over.
    Ended {
        run: RunId,
        end: Result<End, TrainError>,
    },
}

/// A run that ended well.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct End {
    pub(super) outcome: RunOutcome,
    /// In the trainer's own format.
    pub(super) model: Vec<u8>,
}

/// Writes one frame, with a descriptor beside it where there is one.
pub(super) fn send(
    mut socket: &UnixStream,
    message: &impl Serialize,
    file: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let body = postcard::to_stdvec(message).map_err(io::Error::other)?;
    let length = u32::try_from(body.len())
        .ok()
        .filter(|length| *length <= MESSAGE_BYTES_MAX)
        .ok_or_else(|| too_long(body.len() as u64))?;
    let head = length.to_le_bytes();
    match file {
        None => socket.write_all(&head)?,
        Some(file) => send_head_with(socket, &head, file)?,
    }
    socket.write_all(&body)
}

fn send_head_with(mut socket: &UnixStream, head: &[u8], file: BorrowedFd<'_>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    let files = [file];
    if !beside.push(SendAncillaryMessage::ScmRights(&files)) {
        return Err(io::Error::other("no space for a descriptor"));
    }
    let sent = loop {
        match sendmsg(
            socket,
            &[IoSlice::new(head)],
            &mut beside,
            SendFlags::NOSIGNAL,
        ) {
            Err(rustix::io::Errno::INTR) => {}
            sent => break sent?,
        }
    };
    // The descriptor went with the first byte; the rest, if any, goes alone.
    socket.write_all(head.get(sent..).unwrap_or_default())
}

/// Reads one frame; none at the end of the stream, between two frames.
pub(super) fn receive<T: DeserializeOwned>(
    socket: &UnixStream,
) -> io::Result<Option<(T, Option<OwnedFd>)>> {
    let Some((length, file)) = receive_head(socket)? else {
        return Ok(None);
    };
    if length > MESSAGE_BYTES_MAX {
        return Err(too_long(u64::from(length)));
    }
    let mut body = Vec::with_capacity(u64::from(length).min(READ_AHEAD) as usize);
    let read = socket.take(u64::from(length)).read_to_end(&mut body)?;
    if read < length as usize {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let message = postcard::from_bytes(&body).map_err(io::Error::other)?;
    Ok(Some((message, file)))
}

/// The four bytes of a length, and the descriptor that came with the first.
fn receive_head(mut socket: &UnixStream) -> io::Result<Option<(u32, Option<OwnedFd>)>> {
    let mut head = [0; 4];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let read = loop {
        let mut into = [IoSliceMut::new(&mut head)];
        match recvmsg(
            socket.as_fd(),
            &mut into,
            &mut beside,
            RecvFlags::CMSG_CLOEXEC,
        ) {
            Err(rustix::io::Errno::INTR) => {}
            received => break received?.bytes,
        }
    };
    if read == 0 {
        return Ok(None);
    }
    let file = beside.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut files) => files.next(),
        _ => None,
    });
    socket.read_exact(head.get_mut(read..).unwrap_or_default())?;
    Ok(Some((u32::from_le_bytes(head), file)))
}

fn too_long(length: u64) -> io::Error {
    io::Error::other(format!(
        "a message of {length} bytes is over the limit of {MESSAGE_BYTES_MAX}; train fewer or smaller trees"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Seek;

    #[test]
    fn frames_and_a_descriptor_cross_in_their_order() {
        let (here, there) = UnixStream::pair().unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"rows").unwrap();
        file.rewind().unwrap();
        send(&here, &ToWorker::Cancel { run: 1 }, None).unwrap();
        send(&here, &ToWorker::Matrix, Some(file.as_fd())).unwrap();
        send(&here, &ToWorker::Cancel { run: 3 }, None).unwrap();
        drop(here);
        let first = receive::<ToWorker>(&there).unwrap().unwrap();
        assert!(matches!(first, (ToWorker::Cancel { run: 1 }, None)));
        let (second, received) = receive::<ToWorker>(&there).unwrap().unwrap();
        assert!(matches!(second, ToWorker::Matrix));
        let mut text = String::new();
        let mut received = File::from(received.unwrap());
        received.read_to_string(&mut text).unwrap();
        assert_eq!(text, "rows");
        let third = receive::<ToWorker>(&there).unwrap().unwrap();
        assert!(matches!(third, (ToWorker::Cancel { run: 3 }, None)));
        assert!(receive::<ToWorker>(&there).unwrap().is_none());
    }

    #[test]
    fn a_length_over_the_limit_and_a_cut_frame_are_errors() {
        let (mut here, there) = UnixStream::pair().unwrap();
        here.write_all(&u32::MAX.to_le_bytes()).unwrap();
        let refused = receive::<FromWorker>(&there).unwrap_err();
        assert!(refused.to_string().contains("over the limit"), "{refused}");

        let (mut here, there) = UnixStream::pair().unwrap();
        here.write_all(&9_u32.to_le_bytes()).unwrap();
        here.write_all(b"half").unwrap();
        drop(here);
        let refused = receive::<FromWorker>(&there).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::UnexpectedEof);
    }
}
