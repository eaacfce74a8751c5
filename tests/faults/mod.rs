//! What the table "Failure and recovery" tells of, one fault at a time; `docs/reliability.md` says which tests show
//! what of each row.

mod network;
mod proxy;
mod sources;
mod stores;
