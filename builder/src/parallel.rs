//! Work on many things by all processors.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Does something for each number, in this order, on all processors, and gives the results in the order of the numbers.
///
/// # Errors
/// The first one; it ends the work.
pub fn in_parallel<T: Send, E: Send>(
    queue: &[usize],
    work: impl Fn(usize) -> Result<T, E> + Sync,
) -> Result<Vec<T>, E> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    let failed: Mutex<Option<E>> = Mutex::new(None);
    let fail = |error| {
        next.store(queue.len(), Ordering::Relaxed);
        failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    };
    let one = || {
        let mut mine = Vec::new();
        while let Some(number) = queue.get(next.fetch_add(1, Ordering::Relaxed)) {
            match work(*number) {
                Ok(result) => mine.push((*number, result)),
                Err(error) => fail(error),
            }
        }
        mine
    };
    let mut done: Vec<(usize, T)> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        running
            .into_iter()
            .flat_map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => {
            done.sort_by_key(|(number, _)| *number);
            Ok(done.into_iter().map(|(_, result)| result).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::in_parallel;

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
}
