use std::sync::{Arc, LazyLock, Mutex};

use tracing::Dispatch;
use tracing::subscriber::DefaultGuard;

/// What the server logs on this thread.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    /// Gets what this thread logs, until the guard is dropped.
    pub(crate) fn capture(&self) -> DefaultGuard {
        // While there is one subscriber alone, tracing asks for the one of the thread that comes by an event first, and
        // remembers that nobody cares: a thread of another test has none.
        static OTHER: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(Lines::default().subscriber()));
        LazyLock::force(&OTHER);
        tracing::subscriber::set_default(self.subscriber())
    }

    fn subscriber(&self) -> impl tracing::Subscriber + use<> {
        let lines = self.clone();
        let writer = move || lines.clone();
        tracing_subscriber::fmt().with_ansi(false).with_max_level(tracing::Level::WARN).with_writer(writer).finish()
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        String::from_utf8(self.0.lock().expect("no test panics with it").clone())
            .expect("a log is text")
            .lines()
            .map(str::to_owned)
            .collect()
    }
}

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no test panics with it").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
