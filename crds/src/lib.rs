//! The vocabulary of the parking platform.

pub mod duration;
pub mod event;
pub mod inventory;
