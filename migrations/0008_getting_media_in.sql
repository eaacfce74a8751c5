-- What is said about items, what finds them again, and what is on its way into the library.

ALTER TABLE media
    ADD COLUMN description text,
    ADD COLUMN tags jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN genre text,
    ADD COLUMN language text,
    ADD COLUMN rating text,
    ADD COLUMN series text,
    ADD COLUMN season integer,
    ADD COLUMN episode integer,
    ADD COLUMN edited text[] NOT NULL DEFAULT '{}',
    ADD COLUMN version bigint NOT NULL DEFAULT 1 CHECK (version > 0),
    ADD COLUMN sha256 bytea CHECK (octet_length(sha256) = 32),
    ADD COLUMN missing_since timestamptz,
    ADD COLUMN words text NOT NULL DEFAULT '';
UPDATE media SET words = lower(translate(title, '._-/:,''"[](){}\', '               '));
ALTER TABLE media
    ADD COLUMN search tsvector NOT NULL GENERATED ALWAYS AS (to_tsvector('simple', words)) STORED;
ALTER TABLE media
    ALTER COLUMN words DROP DEFAULT,
    ALTER COLUMN tags DROP DEFAULT,
    ALTER COLUMN edited DROP DEFAULT,
    ALTER COLUMN version DROP DEFAULT;
CREATE INDEX media_client ON media (client_id, id);
CREATE INDEX media_size ON media (client_id, size);
CREATE INDEX media_search ON media USING gin (search);
CREATE INDEX media_tags ON media USING gin (tags jsonb_path_ops);
CREATE INDEX media_status ON media (status, id);
CREATE INDEX media_title ON media (lower(title), id);
CREATE INDEX media_duration ON media (duration_us, id);

CREATE TABLE arrivals (
    id          uuid PRIMARY KEY,
    client_id   uuid NOT NULL REFERENCES clients ON DELETE CASCADE,
    actor       text NOT NULL,
    token_id    uuid,
    url         text,
    name        text NOT NULL,
    details     jsonb NOT NULL,
    length      bigint,
    state       text NOT NULL CHECK (state IN ('arriving', 'importing', 'done', 'failed')),
    reason      text,
    media_id    uuid,
    node        uuid NOT NULL,
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL
);
CREATE INDEX arrivals_client ON arrivals (client_id, id);
CREATE INDEX arrivals_node ON arrivals (node);

CREATE TABLE watched_folders (
    id          uuid PRIMARY KEY,
    client_id   uuid NOT NULL REFERENCES clients ON DELETE CASCADE,
    path        bytea NOT NULL,
    device      bigint,
    inode       bigint,
    node        uuid NOT NULL,
    created_at  timestamptz NOT NULL
);
CREATE UNIQUE INDEX watched_folders_path ON watched_folders (client_id, node, sha256(path));
