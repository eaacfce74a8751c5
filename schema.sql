-- The database of playoutd as it is now. migrations/ is the way here; a test proves that both agree.
--
-- Ids are UUIDs of version 7, made by the daemon. Times are timestamptz. Lengths are microseconds and
-- say so in their names. Whatever a client owns names the client, and a change to it happens under a
-- lock of the client's row, so that limits are counted right and audit entries follow one another.

-- What the plans allow. Limits are those of the domain's PlanLimits; what is absent is unlimited. Those that every database
-- begins with are in migrations/0017_plans.sql.
CREATE TABLE plans (
    id          uuid PRIMARY KEY,
    name        text NOT NULL UNIQUE CHECK (name ~ '^[a-z0-9-]{1,40}$'),
    limits      jsonb NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    -- Who has a higher one goes first where a daemon is short.
    tier        integer NOT NULL DEFAULT 0 CHECK (tier >= 0),
    version     bigint NOT NULL DEFAULT 1 CHECK (version > 0),
    updated_at  timestamptz NOT NULL DEFAULT now()
);

-- Owners of channels and media. One is the operator, on a plan without limits.
CREATE TABLE clients (
    id          uuid PRIMARY KEY,
    name        text NOT NULL UNIQUE,
    plan_id     uuid NOT NULL REFERENCES plans,
    created_at  timestamptz NOT NULL DEFAULT now(),
    version     bigint NOT NULL DEFAULT 1 CHECK (version > 0),
    updated_at  timestamptz NOT NULL DEFAULT now()
);

-- What the operator allows a client beside, or in the place of, its plan.
CREATE TABLE limit_overrides (
    client_id   uuid NOT NULL REFERENCES clients ON DELETE CASCADE,
    -- A member of the plan's limits.
    limit_name  text NOT NULL,
    -- null: unlimited.
    value       jsonb NOT NULL,
    reason      text NOT NULL,
    -- The name of the token.
    set_by      text NOT NULL,
    set_at      timestamptz NOT NULL,
    -- From then on the plan counts again.
    expires_at  timestamptz,
    PRIMARY KEY (client_id, limit_name)
);

-- What each client is allowed now.
CREATE VIEW client_limits AS
    SELECT c.id AS client_id, p.name AS plan, p.tier,
           p.limits || coalesce((SELECT jsonb_object_agg(o.limit_name, o.value) FROM limit_overrides o
                                 WHERE o.client_id = c.id AND (o.expires_at IS NULL OR o.expires_at > now())), '{}') AS limits
    FROM clients c JOIN plans p ON p.id = c.plan_id;

-- Since when a client uses more than its plan allows.
CREATE TABLE over_limits (
    client_id   uuid NOT NULL REFERENCES clients ON DELETE CASCADE,
    limit_name  text NOT NULL,
    since       timestamptz NOT NULL,
    PRIMARY KEY (client_id, limit_name)
);

-- Access tokens. The secret is shown once and kept only as its SHA-256.
CREATE TABLE tokens (
    id          uuid PRIMARY KEY,
    client_id   uuid NOT NULL REFERENCES clients ON DELETE CASCADE,
    name        text NOT NULL,
    digest      bytea NOT NULL UNIQUE CHECK (octet_length(digest) = 32),
    created_at  timestamptz NOT NULL,
    -- Of a token that is in the file of a daemon's folder: which daemon's.
    node        uuid,
    scopes      text[] NOT NULL CHECK (cardinality(scopes) > 0 AND scopes <@ ARRAY['read', 'operate', 'configure', 'admin']),
    -- How the secret begins; empty where it is older than this column.
    prefix      text NOT NULL,
    -- From then on it is none any more; nothing: it stands until it is revoked.
    expires_at  timestamptz
);
CREATE INDEX tokens_client ON tokens (client_id);
CREATE INDEX tokens_prefix ON tokens (prefix);

