-- What joins the database to the log.

-- Messages that a transaction wants published. Each is published under its id, then marked; what a crash left behind
-- is found by `outbox_pending`.
CREATE TABLE outbox (
    -- Also the message id in the log.
    id          uuid PRIMARY KEY,
    -- The message or call that caused it: a redelivered cause publishes what is left and nothing else.
    cause       uuid NOT NULL,
    position    bigint GENERATED ALWAYS AS IDENTITY,
    subject     text NOT NULL,
    headers     jsonb NOT NULL,
    payload     bytea NOT NULL,
    -- Entries of a last-value feed must not overtake each other.
    is_feed     boolean NOT NULL DEFAULT false,
    created_at  timestamptz NOT NULL,
    published   boolean NOT NULL DEFAULT false
);
CREATE INDEX outbox_cause ON outbox (cause);
CREATE INDEX outbox_pending ON outbox (created_at) WHERE NOT published;
-- What is published is kept for a while, then swept.
CREATE INDEX outbox_published ON outbox (created_at) WHERE published;
CREATE INDEX outbox_feed ON outbox (subject, position) WHERE is_feed;

-- Messages whose effects are committed. The key is the event's own id, so that a rewound consumer changes nothing.
CREATE TABLE handled (
    event_id    uuid PRIMARY KEY,
    handled_at  timestamptz NOT NULL
);
CREATE INDEX handled_at ON handled (handled_at);

-- Every frame ever accepted, by its sequence in FRAMES, and what became of it. The ledger is a sum over this table.
CREATE TABLE frames (
    sequence     bigint PRIMARY KEY,
    camera_id    uuid NOT NULL,
    frame_id     uuid NOT NULL,
    received_at  timestamptz NOT NULL,
    -- Null while pending: 'processed', 'dead' or 'expired'.
    outcome      text CHECK (outcome IN ('processed', 'dead', 'expired')),
    reason       text
);
CREATE INDEX frames_camera ON frames (camera_id, outcome);
CREATE INDEX frames_pending ON frames (sequence) WHERE outcome IS NULL;
