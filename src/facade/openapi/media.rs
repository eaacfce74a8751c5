//! The library: items, how they come in, and how they are prepared.

use playout_domain::details::{MAX_DESCRIPTION, MAX_NUMBER, MAX_TAGS, MAX_TEXT, MAX_TITLE};
use playout_domain::prepare::JobState;
use playout_domain::{Damaged, MediaStatus, language};
use playout_store::{ArrivalState, MediaSort, SubtitleOrigin};

use super::contract::{Contract, Named, all_of, answers, creates, file, nothing, page_of};
use super::schema::{
    Member, Schema, body, either, flag, id, known, list, may, member, number, object, one_of,
    pattern, text, time, whole, words,
};
use crate::facade::problem::Kind;
use crate::facade::subtitles::ACCEPTED;
use crate::facade::uploads::PIECE;

pub(super) fn contracts() -> Vec<Named> {
    let job = || answers(known("PrepareJob"));
    vec![
        (
            "listMedia",
            page_of(known("Media"))
                .query(
                    "q",
                    text(),
                    "Beginnings of words in title, series and tags, all of which have to be there.",
                )
                .query("tag", text(), "One whole tag.")
                .query(
                    "status",
                    one_of(MediaStatus::ALL.map(MediaStatus::name)),
                    "Those of this status.",
                )
                .query(
                    "sort",
                    one_of(MediaSort::ALL.map(MediaSort::name)).default("created"),
                    "What they are ordered by; `-` from the end.",
                )
                // A cursor of a list in another order.
                .refuses([Kind::Conflict]),
        ),
        ("importMedia", import()),
        ("createUpload", create_upload()),
        ("getUpload", told(answers(known("Arrival")), true)),
        ("writeUpload", write_upload()),
        ("endUpload", speaking(nothing())),
        ("listImports", page_of(known("Arrival"))),
        ("getImport", answers(known("Arrival"))),
        ("endImport", nothing()),
        ("listWatchedFolders", page_of(known("WatchedFolder"))),
        (
            "addWatchedFolder",
            creates(known("WatchedFolder"))
                .takes("NewWatchedFolder")
                .refuses([Kind::Conflict]),
        ),
        ("getWatchedFolder", answers(known("WatchedFolder"))),
        ("removeWatchedFolder", nothing()),
        (
            "getStorage",
            answers(object([
                member("items", whole(), "Items in the library."),
                member("usedBytes", whole(), "Bytes of their files and subtitles."),
                member(
                    "arrivingBytes",
                    whole(),
                    "Bytes that files on their way will have.",
                ),
                member(
                    "allowedBytes",
                    whole().or_null(),
                    "Bytes that the plan allows; null: it sets no limit.",
                ),
            ])),
        ),
        ("getPrepareQueue", answers(known("PrepareQueue"))),
        ("pausePrepareQueue", answers(known("PrepareQueue"))),
        ("resumePrepareQueue", answers(known("PrepareQueue"))),
        (
            "listPrepareJobs",
            page_of(known("PrepareJob")).query(
                "status",
                one_of(JobState::ALL.map(JobState::name)),
                "Those in this state.",
            ),
        ),
        ("getMedia", answers(known("Media")).tagged()),
        (
            "updateMedia",
            answers(known("Media"))
                .tagged()
                .patched_by("DetailsPatch")
                .if_match(),
        ),
        (
            "deleteMedia",
            nothing().if_match().refuses([Kind::Conflict]),
        ),
        ("getThumbnail", file("image/jpeg", "A picture.")),
        ("listSubtitles", all_of(known("Subtitles"))),
        ("getSubtitles", file("text/vtt", "WebVTT.")),
        (
            "putSubtitles",
            creates(known("Subtitles"))
                .tagged()
                .or_answers(200, "They took the place of others.", known("Subtitles"))
                .tagged()
                .takes_file(ACCEPTED, "SubRip or WebVTT.")
                .if_match_or_none()
                .refuses([Kind::LimitExceeded, Kind::Conflict]),
        ),
        ("deleteSubtitles", nothing().if_match()),
        ("getPrepareJob", job()),
        ("orderPrepareJob", job().refuses([Kind::Conflict])),
    ]
}

fn import() -> Contract {
    let report = || {
        object([
            member(
                "accepted",
                list(known("ImportedMedia")),
                "What is in the library.",
            ),
            member("refused", list(refused()), "What is not, and why."),
        ])
    };
    let location = || text().said("Where it is.");
    creates(report())
        .or_answers(200, "All of it was there already.", report())
        .or_answers(202, "It is being downloaded.", known("Arrival"))
        .with_header("Location", location())
        .takes("NewMedia")
        .refuses([Kind::LimitExceeded, Kind::Conflict])
}

