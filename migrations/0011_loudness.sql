-- How loud items are, measured before they are prepared, and how loud what was prepared of them has become. What was
-- prepared before sounds otherwise: it is not used any more.

ALTER TABLE media
    ADD COLUMN loudness jsonb NOT NULL DEFAULT '[]';
ALTER TABLE media
    ALTER COLUMN loudness DROP DEFAULT;

ALTER TABLE renditions
    ADD COLUMN loudness jsonb;
DELETE FROM renditions WHERE profile_key LIKE '%-v1';

-- Pictures that channels draw over what they play.
CREATE TABLE logos (
    client_id  uuid NOT NULL REFERENCES clients ON DELETE CASCADE,
    sha256     bytea NOT NULL CHECK (octet_length(sha256) = 32),
    png        bytea NOT NULL,
    kept_at    timestamptz NOT NULL,
    PRIMARY KEY (client_id, sha256)
);
