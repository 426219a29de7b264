//! The primitives of what workers share: the standard library's and a spin
//! lock, or the model checker's.

#[cfg(loom)]
pub(crate) use loom::{
    sync::MutexGuard as LockGuard,
    sync::atomic::{
        AtomicBool, AtomicU32, AtomicU64,
        Ordering::{Acquire, Relaxed, Release, SeqCst},
        fence,
    },
    thread::yield_now as wait_a_moment,
};

#[cfg(not(loom))]
pub(crate) use core::{
    hint::spin_loop as wait_a_moment,
    sync::atomic::{
        AtomicBool, AtomicU32, AtomicU64,
        Ordering::{Acquire, Relaxed, Release, SeqCst},
        fence,
    },
};
#[cfg(not(loom))]
pub(crate) use spin::MutexGuard as LockGuard;

/// A lock that is only ever tried. Not the standard library's, which may call the
/// kernel when it is given back.
#[derive(Debug)]
pub(crate) struct Lock<T>(
    #[cfg(not(loom))] spin::Mutex<T>,
    #[cfg(loom)] loom::sync::Mutex<T>,
);

impl<T> Lock<T> {
    pub(crate) fn new(value: T) -> Self {
        #[cfg(not(loom))]
        let lock = spin::Mutex::new(value);
        #[cfg(loom)]
        let lock = loom::sync::Mutex::new(value);
        Self(lock)
    }

    pub(crate) fn try_lock(&self) -> Option<LockGuard<'_, T>> {
        #[cfg(not(loom))]
        let held = self.0.try_lock();
        #[cfg(loom)]
        let held = self.0.try_lock().ok();
        held
    }
}