-- Sessions of browsers: each stands for a token and ends with it. The secret is in a cookie and kept only as a digest.
CREATE TABLE sessions (
    id          uuid PRIMARY KEY,
    token_id    uuid NOT NULL REFERENCES tokens ON DELETE CASCADE,
    digest      bytea NOT NULL UNIQUE CHECK (octet_length(digest) = 32),
    -- How the secret begins.
    prefix      text NOT NULL,
    created_at  timestamptz NOT NULL,
    -- From then on it is none any more; later with each use.
    expires_at  timestamptz NOT NULL,
    -- How much later at most.
    ends_at     timestamptz NOT NULL CHECK (expires_at <= ends_at)
);
CREATE INDEX sessions_token ON sessions (token_id);
CREATE INDEX sessions_prefix ON sessions (prefix);
CREATE INDEX sessions_expiry ON sessions (expires_at);

-- What was asked for with an Idempotency-Key, for a day.
CREATE TABLE idempotency_keys (
    client_id    uuid NOT NULL REFERENCES clients ON DELETE CASCADE,
    key          text NOT NULL,
    -- Of the request: its method, path and body.
    fingerprint  bytea NOT NULL CHECK (octet_length(fingerprint) = 32),
    -- Which of the requests with this key is at it, or has done it.
    attempt      uuid NOT NULL,
    begun_at     timestamptz NOT NULL,
    -- Until then it is at it, where there is no answer; then another may be.
    held_until   timestamptz NOT NULL,
    -- What its first change was made to, written in the transaction of the change.
    subject_kind text,
    subject_id   uuid,
    -- Sealed with a key that follows from the secret of the token that asked.
    answer       bytea,
    -- It was begun to be done, whatever is known of what came of it.
    done         boolean NOT NULL DEFAULT false,
    PRIMARY KEY (client_id, key),
    CHECK ((subject_kind IS NULL) = (subject_id IS NULL))
);
CREATE INDEX idempotency_keys_age ON idempotency_keys (begun_at);

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

-- Channels: what the client chose, what the channel should do, what it was last known to do.
CREATE TABLE channels (
    id                    uuid PRIMARY KEY,
    client_id             uuid NOT NULL REFERENCES clients,
    -- Everything of the configuration but the destinations.
    config                jsonb NOT NULL,
    -- Counts the changes of the configuration: what If-Match compares.
    version               bigint NOT NULL CHECK (version > 0),
    desired               text NOT NULL CHECK (desired IN ('STOPPED', 'LIVE')),
    status                text NOT NULL CHECK (status IN ('STOPPED', 'STARTING', 'LIVE', 'ERROR')),
    -- Counts playouts; what an earlier one reports is stale.
    generation            bigint NOT NULL,
    -- Time LIVE up to live_since.
    uptime_us             bigint NOT NULL,
    live_since            timestamptz,
    restart_count         bigint NOT NULL,
    restarts_since_start  bigint NOT NULL,
    last_start_time       timestamptz,
    last_stop_time        timestamptz,
    created_at            timestamptz NOT NULL,
    updated_at            timestamptz NOT NULL,
    -- SHA-256 over what the client chose: id, owner, config, version, these two times, and the rows of the
    -- destinations with their sealed keys. A channel that does not match a digest is not put on air.
    digest                bytea NOT NULL CHECK (octet_length(digest) = 32),
    -- The same over desired … last_stop_time, which change often and by themselves.
    life_digest           bytea NOT NULL CHECK (octet_length(life_digest) = 32),
    -- Who airs it and writes about it; nothing: whoever comes. This and the next three are under no digest:
    -- they change by themselves, and are no content.
    node                  uuid,
    -- When this has passed, another may take it.
    lease_until           timestamptz,
    -- Counts holders: what is written under an earlier one is refused.
    epoch                 bigint NOT NULL DEFAULT 0,
    -- When one daemon took it from another, the last time.
    taken_at              timestamptz
);
CREATE INDEX channels_client ON channels (client_id);
CREATE INDEX channels_node ON channels (node);

-- Since when a channel is on air beyond its client's plan; it goes off air after the grace, however often it is restarted meanwhile.
CREATE TABLE over_limit_channels (
    channel_id  uuid PRIMARY KEY REFERENCES channels ON DELETE CASCADE,
    since       timestamptz NOT NULL
);

