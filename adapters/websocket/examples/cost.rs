//! What a message costs, in instructions: run it under `valgrind --tool=callgrind`, or with `perf stat -e instructions:u`,
//! for two counts, and divide the difference.
//!
//! `cost decode|write BATCH COUNT` handles COUNT messages of 100 bytes, BATCH of them per read or write.

use std::io::{self, IoSlice};

use bytes::Bytes;
use nosphere_core::{Encoded, Unit};
use nosphere_websocket::{Decoder, Outgoing, Role, TryWrite, Writer};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, what, batch, count] = arguments.as_slice() else {
        panic!("usage: cost decode|write BATCH COUNT");
    };
    let batch: usize = batch.parse().expect("BATCH is a number");
    let count: usize = count.parse().expect("COUNT is a number");
    match what.as_str() {
        "decode" => decode(batch, count / batch),
        "write" => write(batch, count / batch),
        other => panic!("{other}: neither decode nor write"),
    }
}

fn decode(batch: usize, reads: usize) {
    let stream = masked_frame().repeat(batch);
    let mut buffer = stream.clone();
    let mut decoder = Decoder::new(Role::Server, 1 << 20);
    let mut items = Vec::new();
    for _ in 0..reads {
        // Stands for the kernel's copy: one memcpy per read.
        buffer.copy_from_slice(&stream);
        decoder.decode(&mut buffer, &mut items).expect("the frames are valid");
        assert_eq!(items.len(), batch);
        items.clear();
    }
}

fn write(batch: usize, writes: usize) {
    let encoded = Encoded::shared(&Unit::Binary(Bytes::from_static(&[b'a'; 100])));
    let mut writer = Writer::server();
    for _ in 0..writes {
        let mut left = batch;
        let next = || {
            left = left.checked_sub(1)?;
            Some(Outgoing::Data(encoded.clone()))
        };
        let _ = writer.flush(&Sink, next).expect("the sink takes all");
    }
}

/// A stream that takes everything at once.
struct Sink;

impl TryWrite for Sink {
    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(slices.iter().map(|slice| slice.len()).sum())
    }
}

fn masked_frame() -> Vec<u8> {
    let mut frame = vec![0x81, 0x80 | 100, 1, 2, 3, 4];
    frame.extend((0..100).map(|i| b'a' ^ [1, 2, 3, 4][i % 4]));
    frame
}
