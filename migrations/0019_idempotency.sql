-- What was asked for with an Idempotency-Key is done once: the answer is kept for a day, sealed with a key that follows from
-- the secret of the token that asked.
CREATE TABLE idempotency_keys (
    client_id    uuid NOT NULL REFERENCES clients ON DELETE CASCADE,
    key          text NOT NULL,
    fingerprint  bytea NOT NULL CHECK (octet_length(fingerprint) = 32),
    attempt      uuid NOT NULL,
    begun_at     timestamptz NOT NULL,
    held_until   timestamptz NOT NULL,
    subject_kind text,
    subject_id   uuid,
    answer       bytea,
    PRIMARY KEY (client_id, key),
    CHECK ((subject_kind IS NULL) = (subject_id IS NULL))
);
CREATE INDEX idempotency_keys_age ON idempotency_keys (begun_at);