fn refused() -> Schema {
    object([
        member("path", text(), "The file."),
        member("reason", text(), "Why."),
    ])
}

/// What every request of tus needs.
fn speaking(contract: Contract) -> Contract {
    contract
        .needs_header("Tus-Resumable", one_of(["1.0.0"]), "The version of tus.")
        .refuses([Kind::PreconditionFailed])
}

/// What every answer about an upload tells.
fn told(contract: Contract, whole_upload: bool) -> Contract {
    let offset = pattern("^[0-9]+$").said("Bytes that have come.");
    let contract = contract
        .with_header("Upload-Offset", offset)
        .with_optional_header(
            "Upload-Expires",
            text().said("When it is forgotten, unless more comes."),
        )
        .with_optional_header(
            "Content-Location",
            text().said("The item that it has become."),
        );
    match whole_upload {
        true => contract
            .with_header(
                "Upload-Length",
                pattern("^[0-9]+$").said("Bytes that it will have."),
            )
            .with_optional_header("Upload-Metadata", text().said("As it was sent.")),
        false => contract,
    }
}

fn create_upload() -> Contract {
    let mut contract = Contract::default();
    contract
        .answers
        .push((201, serde_json::json!({ "description": "It is begun." })));
    let contract = told(
        contract.with_header("Location", text().said("Where it goes on.")),
        false,
    );
    let mut contract = speaking(contract)
        .needs_header("Upload-Length", pattern("^[0-9]+$"), "Bytes that it will have.")
        .header("Upload-Metadata", text(), "`filename` and what is said about the item: pairs of a name and a text in Base64, with commas between.")
        .header("Upload-Checksum", text(), "`sha1` or `sha256`, a space and the sum of the piece in Base64.")
        .takes_file(PIECE, "The first piece.")
        .refuses(PIECES)
        .refuses([Kind::LimitExceeded]);
    if let Some(body) = &mut contract.body {
        body["required"] = false.into();
    }
    contract
}

/// What may become of a piece.
const PIECES: [Kind; 3] = [Kind::ChecksumMismatch, Kind::NoRoom, Kind::Conflict];

fn write_upload() -> Contract {
    speaking(told(nothing(), false))
        .needs_header(
            "Upload-Offset",
            pattern("^[0-9]+$"),
            "Where the piece begins: where the upload ends.",
        )
        .header(
            "Upload-Checksum",
            text(),
            "`sha1` or `sha256`, a space and the sum of the piece in Base64.",
        )
        .takes_file(PIECE, "A piece.")
        .refuses(PIECES)
        .refuses([Kind::LimitExceeded])
}

