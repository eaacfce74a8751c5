-- What is said in an item, to be read along. The text is here, for it may have come from nowhere else: each daemon
-- keeps a copy of it beside what it has prepared.

CREATE TABLE subtitles (
    media_id    uuid NOT NULL REFERENCES media ON DELETE CASCADE,
    -- A tag of BCP 47.
    language    text NOT NULL,
    -- As WebVTT, with nothing in it but what players show.
    content     text NOT NULL,
    -- Its length in UTF-8; it counts against the plan of the item's client.
    bytes       bigint NOT NULL,
    sha256      bytea NOT NULL CHECK (octet_length(sha256) = 32),
    cues        bigint NOT NULL,
    origin      text NOT NULL CHECK (origin IN ('api', 'sidecar')),
    updated_at  timestamptz NOT NULL,
    PRIMARY KEY (media_id, language)
);
