//! The server and many clients in virtual time over a network that fails.
