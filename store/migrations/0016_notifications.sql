-- Who is told what, and what became of it. See docs/NOTIFICATIONS.md.

-- Who is told of a student beside the student. Written by the api only.
CREATE TABLE guardians (
    id          uuid PRIMARY KEY,
    student_id  uuid NOT NULL REFERENCES users,
    full_name   text NOT NULL,
    email       text NOT NULL,
    -- Null for the organisation's language.
    language    text CHECK (language IN ('en', 'de')),
    -- Of what they are told.
    topics      text[] NOT NULL,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL
);
CREATE UNIQUE INDEX guardians_email ON guardians (student_id, lower(email));

-- How people wish to be told; who has no row has no wishes. Written by the api only.
CREATE TABLE notification_preferences (
    user_id      uuid PRIMARY KEY REFERENCES users,
    preferences  jsonb NOT NULL,
    updated_at   timestamptz NOT NULL
);

-- Addresses of other systems that are told what happens. Written by the api only.
CREATE TABLE webhooks (
    id                     uuid PRIMARY KEY,
    url                    text NOT NULL,
    description            text NOT NULL,
    -- Types of facts; all of them where it is empty.
    events                 text[] NOT NULL,
    -- What is signed with, sealed (service/src/seal.rs): it must be known to sign, so a hash would not do.
    secret                 bytea NOT NULL,
    -- The one before, which still signs beside it for a while.
    previous_secret        bytea,
    previous_secret_until  timestamptz,
    -- It is told what comes after this place in FACTS.
    after_sequence         bigint NOT NULL,
    -- Since when it is switched on; null while it is off. Later than its disabling, it is the answer to it.
    enabled_at             timestamptz,
    created_at             timestamptz NOT NULL,
    updated_at             timestamptz NOT NULL,
    deleted_at             timestamptz,
    CHECK ((previous_secret IS NULL) = (previous_secret_until IS NULL))
);
CREATE INDEX webhooks_present ON webhooks (created_at, id) WHERE deleted_at IS NULL;

-- How sending to a webhook goes. Written by the attendance worker only.
CREATE TABLE webhook_health (
    webhook_id     uuid PRIMARY KEY REFERENCES webhooks,
    -- Since when every attempt has failed; null while the last one did not.
    failing_since  timestamptz,
    -- When sending was given up.
    disabled_at    timestamptz
);

-- What is being sent again to a webhook, and how far that has come. Written by the attendance worker only.
CREATE TABLE webhook_replays (
    -- The request that asked for it.
    id              uuid PRIMARY KEY,
    webhook_id      uuid NOT NULL REFERENCES webhooks,
    -- Places in FACTS: the next one, and the last one.
    next_sequence   bigint NOT NULL,
    last_sequence   bigint NOT NULL,
    requested_at    timestamptz NOT NULL
);
CREATE INDEX webhook_replays_order ON webhook_replays (requested_at, id);

-- One notification of one recipient by one channel. Written by the attendance worker only. Addresses and names are not
-- here: they are read when it is sent.
CREATE TABLE deliveries (
    -- A function of cause, recipient and channel, and what the receiver knows it by.
    id              uuid PRIMARY KEY,
    -- The fact; for a ping the request, for a digest what its recipient and time make of it.
    cause           uuid NOT NULL,
    channel         text NOT NULL CHECK (channel IN ('email', 'push', 'webhook')),
    recipient_kind  text NOT NULL CHECK (recipient_kind IN ('user', 'guardian', 'webhook')),
    recipient_id    uuid NOT NULL,
    -- A topic, 'digest', or for a webhook the type of the fact.
    topic           text NOT NULL,
    -- The fact, or the facts of a digest: ids only.
    content         jsonb NOT NULL,
    -- The place of the fact in FACTS.
    sequence        bigint,
    state           text NOT NULL CHECK (state IN ('waiting', 'gathered', 'delivered', 'failed', 'cancelled')),
    -- When it is tried next, or its digest is sent; while it is being tried, when somebody else may.
    due_at          timestamptz NOT NULL,
    -- In all, and since it was last sent for: a replay begins anew.
    attempts        integer NOT NULL DEFAULT 0,
    tries           integer NOT NULL DEFAULT 0,
    created_at      timestamptz NOT NULL,
    settled_at      timestamptz,
    UNIQUE (cause, recipient_id, channel),
    CHECK ((settled_at IS NULL) = (state IN ('waiting', 'gathered')))
);
CREATE INDEX deliveries_due ON deliveries (due_at) WHERE state = 'waiting';
CREATE INDEX deliveries_gathered ON deliveries (due_at, recipient_id) WHERE state = 'gathered';
CREATE INDEX deliveries_recipient ON deliveries (recipient_id, created_at DESC, id);
CREATE INDEX deliveries_settled ON deliveries (settled_at) WHERE settled_at IS NOT NULL;

-- What came of each attempt. Neither addresses nor bodies are kept.
CREATE TABLE delivery_attempts (
    delivery_id  uuid NOT NULL REFERENCES deliveries ON DELETE CASCADE,
    attempt      integer NOT NULL,
    at           timestamptz NOT NULL,
    -- HTTP status or SMTP reply code; null where there was no answer.
    code         integer,
    latency_ms   integer NOT NULL,
    -- Why it failed; null where it did not.
    failure      text,
    PRIMARY KEY (delivery_id, attempt)
);