pub(super) fn schemas() -> Vec<(&'static str, Schema)> {
    vec![
        ("Details", body(sent_details())),
        (
            "NewMedia",
            either([
                body([member(
                    "path",
                    pattern("^/"),
                    "A file or a folder, from `/` on.",
                )]),
                body([
                    member(
                        "url",
                        text().with("format", "uri"),
                        "`http` or `https`, without credentials.",
                    ),
                    may("details", known("Details"), "What is said about the item."),
                ]),
            ]),
        ),
        (
            "NewWatchedFolder",
            body([member("path", text(), "The folder, from `/` on.")]),
        ),
        ("ImportedMedia", object(item())),
        ("Media", media()),
        (
            "Subtitles",
            object([
                member(
                    "language",
                    text(),
                    "A tag of BCP 47, as it is usually written.",
                ),
                member("bytes", whole(), "Of the text in UTF-8."),
                member("cues", whole(), "How many times something is said."),
                member(
                    "origin",
                    one_of([SubtitleOrigin::Api, SubtitleOrigin::Sidecar]),
                    "Who brought it.",
                ),
                member("updatedAt", time(), "When that was."),
            ]),
        ),
        (
            "Arrival",
            object([
                member("id", id(), "Its id."),
                member("clientId", id(), "Whose it is."),
                member(
                    "url",
                    text().or_null(),
                    "Where it is fetched from, without what follows a `?`; null: it is uploaded.",
                ),
                member("name", text(), "What its file is called."),
                member(
                    "length",
                    whole().or_null(),
                    "Bytes that it will have; null while that is not known.",
                ),
                member("received", whole(), "Bytes that have come."),
                member(
                    "state",
                    one_of(ArrivalState::ALL.map(ArrivalState::name)),
                    "How far it has come.",
                ),
                member("reason", text().or_null(), "Why it failed: a sentence."),
                member("mediaId", id().or_null(), "The item that it has become."),
                member("createdAt", time(), "When it began."),
                member(
                    "expiresAt",
                    time(),
                    "When it is forgotten, unless more comes.",
                ),
            ])
            .said("A file on its way."),
        ),
        (
            "WatchedFolder",
            object([
                member("id", id(), "Its id."),
                member("clientId", id(), "Whose it is."),
                member("path", text(), "The folder."),
                member(
                    "state",
                    one_of(["watching", "missing"]),
                    "Whether it can be seen.",
                ),
                member(
                    "reason",
                    text().or_null(),
                    "Why it, or not all of it, can be seen: a sentence.",
                ),
                member("files", whole(), "Files in it that are imported."),
                member(
                    "settling",
                    flag(),
                    "Whether a file is waited for until it stays as it is.",
                ),
                member(
                    "lookedAt",
                    time().or_null(),
                    "When the last look at it was over.",
                ),
                member(
                    "refused",
                    list(refused()),
                    "Files that are not imported, and why.",
                ),
                member("createdAt", time(), "Since when it is watched."),
            ]),
        ),
        (
            "PrepareQueue",
            object([
                member("paused", flag(), "Whether it is paused by hand."),
                member(
                    "waitsForRoom",
                    flag(),
                    "Whether it waits for room on the disk.",
                ),
                member(
                    "counts",
                    object(
                        JobState::ALL
                            .map(|state| member(state.name(), whole(), "Jobs in this state.")),
                    ),
                    "Jobs by their state.",
                ),
                member("seconds", number(), "Of media that are prepared or to be."),
                member("preparedSeconds", number(), "Of these, those that are."),
                member("percent", number(), "The same in percent."),
                member(
                    "speed",
                    number().or_null(),
                    "Seconds of media a second, of all that runs.",
                ),
                member(
                    "etaSeconds",
                    whole().or_null(),
                    "Seconds until the last of these jobs is ready, as far as can be told.",
                ),
            ]),
        ),
        (
            "PrepareJob",
            object([
                member("mediaId", id(), "The item."),
                member("title", text(), "What it is called."),
                member("profile", text(), "What it is prepared into."),
                member(
                    "status",
                    one_of(JobState::ALL.map(JobState::name)),
                    "How far it is.",
                ),
                member("place", whole().or_null(), "Among all that wait, from 1."),
                member(
                    "due",
                    time().or_null(),
                    "When a channel shows it next, as far as it is not prepared.",
                ),
                member("channelId", id().or_null(), "Which channel."),
                member("byHand", flag(), "Whether somebody asked for it."),
                member("percent", number(), "What is encoded."),
                member(
                    "measuredPercent",
                    number().or_null(),
                    "While it is measured how loud it is: how much of it was listened to.",
                ),
                member("speed", number().or_null(), "Seconds of media a second."),
                member(
                    "etaSeconds",
                    whole().or_null(),
                    "Seconds until it is ready, as far as can be told.",
                ),
                member("attempts", whole(), "Failures in a row."),
                member(
                    "reason",
                    text().or_null(),
                    "Why it failed last: a sentence.",
                ),
            ]),
        ),
    ]
}

fn sent_details() -> [Member; 9] {
    let label = |most: usize| words(most);
    [
        may("title", label(MAX_TITLE), "What it is called."),
        may("description", label(MAX_DESCRIPTION), "What it is about."),
        may(
            "tags",
            list(words(MAX_TEXT)).with("maxItems", MAX_TAGS),
            "Words to find it by.",
        ),
        may("genre", label(MAX_TEXT), "The genre."),
        may(
            "language",
            words(language::LONGEST),
            "The language that is spoken, as a tag of BCP 47.",
        ),
        may(
            "rating",
            label(MAX_TEXT),
            "For whom it is fit, as its authority writes it.",
        ),
        may("series", label(MAX_TITLE), "The series that it belongs to."),
        may(
            "season",
            whole().within(&(0..=MAX_NUMBER)),
            "The number of the season.",
        ),
        may(
            "episode",
            whole().within(&(0..=MAX_NUMBER)),
            "The number of the episode in the season.",
        ),
    ]
}

