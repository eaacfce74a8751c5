-- People may say what of the prepare queue waits, and what goes first; and what nobody needs any more is collected.

CREATE TABLE prepare_marks (
    media_id     uuid NOT NULL REFERENCES media ON DELETE CASCADE,
    profile_key  text NOT NULL,
    profile      jsonb NOT NULL,
    node         uuid NOT NULL,
    held         text CHECK (held IN ('paused', 'cancelled')),
    place        bigint,
    due          timestamptz,
    PRIMARY KEY (media_id, profile_key, node)
);
CREATE INDEX prepare_marks_node ON prepare_marks (node);

CREATE TABLE paused_queues (
    node       uuid PRIMARY KEY,
    paused_at  timestamptz NOT NULL
);

ALTER TABLE renditions ADD COLUMN unneeded_since timestamptz;