-- Where a channel is pushed to by RTMP, in the order in which the client wrote them.
CREATE TABLE rtmp_destinations (
    id          uuid PRIMARY KEY,
    channel_id  uuid NOT NULL REFERENCES channels ON DELETE CASCADE,
    position    integer NOT NULL,
    server_url  text NOT NULL,
    platform    text NOT NULL,
    enabled     boolean NOT NULL,
    -- Sealed by the vault for this row; never plain.
    stream_key  bytea,
    -- Where viewers see what it shows, where it is to be looked at.
    playback_url         text,
    -- What the stream is encoded to for it; none: it is copied.
    encode               jsonb,
    -- Whether a retry may send less, where the network does not take it.
    allow_lower_quality  boolean NOT NULL
);
CREATE INDEX rtmp_destinations_channel ON rtmp_destinations (channel_id, position);

-- What a channel airs: everything that makes frame N a function of N. JSON keeps the nanoseconds.
CREATE TABLE airtime (
    channel_id  uuid PRIMARY KEY REFERENCES channels ON DELETE CASCADE,
    timeline    jsonb NOT NULL,
    plan        jsonb NOT NULL,
    -- What the client wants to be played, and when: rotation, blocks, templates, slots.
    schedule    jsonb NOT NULL,
    updated_at  timestamptz NOT NULL,
    -- SHA-256 over everything above.
    digest      bytea NOT NULL CHECK (octet_length(digest) = 32)
);

-- The media library. A path is bytes, for a file name need not be text.
CREATE TABLE media (
    id           uuid PRIMARY KEY,
    client_id    uuid NOT NULL REFERENCES clients,
    path         bytea NOT NULL,
    title        text NOT NULL,
    duration_us  bigint NOT NULL,
    size         bigint NOT NULL,
    -- What the probe found, for people and for lists.
    probe        jsonb,
    status       text NOT NULL CHECK (status IN ('probing', 'refused', 'preparing', 'ready', 'failed')),
    reason       text,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    -- Where it is damaged, in the order of time: from and to in ticks of 90 kHz, and what.
    damage       jsonb NOT NULL,
    -- What is said about it: by its file, by a sidecar beside it, or by the API.
    description  text,
    -- A list of texts in small letters.
    tags         jsonb NOT NULL,
    genre        text,
    language     text,
    rating       text,
    series       text,
    season       integer,
    episode      integer,
    -- The fields that were written through the API: they do not follow the file any more.
    edited       text[] NOT NULL,
    -- Counts the changes of title and details: what If-Match compares.
    version      bigint NOT NULL CHECK (version > 0),
    -- Of its file, where that was needed to tell it from another of the same size.
    sha256       bytea CHECK (octet_length(sha256) = 32),
    -- Since when its file is not where it was.
    missing_since  timestamptz,
    -- What it is found by: the words of title, series and tags in small letters, as the daemon parts them, because
    -- databases differ in what they take for a letter.
    words        text NOT NULL,
    search       tsvector NOT NULL GENERATED ALWAYS AS (to_tsvector('simple', words)) STORED,
    -- How loud it is: of every sound of it that was wanted, which streams, what was measured, and the gains that were
    -- found for it by trying.
    loudness     jsonb NOT NULL
);
CREATE INDEX media_client ON media (client_id, id);
CREATE INDEX media_size ON media (client_id, size);
CREATE INDEX media_search ON media USING gin (search);
CREATE INDEX media_tags ON media USING gin (tags jsonb_path_ops);
-- How frequent each tag and each word is has to be known exactly enough that these indexes are asked where they help, and
-- only there.
ALTER TABLE media ALTER COLUMN tags SET STATISTICS 1000;
ALTER TABLE media ALTER COLUMN search SET STATISTICS 1000;
CREATE INDEX media_status ON media (status, id);
CREATE INDEX media_title ON media (lower(title), id);
CREATE INDEX media_duration ON media (duration_us, id);
-- One item for each file of a client. By digest: a path may be longer than an index entry.
CREATE UNIQUE INDEX media_path ON media (client_id, sha256(path));

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

