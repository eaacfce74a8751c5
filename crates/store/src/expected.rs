//! What a change expects to find, where it makes what is not there.

use crate::error::StoreError;

/// What has to be there for something to be put in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Whatever there is, or nothing.
    Anything,
    /// Nothing.
    Nothing,
    /// Some version.
    Something,
    /// This version.
    Version(u64),
}

impl From<Option<u64>> for Expected {
    fn from(version: Option<u64>) -> Self {
        version.map_or(Self::Anything, Self::Version)
    }
}

impl Expected {
    /// Whether it is so; `current` is the version that there is.
    ///
    /// # Errors
    /// [`StoreError::VersionMismatch`]; where there is nothing, the version is 0.
    pub(crate) fn check(self, current: Option<u64>) -> Result<(), StoreError> {
        let is_so = match self {
            Self::Anything => true,
            Self::Nothing => current.is_none(),
            Self::Something => current.is_some(),
            Self::Version(version) => current == Some(version),
        };
        let current = current.unwrap_or(0);
        is_so
            .then_some(())
            .ok_or(StoreError::VersionMismatch { current })
    }
}
