-- Digests of what is stored, and the master keys that its secrets are sealed with. Rows from before get
-- their digests by the daemon, in the transaction of this migration: SQL alone does not know the form.

ALTER TABLE channels
    ADD COLUMN digest bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex') CHECK (octet_length(digest) = 32),
    ADD COLUMN life_digest bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex') CHECK (octet_length(life_digest) = 32);
ALTER TABLE channels
    ALTER COLUMN digest DROP DEFAULT,
    ALTER COLUMN life_digest DROP DEFAULT;

ALTER TABLE airtime
    ADD COLUMN digest bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex') CHECK (octet_length(digest) = 32);
ALTER TABLE airtime
    ALTER COLUMN digest DROP DEFAULT;

CREATE TABLE master_keys (
    key_id       bytea PRIMARY KEY CHECK (octet_length(key_id) = 8),
    state        text NOT NULL CHECK (state IN ('sealing', 'retiring', 'retired')),
    check_value  bytea NOT NULL,
    created_at   timestamptz NOT NULL,
    retired_at   timestamptz
);
CREATE UNIQUE INDEX master_keys_sealing ON master_keys (state) WHERE state = 'sealing';
