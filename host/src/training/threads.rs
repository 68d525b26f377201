//! Workers as threads of this process, for tests: the same loop, the same socket, no process. A kill closes the socket.

use super::devices::DeviceName;
use super::fault::Fault;
use super::process::{Farewell, Launch, Worker};
use super::worker::{self, Station};
use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Starts threads; counts them.
#[derive(Default)]
pub(super) struct Threads {
    pub(super) started: Arc<AtomicU32>,
}

struct Thread(UnixStream);

impl Worker for Thread {
    fn kill(&self) {
        let _ = self.0.shutdown(Shutdown::Both);
    }

    fn farewell(&self) -> Farewell {
        Farewell {
            status: "its thread ended".to_owned(),
            last_words: String::new(),
        }
    }
}

impl Launch for Threads {
    fn launch(
        &self,
        device: &DeviceName,
        fault: Option<Fault>,
    ) -> io::Result<(UnixStream, Box<dyn Worker>)> {
        let (here, there) = UnixStream::pair()?;
        let station = Station {
            device: device.clone(),
            fault,
            own_process: false,
        };
        let far_end = there.try_clone()?;
        std::thread::spawn(move || {
            let _ = worker::serve(&there, station);
            let _ = there.shutdown(Shutdown::Both);
        });
        self.started.fetch_add(1, Ordering::Relaxed);
        Ok((here, Box::new(Thread(far_end))))
    }
}
