//! A part of a long list, and how long the list is.

/// Which part of a list is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// At most so many rows.
    pub limit: i64,
    /// After so many rows.
    pub offset: i64,
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Paged<T> {
    /// The rows of the part.
    pub rows: Vec<T>,
    /// How many rows the whole list has.
    pub total: i64,
}