/// What is said about an item, as it is answered.
pub(super) fn details(may_have_no_title: bool) -> [Member; 9] {
    let title = match may_have_no_title {
        true => text().or_null(),
        false => text(),
    };
    [
        member("title", title, "What it is called."),
        member("description", text().or_null(), "What it is about."),
        member("tags", list(text()), "Words to find it by."),
        member("genre", text().or_null(), "The genre."),
        member(
            "language",
            text().or_null(),
            "The language that is spoken, as a tag of BCP 47.",
        ),
        member("rating", text().or_null(), "For whom it is fit."),
        member("series", text().or_null(), "The series that it belongs to."),
        member("season", whole().or_null(), "The number of the season."),
        member(
            "episode",
            whole().or_null(),
            "The number of the episode in the season.",
        ),
    ]
}

fn heard() -> [Member; 3] {
    [
        member("integrated", number().or_null(), "LUFS; null of silence."),
        member("range", number(), "LU."),
        member(
            "truePeak",
            number().or_null(),
            "dBTP; null where every sample is zero.",
        ),
    ]
}

fn rendition() -> Schema {
    object([
        member("profile", text(), "What it is prepared into."),
        member(
            "status",
            one_of(JobState::ALL.map(JobState::name)),
            "How far it is.",
        ),
        member("percent", number(), "What is encoded."),
        member(
            "measuredPercent",
            number().or_null(),
            "While it is measured how loud it is: how much of it was listened to.",
        ),
        member(
            "etaSeconds",
            whole().or_null(),
            "Seconds until it is ready, as far as can be told.",
        ),
        member(
            "frames",
            whole().or_null(),
            "Its length in frames, once ready.",
        ),
        member("bytes", whole().or_null(), "Its size, once ready."),
        member(
            "loudness",
            object(heard()).or_null(),
            "How loud it has become, once ready; null where it has no sound.",
        ),
        member(
            "warning",
            text().or_null(),
            "What is not as the profile wants it, although it is ready.",
        ),
        member("reason", text().or_null(), "Why it could not be prepared."),
    ])
}

fn media() -> Schema {
    object(item().into_iter().chain([
        member(
            "renditions",
            list(rendition()),
            "What is or will be prepared of it.",
        ),
        member(
            "subtitles",
            list(known("Subtitles")),
            "The languages in which it can be read along.",
        ),
    ]))
}

fn item() -> Vec<Member> {
    let found = object([
        member("target", number(), "LUFS."),
        member("truePeak", number(), "dBTP."),
        member("gain", number(), "dB."),
    ]);
    let measured = heard().into_iter().chain([
        member(
            "streams",
            list(whole()),
            "The streams of the file that make up the sound.",
        ),
        may(
            "found",
            list(found),
            "The gains that were found for it by trying.",
        ),
    ]);
    let probe = object([
        member("format", text(), "The container, as its demuxer is called."),
        member("videoCodec", text(), "The video codec."),
        member("width", whole(), "Pixels across, as shown."),
        member("height", whole(), "Pixels down, as shown."),
        member(
            "frameRate",
            number().or_null(),
            "Frames per second on average.",
        ),
        member("interlaced", flag(), "Whether frames hold two fields."),
        member(
            "audioCodec",
            text().or_null(),
            "The audio codec; null where there is no sound.",
        ),
        member("audioChannels", whole().or_null(), "Audio channels."),
        member("sampleRate", whole().or_null(), "Audio samples a second."),
    ]);
    let damage = object([
        member("from", number(), "Seconds of the item."),
        member("to", number(), "Seconds of the item."),
        member(
            "what",
            one_of([Damaged::Picture, Damaged::Sound, Damaged::Missing]),
            "What is damaged.",
        ),
    ]);
    let own = [
        member("id", id(), "Its id."),
        member("clientId", id(), "Whose it is."),
        member("path", text(), "Where the original is."),
        member(
            "sha256",
            text().or_null(),
            "Of its file, where that was needed to tell it from another.",
        ),
        member(
            "missingSince",
            time().or_null(),
            "Since when its file is not where it was.",
        ),
        member(
            "version",
            whole(),
            "Counts the changes of what is said about it.",
        ),
        member(
            "duration",
            number(),
            "Seconds: what the file claims until it is prepared, then its exact length.",
        ),
        member("size", whole(), "Bytes of the original."),
        member("probe", probe.or_null(), "What was found in it."),
        member(
            "status",
            one_of(MediaStatus::ALL.map(MediaStatus::name)),
            "How far it has come.",
        ),
        member(
            "reason",
            text().or_null(),
            "Why it was refused or could not be prepared.",
        ),
        member("damage", list(damage), "Where it is damaged."),
        member(
            "loudness",
            list(object(measured)),
            "How loud it is, as measured before it was prepared.",
        ),
        member("createdAt", time(), "When it was imported."),
        member("updatedAt", time(), "When it last changed."),
    ];
    own.into_iter().chain(details(false)).collect()
}
