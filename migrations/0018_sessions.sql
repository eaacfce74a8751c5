-- A browser holds a session in place of a token: it ends with the token, when nobody uses it, and at a set time.
CREATE TABLE sessions (
    id          uuid PRIMARY KEY,
    token_id    uuid NOT NULL REFERENCES tokens ON DELETE CASCADE,
    digest      bytea NOT NULL UNIQUE CHECK (octet_length(digest) = 32),
    prefix      text NOT NULL,
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    ends_at     timestamptz NOT NULL CHECK (expires_at <= ends_at)
);
CREATE INDEX sessions_token ON sessions (token_id);
CREATE INDEX sessions_prefix ON sessions (prefix);
CREATE INDEX sessions_expiry ON sessions (expires_at);
