//! Why a file is not played, as a sentence for the person who sent it.

/// The reason; its text is for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such file, or it may not be read.
    #[error("The file cannot be opened: {0}.")]
    NotOpened(String),
    /// Nothing that FFmpeg knows.
    #[error("This is not a video file, or it is damaged from its very beginning.")]
    NotMedia,
    /// Text, of whatever kind.
    #[error("This is a text, not a video.")]
    Text,
    /// Fewer bytes than any video has.
    #[error("This is not a video file: {0} bytes are too few to be one.")]
    TooShort(u64),
    /// MP4 without its index.
    #[error(
        "This is not a video file, or only a part of one: the index of an MP4 file (moov) is missing."
    )]
    NoIndex,
    /// A text that names other files or addresses.
    #[error("This is a playlist, not a video file; import the videos that it names.")]
    Playlist,
    /// A format that is not played.
    #[error(
        "Files of this kind ({0}) are not played; a video file is needed, such as MP4, MKV, WebM, MOV or TS."
    )]
    Format(String),
    /// One picture.
    #[error("This is a still image, not a video.")]
    Image,
    /// Sound without picture.
    #[error("There is sound in this file but no video.")]
    NoVideo,
    /// Neither.
    #[error("There is neither video nor sound in this file.")]
    NoStreams,
    /// A codec without a name.
    #[error("The video in this file is coded in a way that is not known here.")]
    UnknownCodec,
    /// Digital rights management.
    #[error("This file is encrypted (DRM), so it cannot be played.")]
    Encrypted,
    /// A picture of no size.
    #[error("The video in this file has no picture size; the file is damaged or cut off.")]
    NoPicture,
    /// A picture beyond all bounds.
    #[error("A picture of {0}×{1} is too large; at most 8192×8192 can be played.")]
    TooLarge(u32, u32),
    /// Longer than a day.
    #[error("The video is {0} hours long; at most 24 hours can be played.")]
    TooLong(u64),
    /// FFprobe said something else than its JSON.
    #[error("The file could not be examined: {0}.")]
    Unreadable(String),
}
