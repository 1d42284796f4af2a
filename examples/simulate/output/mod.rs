//! What the laboratory shows: tables, pictures, a page.

pub(crate) mod page;
pub(crate) mod pictures;
pub(crate) mod tables;
