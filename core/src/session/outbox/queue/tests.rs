//! A queue in two rows does what one row does.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Push(Message),
    Transmit(Vec<u32>),
    Retract(usize),
    DropFirst(usize),
    DropOne,
    TakeAndPutBack,
    Remove(usize),
    ReplaceByLast(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let message = ("[a-c]{1,9}", 0..5u8).prop_map(|(text, kind)| match kind {
        0 => Message::from(text.as_str()).keyed(text),
        1 => Message::from(text).volatile(),
        2 => Message::from(text).shared(),
        _ => Message::from(text),
    });
    prop_oneof![
        6 => message.prop_map(Step::Push),
        3 => prop::collection::vec(1..1000u32, 0..5).prop_map(Step::Transmit),
        1 => (0..9usize).prop_map(Step::Retract),
        2 => (0..5usize).prop_map(Step::DropFirst),
        1 => Just(Step::DropOne),
        1 => Just(Step::TakeAndPutBack),
        1 => (0..9usize).prop_map(Step::Remove),
        1 => (0..9usize).prop_map(Step::ReplaceByLast),
    ]
}

/// One row: each message with its unit, once it was handed to the link.
#[derive(Default)]
struct Row {
    messages: Vec<(Message, Option<u32>)>,
}

impl Row {
    fn transmitted(&self) -> usize {
        self.messages.iter().take_while(|(_, unit)| unit.is_some()).count()
    }

    fn drop_first(&mut self, count: usize) -> (usize, usize) {
        let gone = self.messages.drain(..count);
        gone.fold((0, 0), |(bytes, units), (message, unit)| (bytes + message.len(), units + unit.unwrap_or(0) as usize))
    }
}

fn check(first: u32, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let (mut queue, mut row) = (Queue { first, ..Queue::new() }, Row::default());
    for step in steps {
        let (length, transmitted) = (row.messages.len(), row.transmitted());
        match step {
            Step::Push(message) => {
                queue.push(message.clone());
                row.messages.push((message, None));
            }
            Step::Transmit(mut units) => {
                units.truncate(length - transmitted);
                match &units[..] {
                    [unit] => queue.transmit(*unit),
                    many => queue.transmit_many(many),
                }
                for (entry, unit) in row.messages[transmitted..].iter_mut().zip(units) {
                    entry.1 = Some(unit);
                }
            }
            Step::Retract(keep) => {
                let retracted = row.messages.iter_mut().skip(keep);
                let bytes: u32 = retracted.filter_map(|(_, unit)| unit.take()).sum();
                prop_assert_eq!(queue.retract(keep), bytes as usize);
            }
            Step::DropFirst(count) if count <= length => {
                let gone = queue.drop_first(count);
                prop_assert_eq!((gone.bytes, gone.in_flight), row.drop_first(count));
            }
            Step::DropOne if length > 0 => {
                let gone = queue.drop_one();
                prop_assert_eq!((gone.bytes, gone.in_flight), row.drop_first(1));
            }
            Step::TakeAndPutBack if transmitted == 0 && length > 0 => {
                let message = queue.take_first().unwrap();
                prop_assert_eq!(&message, &row.messages[0].0);
                queue.put_back(message);
            }
            Step::Remove(index) if (transmitted..length).contains(&index) => {
                prop_assert_eq!(queue.remove(index), Some(row.messages.remove(index).0));
            }
            Step::ReplaceByLast(index) if (transmitted..length.saturating_sub(1)).contains(&index) => {
                let keyed = |index: usize| row.messages[index].0.key().is_some();
                if keyed(index) && keyed(length - 1) {
                    prop_assert_eq!(queue.replace_by_last(index), Some(row.messages.swap_remove(index).0));
                }
            }
            Step::DropFirst(_) | Step::DropOne | Step::TakeAndPutBack | Step::Remove(_) | Step::ReplaceByLast(_) => {}
        }
        agree(&queue, &row)?;
    }
    let all: Vec<_> = row.messages.into_iter().map(|(message, _)| message).collect();
    prop_assert_eq!(queue.take_all(), all);
    prop_assert!(queue.is_empty());
    Ok(())
}

fn agree(queue: &Queue, row: &Row) -> Result<(), TestCaseError> {
    let transmitted = row.transmitted();
    prop_assert_eq!((queue.len(), queue.transmitted()), (row.messages.len(), transmitted));
    let payloads = |message: MessageRef<'_>| message.payload().clone();
    let waiting: Vec<_> = row.messages[transmitted..].iter().map(|(message, _)| message.payload().clone()).collect();
    prop_assert_eq!(queue.next().map(payloads), waiting.first().cloned());
    prop_assert_eq!(queue.waiting().map(payloads).collect::<Vec<_>>(), waiting);
    let behind = |start: usize| row.messages.iter().enumerate().skip(start);
    for start in [0, transmitted, transmitted + 1] {
        let bytes: usize = behind(start).map(|(_, (message, _))| message.len()).sum();
        prop_assert_eq!(queue.length_from(start), bytes);
        let volatile = behind(start).find(|(_, (message, _))| message.is_volatile());
        prop_assert_eq!(queue.find_volatile(start), volatile.map(|(index, _)| index));
        let key = Text::from("a");
        let keyed = behind(start).filter(|(_, (message, _))| message.key() == Some(&key)).last();
        prop_assert_eq!(queue.find_key(start, &key), keyed.map(|(index, _)| index));
    }
    let shared = row.messages.iter().take(transmitted).filter(|(message, _)| message.by_reference().is_shared());
    prop_assert_eq!(queue.first_shared(transmitted).count(), shared.count());
    for (index, (message, _)) in behind(0).filter(|(_, (message, _))| message.by_reference().is_shared()) {
        prop_assert_eq!(queue.shared_len(index), message.len());
    }
    // Wherever its count began.
    let mut again = Queue::new();
    row.messages.iter().for_each(|(message, _)| again.push(message.clone()));
    again.transmit_many(&row.messages.iter().map_while(|(_, unit)| *unit).collect::<Vec<_>>());
    prop_assert_eq!(queue, &again);
    Ok(())
}

proptest! {
    #[test]
    fn two_rows_do_what_one_row_does(
        first in prop_oneof![Just(0), Just(u32::MAX), any::<u32>()],
        steps in prop::collection::vec(step(), 0..80),
    ) {
        check(first, steps)?;
    }
}

#[test]
fn a_message_that_many_share_takes_16_bytes_of_a_queue() {
    assert_eq!(size_of::<Entry<Arc<Shared>>>(), 16);
    assert!(size_of::<Entry<Payload>>() <= 56);
}
