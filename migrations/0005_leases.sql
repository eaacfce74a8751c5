-- Several daemons on one database: each channel belongs to one of them at a time.

-- The daemons that share this database.
CREATE TABLE nodes (
    id           uuid PRIMARY KEY,
    name         text NOT NULL,
    -- Where it is reached, if it says so.
    url          text,
    -- When it renewed its leases last, and until when they run.
    seen_at      timestamptz NOT NULL,
    lease_until  timestamptz NOT NULL,
    -- It knows of no other, and airs on when its leases have run out: nobody takes its channels.
    alone        boolean NOT NULL
);

-- Not under the digests: they change by themselves, and are no content.
ALTER TABLE channels
    -- Who airs it and writes about it; nothing: whoever comes.
    ADD COLUMN node         uuid,
    -- When this has passed, another may take it.
    ADD COLUMN lease_until  timestamptz,
    -- Counts holders: what is written under an earlier one is refused.
    ADD COLUMN epoch        bigint NOT NULL DEFAULT 0,
    -- When one daemon took it from another, the last time.
    ADD COLUMN taken_at     timestamptz;
CREATE INDEX channels_node ON channels (node);

-- Who raised it, or has taken over the channel since; nothing: whoever comes.
ALTER TABLE alerts ADD COLUMN node uuid;
DROP INDEX alerts_open;
CREATE UNIQUE INDEX alerts_open ON alerts (kind, subject, node) NULLS NOT DISTINCT WHERE closed_at IS NULL;

-- Of a token that is in the file of a daemon's folder: which daemon's.
ALTER TABLE tokens ADD COLUMN node uuid;

-- In whose folder the file is; nothing: whoever comes.
ALTER TABLE renditions ADD COLUMN node uuid;
ALTER TABLE renditions DROP CONSTRAINT renditions_media_id_profile_key_key;
CREATE UNIQUE INDEX renditions_of ON renditions (media_id, profile_key, node) NULLS NOT DISTINCT;