-- Media prepared into a profile: the file is complete when the row is there.
CREATE TABLE renditions (
    id           uuid PRIMARY KEY,
    media_id     uuid NOT NULL REFERENCES media ON DELETE CASCADE,
    profile_key  text NOT NULL,
    profile      jsonb NOT NULL,
    frames       bigint NOT NULL,
    bytes        bigint NOT NULL,
    created_at   timestamptz NOT NULL,
    -- In whose folder the file is; nothing: whoever comes.
    node         uuid,
    -- Since when no channel needs it; it is removed when it has not been needed for long.
    unneeded_since  timestamptz,
    -- How loud it has become; nothing where it has no sound.
    loudness     jsonb
);
CREATE UNIQUE INDEX renditions_of ON renditions (media_id, profile_key, node) NULLS NOT DISTINCT;

-- Pictures that channels draw over what they play; a channel's configuration calls one by its digest.
CREATE TABLE logos (
    client_id  uuid NOT NULL REFERENCES clients ON DELETE CASCADE,
    -- Of the file.
    sha256     bytea NOT NULL CHECK (octet_length(sha256) = 32),
    png        bytea NOT NULL,
    -- When it came last: for some minutes it is kept although no channel has it yet.
    kept_at    timestamptz NOT NULL,
    PRIMARY KEY (client_id, sha256)
);

-- What people have said about preparing an item into a profile, to the daemon that does. Jobs have no rows: they follow
-- from what channels show. A row goes when the item is prepared.
CREATE TABLE prepare_marks (
    media_id     uuid NOT NULL REFERENCES media ON DELETE CASCADE,
    profile_key  text NOT NULL,
    profile      jsonb NOT NULL,
    node         uuid NOT NULL,
    -- Why it is not begun; nothing: it has its turn.
    held         text CHECK (held IN ('paused', 'cancelled')),
    -- Its place among those that somebody spoke of, the lowest first; nothing: nobody spoke of its turn.
    place        bigint,
    -- The time at which it counts as due by hand.
    due          timestamptz,
    PRIMARY KEY (media_id, profile_key, node)
);
CREATE INDEX prepare_marks_node ON prepare_marks (node);

-- Daemons whose prepare queue somebody has paused.
CREATE TABLE paused_queues (
    node       uuid PRIMARY KEY,
    paused_at  timestamptz NOT NULL
);

-- Files on their way into the library: uploads, and what is fetched by URL. The bytes lie in the folder of the
-- daemon that takes them; how many there are, the file itself says.
CREATE TABLE arrivals (
    id          uuid PRIMARY KEY,
    client_id   uuid NOT NULL REFERENCES clients ON DELETE CASCADE,
    -- Who brings it: the name of the token, and its id.
    actor       text NOT NULL,
    token_id    uuid,
    -- Where it is fetched from; nothing: it is uploaded.
    url         text,
    -- What its file is called.
    name        text NOT NULL,
    -- What is said about it.
    details     jsonb NOT NULL,
    -- Bytes that it will have; they count against the plan while it arrives.
    length      bigint,
    state       text NOT NULL CHECK (state IN ('arriving', 'importing', 'done', 'failed')),
    -- Why it failed: a sentence.
    reason      text,
    -- The item that it has become.
    media_id    uuid,
    node        uuid NOT NULL,
    created_at  timestamptz NOT NULL,
    -- When it is forgotten.
    expires_at  timestamptz NOT NULL
);
CREATE INDEX arrivals_client ON arrivals (client_id, id);
CREATE INDEX arrivals_node ON arrivals (node);

-- Folders whose files are imported as they come.
CREATE TABLE watched_folders (
    id          uuid PRIMARY KEY,
    client_id   uuid NOT NULL REFERENCES clients ON DELETE CASCADE,
    path        bytea NOT NULL,
    -- What the folder was when its files were seen last: an empty place to mount at is another.
    device      bigint,
    inode       bigint,
    node        uuid NOT NULL,
    created_at  timestamptz NOT NULL
);
CREATE UNIQUE INDEX watched_folders_path ON watched_folders (client_id, node, sha256(path));

