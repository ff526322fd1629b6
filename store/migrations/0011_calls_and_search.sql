-- Calls that came with an `Idempotency-Key`, and what people are found by. Written by the api only.

-- A call that was begun under a key, and what it was answered. Forgotten after a day.
CREATE TABLE keyed_calls (
    -- SHA-256 of who called what under which key: the key itself is not kept.
    call_sha256     bytea PRIMARY KEY,
    -- SHA-256 of the key and the content, so that whoever reads the table cannot try out what a content was.
    content_sha256  bytea NOT NULL,
    begun_at        timestamptz NOT NULL,
    -- Null while the call is under way.
    status          smallint,
    -- What was said; null where it held a secret.
    answer          text
);
CREATE INDEX keyed_calls_begun ON keyed_calls (begun_at);

-- Trigrams find a part of a name, of an address or of a roll number.
CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE INDEX users_search ON users
    USING gin (lower(full_name || ' ' || email || ' ' || coalesce(roll_number, '')) gin_trgm_ops);
CREATE INDEX users_name ON users (full_name, id) WHERE deleted_at IS NULL;
CREATE INDEX users_deleted ON users (full_name, id) WHERE deleted_at IS NOT NULL;
