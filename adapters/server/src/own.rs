use std::any::{Any, TypeId};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use nosphere_core::Tag;

use crate::presence::Changes;
use crate::tags::Joined;

/// What the application keeps with a session, made when it is first used: most sessions have none of it.
#[derive(Default)]
pub(crate) struct Own {
    data: RwLock<Data>,
    joined: Mutex<Joined>,
    pub(crate) changes: Changes,
}

/// Values by their types, of which there are few.
#[derive(Default)]
struct Data {
    values: Vec<(TypeId, Value)>,
    /// The session's task is gone: nothing is kept any more.
    over: bool,
}

type Value = Arc<dyn Any + Send + Sync>;

impl Own {
    /// Sets a value; gives the one that it replaces.
    pub(crate) fn set_data<T: Any + Send + Sync>(&self, value: T) -> Option<Arc<T>> {
        let value: Value = Arc::new(value);
        let mut data = self.data.write().unwrap_or_else(PoisonError::into_inner);
        let old = if data.over {
            Some(value)
        } else if let Some((_, old)) = data.values.iter_mut().find(|(kind, _)| *kind == TypeId::of::<T>()) {
            Some(std::mem::replace(old, value))
        } else {
            data.values.push((TypeId::of::<T>(), value));
            None
        };
        let over = data.over;
        // What the application made is not dropped under a lock.
        drop(data);
        old.filter(|_| !over)?.downcast().ok()
    }

    pub(crate) fn data<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        let data = self.data.read().unwrap_or_else(PoisonError::into_inner);
        let (_, value) = data.values.iter().find(|(kind, _)| *kind == TypeId::of::<T>())?;
        Arc::clone(value).downcast().ok()
    }

    pub(crate) fn take_data<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        let mut data = self.data.write().unwrap_or_else(PoisonError::into_inner);
        let at = data.values.iter().position(|(kind, _)| *kind == TypeId::of::<T>())?;
        data.values.swap_remove(at).1.downcast().ok()
    }

    pub(crate) fn has(&self, tag: &str) -> bool {
        self.joined().has(tag)
    }

    pub(crate) fn tags(&self) -> Vec<Tag> {
        self.joined().tags()
    }

    pub(crate) fn joined(&self) -> MutexGuard<'_, Joined> {
        self.joined.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The handler has seen the end. What is remembered of the session holds nothing of the application's.
    pub(crate) fn clear(&self) {
        self.joined().forget();
        let mut data = self.data.write().unwrap_or_else(PoisonError::into_inner);
        data.over = true;
        let values = std::mem::take(&mut data.values);
        drop(data);
        drop(values);
    }
}

impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Own")
    }
}
