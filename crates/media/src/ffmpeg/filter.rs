//! A chain of filters in FFmpeg's notation.

use std::fmt::Display;

/// Filters, in the order in which frames pass them.
#[derive(Debug, Default)]
pub(super) struct Chain(Vec<String>);

impl Chain {
    /// Adds a filter, or several that are joined already.
    pub(super) fn then(mut self, filter: impl Display) -> Self {
        self.0.push(filter.to_string());
        self
    }

    /// Adds a filter where there is one.
    pub(super) fn maybe(self, filter: Option<impl Display>) -> Self {
        match filter {
            Some(filter) => self.then(filter),
            None => self,
        }
    }
}

impl Display for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join(","))
    }
}
