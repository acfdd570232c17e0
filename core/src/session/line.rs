use std::collections::VecDeque;

/// A queue whose first item needs no memory of its own: most hold one, for a moment.
///
/// Nothing is behind an item that is not there, so that equality and hash are those of what it holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Line<T> {
    first: Option<T>,
    others: VecDeque<T>,
}

impl<T> Default for Line<T> {
    fn default() -> Self {
        Self { first: None, others: VecDeque::new() }
    }
}

impl<T> Line<T> {
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    pub(super) fn push_back(&mut self, item: T) {
        if self.first.is_none() {
            self.first = Some(item);
        } else {
            self.others.push_back(item);
        }
    }

    pub(super) fn pop_front(&mut self) -> Option<T> {
        let next = self.others.pop_front();
        std::mem::replace(&mut self.first, next)
    }

    pub(super) fn pop_back(&mut self) -> Option<T> {
        self.others.pop_back().or_else(|| self.first.take())
    }

    pub(super) fn front(&self) -> Option<&T> {
        self.first.as_ref()
    }

    pub(super) fn back(&self) -> Option<&T> {
        self.others.back().or(self.first.as_ref())
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.first.iter_mut().chain(&mut self.others)
    }
}

impl<T> IntoIterator for Line<T> {
    type Item = T;
    type IntoIter = std::iter::Chain<std::option::IntoIter<T>, std::collections::vec_deque::IntoIter<T>>;

    fn into_iter(self) -> Self::IntoIter {
        self.first.into_iter().chain(self.others)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_queue(steps in prop::collection::vec(0..8_u8, 0..64)) {
            let (mut line, mut queue) = (Line::default(), VecDeque::new());
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    0..4 => {
                        line.push_back(number);
                        queue.push_back(number);
                    }
                    4..6 => prop_assert_eq!(line.pop_front(), queue.pop_front()),
                    6 => prop_assert_eq!(line.pop_back(), queue.pop_back()),
                    _ => line.iter_mut().zip(&mut queue).for_each(|(one, other)| {
                        *one += 100;
                        *other += 100;
                    }),
                }
                prop_assert_eq!(line.is_empty(), queue.is_empty());
                prop_assert_eq!((line.front(), line.back()), (queue.front(), queue.back()));
                let mut same = Line::default();
                queue.iter().for_each(|item| same.push_back(*item));
                prop_assert_eq!(&line, &same);
            }
            prop_assert!(line.into_iter().eq(queue));
        }
    }
}
