//! Work on many things by all processors.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::ScopedJoinHandle;

/// Does something for each number, in this order, on all processors, and gives the results in the order of the numbers.
///
/// # Errors
/// The first one; it ends the work.
pub fn in_parallel<T: Send, E: Send>(
    queue: &[usize],
    work: impl Fn(usize) -> Result<T, E> + Sync,
) -> Result<Vec<T>, E> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(queue.len());
    let shared = SharedWork::new(queue);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(|| shared.take_part(&work))).collect();
        join_all(threads);
    });
    shared.results()
}

/// Waits for threads, and goes on with a panic of theirs: the end of a scope does not wait until its threads have given back
/// their memory.
pub fn join_all(threads: Vec<ScopedJoinHandle<'_, ()>>) {
    for thread in threads {
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    }
}

/// Something to do for each of some numbers, that any thread may take part in at any time.
pub struct SharedWork<'a, T, E> {
    queue: &'a [usize],
    next: AtomicUsize,
    done: Mutex<Vec<(usize, T)>>,
    failed: Mutex<Option<E>>,
}

impl<'a, T, E> SharedWork<'a, T, E> {
    /// For these numbers, in this order.
    pub fn new(queue: &'a [usize]) -> Self {
        Self { queue, next: AtomicUsize::new(0), done: Mutex::default(), failed: Mutex::new(None) }
    }

    /// Does what nobody has begun, until nothing is left. An error ends the work.
    pub fn take_part(&self, work: impl Fn(usize) -> Result<T, E>) {
        while let Some(number) = self.queue.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            match work(*number) {
                Ok(result) => {
                    self.done.lock().unwrap_or_else(PoisonError::into_inner).push((*number, result));
                }
                Err(error) => {
                    self.abandon();
                    self.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                }
            }
        }
    }

    /// Nothing more is begun.
    pub fn abandon(&self) {
        self.next.store(self.queue.len(), Ordering::Relaxed);
    }

    /// Takes the results, in the order of the numbers, when all who took part have ended.
    ///
    /// # Errors
    /// The first one.
    pub fn results(&self) -> Result<Vec<T>, E> {
        if let Some(error) = self.failed.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(error);
        }
        let mut done = std::mem::take(&mut *self.done.lock().unwrap_or_else(PoisonError::into_inner));
        done.sort_by_key(|(number, _)| *number);
        Ok(done.into_iter().map(|(_, result)| result).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::{SharedWork, in_parallel};

    #[test]
    fn results_come_in_the_order_of_the_numbers() {
        assert_eq!(in_parallel(&[3, 0, 2, 1], |number| Ok::<_, ()>(number * 2)), Ok(vec![0, 2, 4, 6]));
        assert_eq!(in_parallel(&[], |_| Ok::<usize, ()>(0)), Ok(vec![]));
    }

    #[test]
    fn an_error_is_what_comes_out() {
        let numbers: Vec<usize> = (0..100).collect();
        let work = |number| if number == 70 { Err("seventy") } else { Ok(number) };
        assert_eq!(in_parallel(&numbers, work), Err("seventy"));
    }

    #[test]
    fn who_comes_later_does_the_rest() {
        let queue = [2, 1, 0];
        let work = SharedWork::new(&queue);
        work.take_part(|number| {
            // as if another had the others to do
            work.take_part(|other| Ok::<_, ()>(other + 10));
            Ok(number)
        });
        assert_eq!(work.results(), Ok(vec![10, 11, 2]));
        let given_up = SharedWork::<usize, ()>::new(&queue);
        given_up.abandon();
        given_up.take_part(Ok);
        assert_eq!(given_up.results(), Ok(vec![]));
    }
}
