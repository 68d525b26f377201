//! A small pool of named threads that block when idle. Jobs own what they work on and hand it back, so nothing is
//! borrowed across threads. Refuses to spin and to hide a lost worker.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use crate::error::TrainError;

type Task = Box<dyn FnOnce() + Send>;

/// The calling thread and `threads - 1` more.
pub(crate) struct Pool {
    threads: usize,
    /// Taken on drop, so that the workers see the end.
    tasks: Option<Sender<Task>>,
    queue: Arc<Mutex<Receiver<Task>>>,
    workers: Vec<JoinHandle<u64>>,
}

impl Pool {
    /// # Errors
    /// [`TrainError::WorkerLost`] where the system gives no thread.
    pub(crate) fn new(threads: usize) -> Result<Self, TrainError> {
        let (tasks, receiver) = channel::<Task>();
        let mut pool = Self {
            threads,
            tasks: Some(tasks),
            queue: Arc::new(Mutex::new(receiver)),
            workers: Vec::new(),
        };
        for n in 1..threads {
            let queue = Arc::clone(&pool.queue);
            let worker = std::thread::Builder::new()
                .name(format!("train-{n}"))
                .spawn(move || {
                    while let Some(task) = next_task(&queue) {
                        task();
                    }
                    cpu_ms()
                });
            pool.workers
                .push(worker.map_err(|e| TrainError::WorkerLost(format!("no thread: {e}")))?);
        }
        Ok(pool)
    }

    pub(crate) fn threads(&self) -> usize {
        self.threads
    }

    /// Runs every job and yields their results in order. The calling thread works too.
    ///
    /// # Errors
    /// [`TrainError::WorkerLost`] when a job panicked.
    pub(crate) fn run<T: Send + 'static, F>(&self, jobs: Vec<F>) -> Result<Vec<T>, TrainError>
    where
        F: FnOnce() -> T + Send + 'static,
    {
        if self.threads == 1 || jobs.len() == 1 {
            return Ok(jobs.into_iter().map(|job| job()).collect());
        }
        let count = jobs.len();
        let (done, results) = channel();
        let todo = Arc::new(Mutex::new(jobs.into_iter().enumerate()));
        for _ in 1..self.threads.min(count) {
            let (todo, done) = (Arc::clone(&todo), done.clone());
            if let Some(tasks) = &self.tasks {
                // A lost worker shows below as a missing result.
                let _ = tasks.send(Box::new(move || drain(&todo, &done)));
            }
        }
        drain(&todo, &done);
        drop(done);
        let mut slots: Vec<Option<T>> = (0..count).map(|_| None).collect();
        for (n, result) in results {
            slots[n] = Some(result);
        }
        slots
            .into_iter()
            .collect::<Option<Vec<T>>>()
            .ok_or_else(|| TrainError::WorkerLost("a job panicked; please report this".to_owned()))
    }

    /// Ends the workers and yields their CPU milliseconds.
    pub(crate) fn finish(mut self) -> u64 {
        self.tasks = None;
        self.workers.drain(..).filter_map(|w| w.join().ok()).sum()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.tasks = None;
        for worker in self.workers.drain(..) {
            // A panic was reported by `run` already.
            let _ = worker.join();
        }
    }
}

fn next_task(queue: &Mutex<Receiver<Task>>) -> Option<Task> {
    queue.lock().ok()?.recv().ok()
}

fn drain<T, F: FnOnce() -> T>(
    todo: &Mutex<std::iter::Enumerate<std::vec::IntoIter<F>>>,
    done: &Sender<(usize, T)>,
) {
    loop {
        let Some((n, job)) = todo.lock().ok().and_then(|mut jobs| jobs.next()) else {
            return;
        };
        if done.send((n, job())).is_err() {
            return;
        }
    }
}

/// CPU milliseconds of the calling thread so far, from the kernel's scheduler; 0 where it does not tell.
pub(crate) fn cpu_ms() -> u64 {
    std::fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|text| text.split(' ').next()?.parse::<u64>().ok())
        .map_or(0, |ns| ns / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_jobs() {
        for threads in [1, 2, 5] {
            let pool = Pool::new(threads).unwrap();
            let jobs: Vec<_> = (0..100).map(|n| move || n * n).collect();
            assert_eq!(
                pool.run(jobs).unwrap(),
                (0..100).map(|n| n * n).collect::<Vec<_>>()
            );
        }
    }
}
