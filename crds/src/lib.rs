//! The vocabulary of the parking platform.
