//! A device that breaks as planned, round any other one, so that what a broken device does to a run can be tested without one.

use super::gpu::{Gpu, Launch, Memory};
use super::layout::Job;
use crate::error::TrainError;
use std::sync::atomic::{AtomicU64, Ordering};

/// How a device breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Break {
    /// An error that sticks, as CUDA's do: every later call fails too.
    Fault,
    /// The allocation fails; others do not.
    OutOfMemory,
    /// The call never returns.
    Hang,
    /// The process ends with code 86.
    Exit,
}

/// When a device breaks: at the n-th allocation for [`Break::OutOfMemory`], else at the n-th launch, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) what: Break,
    pub(crate) at: u64,
}

impl Plan {
    /// Reads `fault@12`, `oom@3`, `hang@40` or `exit@7`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (what, at) = text.split_once('@')?;
        let what = match what {
            "fault" => Break::Fault,
            "oom" => Break::OutOfMemory,
            "hang" => Break::Hang,
            "exit" => Break::Exit,
            _ => return None,
        };
        at.parse().ok().map(|at| Self { what, at })
    }
}

/// A device that breaks.
pub(crate) struct Inject {
    inner: Box<dyn Gpu>,
    plan: Plan,
    launches: AtomicU64,
    allocations: AtomicU64,
}

impl Inject {
    pub(crate) fn new(inner: Box<dyn Gpu>, plan: Plan) -> Self {
        Self {
            inner,
            plan,
            launches: AtomicU64::new(0),
            allocations: AtomicU64::new(0),
        }
    }

    /// The error of a device that broke before now.
    fn broken(&self) -> Result<(), TrainError> {
        let is_broken =
            self.plan.what == Break::Fault && self.launches.load(Ordering::Relaxed) >= self.plan.at;
        if is_broken {
            return Err(TrainError::DeviceFault("an injected fault".to_owned()));
        }
        Ok(())
    }
}

impl Gpu for Inject {
    fn processors(&self) -> u32 {
        self.inner.processors()
    }

    fn free_bytes(&self) -> Result<u64, TrainError> {
        self.broken()?;
        self.inner.free_bytes()
    }

    fn alloc(&self, bytes: usize) -> Result<Memory, TrainError> {
        self.broken()?;
        let number = self.allocations.fetch_add(1, Ordering::Relaxed) + 1;
        if self.plan.what == Break::OutOfMemory && number == self.plan.at {
            return Err(TrainError::OutOfMemory {
                needed: bytes as u64,
                available: 0,
            });
        }
        self.inner.alloc(bytes)
    }

    fn upload(&self, to: &Memory, at: usize, from: &[u8]) -> Result<(), TrainError> {
        self.broken()?;
        self.inner.upload(to, at, from)
    }

    fn download(&self, from: &Memory, at: usize, to: &mut [u8]) -> Result<(), TrainError> {
        self.broken()?;
        self.inner.download(from, at, to)
    }

    fn launch(&self, launch: Launch, job: &Job) -> Result<(), TrainError> {
        self.broken()?;
        let number = self.launches.fetch_add(1, Ordering::Relaxed) + 1;
        if number >= self.plan.at {
            match self.plan.what {
                Break::Hang => loop {
                    std::thread::park();
                },
                Break::Exit => std::process::exit(86),
                // A launch reports nothing: the next wait does.
                Break::Fault => return Ok(()),
                Break::OutOfMemory => {}
            }
        }
        self.inner.launch(launch, job)
    }

    fn synchronise(&self) -> Result<(), TrainError> {
        self.broken()?;
        self.inner.synchronise()
    }
}
