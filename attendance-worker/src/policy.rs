//! The rules of the house: what follows from evidence. Pure: no I/O, no clock, no randomness; what a rule needs to know
//! is passed in, read as of the event.
//!
//! QR scans and faces meet as [`evidence::Evidence`], and what they amount to is for the class to say ([`fusion`]). By
//! itself a record only ever moves to earlier evidence, or from absent to present or late, so the order in which evidence
//! arrives does not matter: that is what the property tests check. A person's word ([`word`]) stands over all of it.
//!
//! Rules that hold for a whole session (lateness, votes) are those of the class at the moment the session began; whether
//! a student belongs to the class is asked for the moment of the evidence.

pub mod evidence;
pub mod face;
pub mod fusion;
pub mod notify;
pub mod protection;
pub mod question;
pub mod scan;
pub mod session;
pub mod timetable;
pub mod word;

#[cfg(test)]
mod tests;
