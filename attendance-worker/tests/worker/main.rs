//! The attendance worker as a whole, on a real broker and a real database.

mod faults;
mod harness;
mod interleaving;
mod ledger;
mod notify;
mod photos;
mod protections;
mod reviews;
mod rules;
mod scans;
mod sessions;
mod sightings;
mod timers;
mod timetables;
