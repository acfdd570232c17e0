//! The guide: how to write an application with this crate, and what it can rely on.
//!
//! | page | read it |
//! |---|---|
//! | [`chat`] | first: a whole application, line by line |
//! | [`handlers`] | to know which events there are, what a handler may do, and who gets one |
//! | [`messages`] | to send, receive, and be told what did not arrive; messages that may be lost; wire formats |
//! | [`audiences`] | to reach some clients and not others: tags, presence, data of their own; from anywhere |
//! | [`requests`] | to ask clients and be asked, with an answer |
//! | [`browser`] | to give pages a client: its script, tokens, what happens when pages go |
//! | [`mounting`] | to serve it: under axum or hyper, beside other routes, behind TLS or a proxy, and to stop it |
//! | [`atmosphere`] | to move an application from Scalatra and Atmosphere, and leave its pages as they are |
//! | [`limits`] | before it meets the world: everything that is bounded, and what happens then |
//! | [`testing`] | to test handlers without a network |
//! | [`guarantees`] | to know what is promised, and what is not |
//! | [`atmosphere_clients`] | to see which atmosphere.js clients work as they are, and how |
//!
//! The examples are programs to copy from, each complete:
//!
//! | example | copy it for |
//! |---|---|
//! | `chat` | the shape of an application, and a page with the browser client |
//! | `axum` | users who log in, rooms with parameters in their paths, routes that broadcast |
//! | `hyper` | bare hyper, HTTP/1.1 and HTTP/2 on one port |
//! | `routes` | endpoints in front of a service that was there before |
//! | `tls` | rustls, with certificates from files |
//! | `single_binary` | one file to copy to a server: page, configuration, logs, an orderly end |
//! | `shared_handler` | what several endpoints have in common: admission, checks on every event |
//! | `custom_audience` | who gets a broadcast by a rule of your own |
//! | `custom_format` | a wire format of your own |
//! | `echo` | benchmarks, and the conformance kit |

pub mod atmosphere {
    #![doc = include_str!("atmosphere.md")]
}

pub mod atmosphere_clients {
    #![doc = include_str!("atmosphere_clients.md")]
}

pub mod audiences {
    #![doc = include_str!("audiences.md")]
}

pub mod browser {
    #![doc = include_str!("browser.md")]
}

pub mod chat {
    #![doc = include_str!("chat.md")]
}

pub mod guarantees {
    #![doc = include_str!("guarantees.md")]
}

pub mod handlers {
    #![doc = include_str!("handlers.md")]
}

pub mod limits {
    #![doc = include_str!("limits.md")]
}

pub mod messages {
    #![doc = include_str!("messages.md")]
}

pub mod mounting {
    #![doc = include_str!("mounting.md")]
}

pub mod requests {
    #![doc = include_str!("requests.md")]
}

pub mod testing {
    #![doc = include_str!("testing.md")]
}
