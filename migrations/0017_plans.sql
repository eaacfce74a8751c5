-- Plans are data with a tier, clients are made and changed through the API, and the operator can override a limit of a
-- client for a while.
ALTER TABLE plans ADD COLUMN tier integer NOT NULL DEFAULT 0 CHECK (tier >= 0),
    ADD COLUMN version bigint NOT NULL DEFAULT 1 CHECK (version > 0), ADD COLUMN updated_at timestamptz NOT NULL DEFAULT now();
-- Names stand in paths now.
UPDATE plans SET name = left(trim(both '-' from regexp_replace(lower(name), '[^a-z0-9]+', '-', 'g')), 31) || '-' || right(id::text, 8)
    WHERE name !~ '^[a-z0-9-]{1,40}$';
ALTER TABLE plans ADD CHECK (name ~ '^[a-z0-9-]{1,40}$');
UPDATE plans SET tier = 1000 WHERE id = '00000000-0000-7000-8000-000000000001';
ALTER TABLE clients ADD COLUMN version bigint NOT NULL DEFAULT 1 CHECK (version > 0),
    ADD COLUMN updated_at timestamptz NOT NULL DEFAULT now();
CREATE TABLE limit_overrides (
    client_id   uuid NOT NULL REFERENCES clients ON DELETE CASCADE,
    limit_name  text NOT NULL,
    value       jsonb NOT NULL,
    reason      text NOT NULL,
    set_by      text NOT NULL,
    set_at      timestamptz NOT NULL,
    expires_at  timestamptz,
    PRIMARY KEY (client_id, limit_name)
);
CREATE VIEW client_limits AS
    SELECT c.id AS client_id, p.name AS plan, p.tier,
           p.limits || coalesce((SELECT jsonb_object_agg(o.limit_name, o.value) FROM limit_overrides o
                                 WHERE o.client_id = c.id AND (o.expires_at IS NULL OR o.expires_at > now())), '{}') AS limits
    FROM clients c JOIN plans p ON p.id = c.plan_id;
INSERT INTO plans (id, name, tier, limits) VALUES
    ('00000000-0000-7000-8000-000000000011', 'free', 1, '{"maxChannels": 1, "maxResolution": "480p", "maxRungs": 1, "maxLive": 1,
        "maxDestinations": 1, "storageBytes": 5000000000, "maxViewers": 50, "maxBulk": 1, "features": []}'),
    ('00000000-0000-7000-8000-000000000012', 'basic', 2, '{"maxChannels": 3, "maxResolution": "720p", "maxRungs": 2, "maxLive": 2,
        "maxDestinations": 3, "storageBytes": 50000000000, "maxViewers": 1000, "maxBulk": 10, "features": ["interaction"]}'),
    ('00000000-0000-7000-8000-000000000013', 'pro', 3, '{"maxChannels": 20, "maxResolution": "1080p", "maxRungs": 4, "maxLive": 10,
        "maxDestinations": 10, "storageBytes": 500000000000, "maxViewers": 10000, "maxBulk": 100, "features": ["ads", "ai", "multiPlatform", "interaction"]}'),
    ('00000000-0000-7000-8000-000000000014', 'enterprise', 4, '{"maxBulk": 1000}')
    ON CONFLICT DO NOTHING;
