-- What a token may do is a set of scopes, it may expire, and its beginning is kept so that people tell tokens apart and it
-- is found by it. Of tokens from before nobody knows the beginning.
ALTER TABLE tokens ADD COLUMN scopes text[], ADD COLUMN prefix text NOT NULL DEFAULT '', ADD COLUMN expires_at timestamptz;
UPDATE tokens SET scopes = CASE scope WHEN 'admin' THEN ARRAY['admin'] ELSE ARRAY['read', 'operate', 'configure'] END;
ALTER TABLE tokens DROP COLUMN scope, ALTER COLUMN scopes SET NOT NULL, ALTER COLUMN prefix DROP DEFAULT,
    ADD CHECK (cardinality(scopes) > 0 AND scopes <@ ARRAY['read', 'operate', 'configure', 'admin']);
CREATE INDEX tokens_prefix ON tokens (prefix);
