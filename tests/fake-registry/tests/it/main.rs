//! The registry seen from outside, over bare sockets.

mod client;
mod faults;
mod guards;
mod serving;