-- Who changed what: one hash chain for each client, written in the transaction of the change. It
-- outlives what it tells of, so it refers to nothing.
CREATE TABLE audit (
    client_id     uuid NOT NULL,
    -- From 1, without a gap.
    seq           bigint NOT NULL,
    at            timestamptz NOT NULL,
    -- The name of the token, or of the part of the daemon; the token's id besides.
    actor         text NOT NULL,
    token_id      uuid,
    operation     text NOT NULL,
    subject_kind  text NOT NULL,
    subject_id    uuid NOT NULL,
    -- {"before": …, "after": …}, null where there was or is nothing. Entries of version 1 hold one of the
    -- two as it is. json, not jsonb: the hash is over the text as it stands.
    detail        json NOT NULL,
    -- SHA-256 over the hash before it and everything above.
    hash          bytea NOT NULL CHECK (octet_length(hash) = 32),
    PRIMARY KEY (client_id, seq)
);
CREATE INDEX audit_times ON audit (at, client_id, seq);
CREATE INDEX audit_subjects ON audit (subject_id);

-- The last link of each chain, kept apart so that a chain cut short is seen.
CREATE TABLE audit_heads (
    client_id  uuid PRIMARY KEY,
    seq        bigint NOT NULL,
    hash       bytea NOT NULL CHECK (octet_length(hash) = 32)
);

-- The master keys there were, never the keys themselves.
CREATE TABLE master_keys (
    -- Tells keys apart; every sealed secret begins with version and key id.
    key_id       bytea PRIMARY KEY CHECK (octet_length(key_id) = 8),
    -- sealing: seals and opens. retiring: opens until everything is sealed anew. retired: not needed any more.
    state        text NOT NULL CHECK (state IN ('sealing', 'retiring', 'retired')),
    -- Sealed with the key: whether a key file holds it is known before anything is written.
    check_value  bytea NOT NULL,
    created_at   timestamptz NOT NULL,
    retired_at   timestamptz
);
CREATE UNIQUE INDEX master_keys_sealing ON master_keys (state) WHERE state = 'sealing';

-- How live channels did, every few seconds. Written in batches; refers to nothing, so that one late
-- beat of a deleted channel does not lose a batch.
CREATE TABLE heartbeats (
    channel_id    uuid NOT NULL,
    at            timestamptz NOT NULL,
    status        text NOT NULL,
    uptime_us     bigint NOT NULL,
    last_segment  timestamptz,
    segments      bigint NOT NULL,
    bitrate       bigint NOT NULL,
    restarts      bigint NOT NULL,
    processes     jsonb NOT NULL,
    PRIMARY KEY (channel_id, at)
);
CREATE INDEX heartbeats_at ON heartbeats USING brin (at);

-- Troubles, from their beginning to their end. Written from the daemon's memory, late where PostgreSQL was
-- away; refers to nothing, for an alert outlives what it tells of.
CREATE TABLE alerts (
    id               uuid PRIMARY KEY,
    -- Whose it is: the operator's where it is the daemon's own.
    client_id        uuid NOT NULL,
    kind             text NOT NULL,
    -- What it is about, as `channel/<id>` or `channel/<id>/item/<id>`; the channel besides, to find it.
    subject          text NOT NULL,
    channel_id       uuid,
    -- What people called it.
    name             text,
    -- The latest cause.
    detail           text NOT NULL,
    occurrences      bigint NOT NULL CHECK (occurrences > 0),
    reopened         bigint NOT NULL,
    opened_at        timestamptz NOT NULL,
    last_at          timestamptz NOT NULL,
    acknowledged_at  timestamptz,
    acknowledged_by  text,
    closed_at        timestamptz,
    -- Whether the last that routes were told is that it is open.
    told             boolean NOT NULL,
    -- Who raised it, or has taken over the channel since; nothing: whoever comes.
    node             uuid,
    CHECK ((acknowledged_at IS NULL) = (acknowledged_by IS NULL))
);
-- One trouble of one daemon is one alert.
CREATE UNIQUE INDEX alerts_open ON alerts (kind, subject, node) NULLS NOT DISTINCT WHERE closed_at IS NULL;
CREATE INDEX alerts_client ON alerts (client_id, id);
CREATE INDEX alerts_channel ON alerts (channel_id, id);

