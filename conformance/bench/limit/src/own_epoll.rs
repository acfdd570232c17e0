//! The same by one task of tokio that has an epoll of its own: clients are futures that it polls when their sockets are ready. What
//! a message costs here and not by bare epoll is what such a loop would add to a server; what it costs by bare tokio and not here is
//! what tokio takes to wake a task for each client.

use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker, ready};

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::{Errno, read};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::{LISTENER, accept, write_all};

type Client = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Who was woken by something other than its socket.
#[derive(Default)]
struct Woken {
    clients: Mutex<Vec<usize>>,
    any: AtomicBool,
    task: Mutex<Option<Waker>>,
}

struct ClientWaker {
    id: usize,
    woken: Arc<Woken>,
}

impl Wake for ClientWaker {
    fn wake(self: Arc<Self>) {
        self.woken.clients.lock().expect("no panic inside").push(self.id);
        self.woken.any.store(true, Ordering::Release);
        if let Some(task) = &*self.woken.task.lock().expect("no panic inside") {
            task.wake_by_ref();
        }
    }
}

#[tokio::main]
pub(crate) async fn run(addr: SocketAddr) -> std::io::Result<()> {
    let listener = common::listen(addr)?;
    let inner = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&inner, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    #[expect(deprecated, reason = "the other one is unsafe, and this descriptor is owned by what is made of it")]
    let inner = AsyncFd::with_interest(inner, Interest::READABLE)?;
    let woken = Arc::new(Woken::default());
    let mut clients: Vec<Option<(Client, Waker)>> = Vec::new();
    let serve = poll_fn(move |cx| {
        loop {
            if woken.any.swap(false, Ordering::Acquire) {
                let list = std::mem::take(&mut *woken.clients.lock().expect("no panic inside"));
                list.into_iter().for_each(|id| poll_client(&mut clients, id));
            }
            let mut ready = ready!(register(&woken, cx, &inner))?;
            let mut events = [MaybeUninit::<Event>::uninit(); 256];
            let events = match epoll::wait(inner.get_ref(), &mut events[..], Some(&Default::default())) {
                Ok((events, _)) => events,
                Err(Errno::INTR) => continue,
                Err(error) => return Poll::Ready(Err(error.into())),
            };
            if events.is_empty() {
                ready.clear_ready();
            }
            for event in events.iter() {
                if event.data.u64() != LISTENER {
                    poll_client(&mut clients, event.data.u64() as usize);
                    continue;
                }
                while let Some(client) = accept(&listener)? {
                    let id = clients.len();
                    epoll::add(inner.get_ref(), &client, EventData::new_u64(id as u64), EventFlags::IN)?;
                    let waker = Arc::new(ClientWaker { id, woken: Arc::clone(&woken) }).into();
                    clients.push(Some((Box::pin(echo(client)), waker)));
                }
            }
        }
    });
    tokio::spawn(serve).await.map_err(std::io::Error::other)?
}

fn register<'a>(
    woken: &Woken,
    cx: &mut Context<'_>,
    inner: &'a AsyncFd<OwnedFd>,
) -> Poll<std::io::Result<tokio::io::unix::AsyncFdReadyGuard<'a, OwnedFd>>> {
    let mut task = woken.task.lock().expect("no panic inside");
    if !task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
        *task = Some(cx.waker().clone());
    }
    inner.poll_read_ready(cx)
}

fn poll_client(clients: &mut [Option<(Client, Waker)>], id: usize) {
    if let Some((client, waker)) = &mut clients[id]
        && client.as_mut().poll(&mut Context::from_waker(waker)).is_ready()
    {
        clients[id] = None;
    }
}

/// Reads once whenever its socket is ready: if there is more, it stays so.
async fn echo(socket: OwnedFd) {
    let mut buffer = vec![0; 64 << 10];
    poll_fn(|_| match read(&socket, &mut buffer) {
        Ok(0) => Poll::Ready(()),
        Ok(count) if write_all(&socket, &buffer[..count]).is_ok() => Poll::Pending,
        Err(Errno::AGAIN) => Poll::Pending,
        Ok(_) | Err(_) => Poll::Ready(()),
    })
    .await;
}
