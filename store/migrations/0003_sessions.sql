-- Sessions and their codes. Written by the attendance worker only.

CREATE TABLE sessions (
    id          uuid PRIMARY KEY,
    class_id    uuid NOT NULL REFERENCES classes,
    starts_at   timestamptz NOT NULL,
    ends_at     timestamptz NOT NULL,
    state       text NOT NULL CHECK (state IN ('scheduled', 'pending', 'active', 'completed')),
    -- When it was really opened and closed: the span in which evidence counts.
    started_at  timestamptz,
    ended_at    timestamptz,
    created_at  timestamptz NOT NULL,
    CHECK (ends_at > starts_at),
    CHECK ((state IN ('active', 'completed')) = (started_at IS NOT NULL)),
    CHECK ((state = 'completed') = (ended_at IS NOT NULL))
);
CREATE INDEX sessions_class ON sessions (class_id, starts_at DESC);
-- Due to be closed by the timer.
CREATE INDEX sessions_due ON sessions (ends_at) WHERE state = 'active';
-- Never opened, so that votes collected for them can go.
CREATE INDEX sessions_unopened ON sessions (ends_at) WHERE started_at IS NULL;
-- Due to be announced as pending.
CREATE INDEX sessions_upcoming ON sessions (starts_at) WHERE state = 'scheduled';

CREATE TABLE qr_tokens (
    id          uuid PRIMARY KEY,
    session_id  uuid NOT NULL REFERENCES sessions,
    token       uuid NOT NULL UNIQUE,
    valid_from  timestamptz NOT NULL,
    -- The end of validity as of now: moved forward when a newer code replaces this one before its time.
    expires_at  timestamptz NOT NULL,
    CHECK (expires_at >= valid_from)
);
CREATE INDEX qr_tokens_session ON qr_tokens (session_id, valid_from DESC);