-- Where a client, or the operator, wants alerts to be told.
CREATE TABLE alert_routes (
    id               uuid PRIMARY KEY,
    client_id        uuid NOT NULL REFERENCES clients ON DELETE CASCADE,
    type             text NOT NULL CHECK (type IN ('webhook', 'email')),
    -- The URL or the address.
    target           text NOT NULL,
    -- What webhooks are signed with. Sealed by the vault for this row; never plain.
    secret           bytea,
    -- The least severity, and the kinds; none: every kind.
    minimum          text NOT NULL CHECK (minimum IN ('info', 'warning', 'critical')),
    kinds            text[] NOT NULL,
    enabled          boolean NOT NULL,
    -- Why the daemon has switched it off, where it has.
    disabled_reason  text,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    CHECK ((type = 'webhook') = (secret IS NOT NULL))
);
CREATE INDEX alert_routes_client ON alert_routes (client_id, id);

-- One telling of one alert by one route. The dead ones are the dead-letter list.
CREATE TABLE alert_deliveries (
    id           uuid PRIMARY KEY,
    route_id     uuid NOT NULL REFERENCES alert_routes ON DELETE CASCADE,
    client_id    uuid NOT NULL,
    alert_id     uuid NOT NULL,
    event        text NOT NULL,
    payload      jsonb NOT NULL,
    state        text NOT NULL CHECK (state IN ('pending', 'delivered', 'dead')),
    attempts     bigint NOT NULL,
    next_at      timestamptz NOT NULL,
    created_at   timestamptz NOT NULL,
    finished_at  timestamptz,
    -- Why the last attempt failed.
    error        text
);
CREATE INDEX alert_deliveries_client ON alert_deliveries (client_id, id);
CREATE INDEX alert_deliveries_route ON alert_deliveries (route_id, id);
CREATE INDEX alert_deliveries_pending ON alert_deliveries (id) WHERE state = 'pending';

-- Where a client, or the operator, wants events to be told.
CREATE TABLE webhooks (
    id                uuid PRIMARY KEY,
    client_id         uuid NOT NULL REFERENCES clients ON DELETE CASCADE,
    -- Whether it hears what happens to everybody: the operator has made it.
    all_clients       boolean NOT NULL,
    url               text NOT NULL,
    -- The kinds of events; `*` is every kind that is not frequent.
    events            text[] NOT NULL CHECK (cardinality(events) > 0),
    -- Of one channel alone, or of those that a selector means.
    channel_id        uuid,
    selector          text,
    enabled           boolean NOT NULL,
    description       text NOT NULL,
    -- Why the daemon has switched it off, where it has.
    disabled_reason   text,
    -- What it is signed with, and what with besides until when. Sealed by the vault for this row; never plain.
    secret            bytea NOT NULL,
    old_secret        bytea,
    old_secret_until  timestamptz,
    -- How its receiver does: failures in a row, since when, and until when it is left alone.
    failures          bigint NOT NULL DEFAULT 0,
    failing_since     timestamptz,
    left_alone_until  timestamptz,
    -- The daemon that delivers, and until when no other does. What is past tells who has had a turn.
    leased_by         uuid,
    leased_until      timestamptz,
    -- Counts its changes: what If-Match compares.
    version           bigint NOT NULL CHECK (version > 0),
    created_at        timestamptz NOT NULL,
    updated_at        timestamptz NOT NULL,
    CHECK ((old_secret IS NULL) = (old_secret_until IS NULL)),
    CHECK (channel_id IS NULL OR selector IS NULL)
);
CREATE INDEX webhooks_client ON webhooks (client_id, id);

