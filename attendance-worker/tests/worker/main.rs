//! The attendance worker as a whole, on a real broker and a real database.

mod faults;
mod harness;
mod ledger;
mod notify;
mod photos;
mod scans;
mod sessions;
mod sightings;
mod timers;
