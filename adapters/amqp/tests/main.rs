//! The source between a real RabbitMQ and real clients.

#![expect(clippy::unwrap_used, reason = "what is not expected fails the test")]

mod acknowledgement;
mod bad_input;
mod deliveries;
mod example;
mod outages;
mod support;
