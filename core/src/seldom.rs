use std::hash::{Hash, Hasher};

/// A value that is the default nearly always, and takes a pointer then.
///
/// A session is in memory for as long as its client is there, and most of the time nothing happens to it.
#[derive(Clone, Debug)]
pub(crate) struct Seldom<T>(Option<Box<T>>);

impl<T: Default> Seldom<T> {
    pub(crate) const fn new() -> Self {
        Self(None)
    }

    /// The value, unless it is the default.
    #[inline]
    pub(crate) fn get(&self) -> Option<&T> {
        self.0.as_deref()
    }

    /// The same, to be changed.
    #[inline]
    pub(crate) fn get_mut(&mut self) -> Option<&mut T> {
        self.0.as_deref_mut()
    }

    /// The value, whatever it is.
    #[inline]
    pub(crate) fn make(&mut self) -> &mut T {
        self.0.get_or_insert_default()
    }

    /// Makes it the default again.
    pub(crate) fn take(&mut self) -> T {
        self.0.take().map_or_else(T::default, |value| *value)
    }

    /// Gives back its memory where it has become the default.
    pub(crate) fn settle(&mut self)
    where
        T: PartialEq,
    {
        if self.0.as_deref().is_some_and(|value| *value == T::default()) {
            self.0 = None;
        }
    }
}

/// Whether there is memory for a value makes no difference to what it is.
impl<T: Default + PartialEq> PartialEq for Seldom<T> {
    fn eq(&self, other: &Self) -> bool {
        match (self.get(), other.get()) {
            (None, None) => true,
            (Some(value), None) | (None, Some(value)) => *value == T::default(),
            (Some(one), Some(other)) => one == other,
        }
    }
}

impl<T: Default + Eq> Eq for Seldom<T> {}

impl<T: Default + Hash> Hash for Seldom<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self.get() {
            Some(value) => value.hash(state),
            None => T::default().hash(state),
        }
    }
}