-- One telling of one event by one webhook: the queue, and afterwards the log.
CREATE TABLE webhook_deliveries (
    id            uuid PRIMARY KEY,
    webhook_id    uuid NOT NULL REFERENCES webhooks ON DELETE CASCADE,
    client_id     uuid NOT NULL,
    -- The id that the event has on the event stream.
    event_id      text NOT NULL,
    event         text NOT NULL,
    channel_id    uuid,
    -- What is sent, to the letter: it is signed.
    body          text NOT NULL,
    state         text NOT NULL CHECK (state IN ('pending', 'delivered', 'dead')),
    attempts      bigint NOT NULL,
    next_at       timestamptz NOT NULL,
    -- When the event happened.
    created_at    timestamptz NOT NULL,
    attempted_at  timestamptz,
    finished_at   timestamptz,
    -- What came of the last attempt: the status, why it failed, how the answer began.
    status        integer,
    error         text,
    answer        text,
    -- An event whose writing is not known to have failed is written again.
    UNIQUE (webhook_id, event_id)
);
CREATE INDEX webhook_deliveries_webhook ON webhook_deliveries (webhook_id, id);
CREATE INDEX webhook_deliveries_pending ON webhook_deliveries (webhook_id, next_at) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_finished ON webhook_deliveries (finished_at) WHERE state <> 'pending';

-- What failed on a channel, and what was done about it. Written in batches; refers to nothing.
CREATE TABLE channel_history (
    id              uuid PRIMARY KEY,
    channel_id      uuid NOT NULL,
    at              timestamptz NOT NULL,
    -- What failed: source, item, playout, output, preparing.
    failure         text NOT NULL,
    media_id        uuid,
    destination_id  uuid,
    error           text NOT NULL,
    action          text NOT NULL CHECK (action IN ('restart', 'fallback', 'escalate', 'ignore')),
    delay_us        bigint NOT NULL,
    attempt         bigint NOT NULL,
    max_attempts    bigint NOT NULL,
    -- What took the place.
    fallback        text
);
CREATE INDEX channel_history_channel ON channel_history (channel_id, id);
CREATE INDEX channel_history_at ON channel_history USING brin (at);

-- What really went out, stretch by stretch, and what was planned and did not. Written in batches, what goes on still is
-- written again; refers to nothing, for it is kept however long its channel and its media are.
CREATE TABLE as_run (
    channel_id   uuid NOT NULL,
    -- Follows from channel, time and frame; in order of from_at.
    id           uuid NOT NULL,
    -- Whether it was planned and did not go out. Its times are then the planned ones.
    missing      boolean NOT NULL,
    from_at      timestamptz NOT NULL,
    until_at     timestamptz NOT NULL,
    first_frame  bigint NOT NULL,
    frames       bigint NOT NULL,
    kind         text NOT NULL,
    media_id     uuid,
    -- What the item was called then.
    title        text,
    -- The frame of the item with which it begins.
    item_frame   bigint,
    -- How many of the frames were encoded while they were on air.
    encoded      bigint NOT NULL,
    -- The entry of the plan as it stood when it began, in frames and in times.
    planned      jsonb,
    reason       text NOT NULL,
    detail       text,
    -- Who wanted it so.
    asked_by     text,
    -- What ended it before the end of its item as planned.
    ended        text,
    PRIMARY KEY (channel_id, id)
);
CREATE INDEX as_run_until ON as_run USING brin (until_at);

-- One row, written to find out whether the database takes anything.
CREATE TABLE pulse (
    id  boolean PRIMARY KEY CHECK (id),
    at  timestamptz NOT NULL
);

-- Orders to channels that this database has: one that was given while it was away, and is brought to it
-- afterwards, counts once, however often it is brought.
CREATE TABLE orders (
    id  uuid PRIMARY KEY,
    at  timestamptz NOT NULL
);

-- Heartbeats that were lost because no store took them: one row for each run of a daemon that lost any.
CREATE TABLE telemetry_losses (
    run    uuid PRIMARY KEY,
    since  timestamptz NOT NULL,
    until  timestamptz NOT NULL,
    lost   bigint NOT NULL
);

-- The migrations that made this database.
CREATE TABLE migrations (
    version     integer PRIMARY KEY,
    name        text NOT NULL,
    digest      bytea NOT NULL,
    applied_at  timestamptz NOT NULL DEFAULT now()
);
