-- People and who may do what. Written by the api only.

CREATE TABLE organisations (
    id          uuid PRIMARY KEY,
    name        text NOT NULL,
    created_at  timestamptz NOT NULL
);

CREATE TABLE users (
    id               uuid PRIMARY KEY,
    organisation_id  uuid NOT NULL REFERENCES organisations,
    email            text NOT NULL,
    full_name        text NOT NULL,
    role             text NOT NULL CHECK (role IN ('admin', 'operator', 'teacher', 'student')),
    -- Absent for people who never sign in.
    password_hash    text,
    roll_number      text,
    failed_logins    integer NOT NULL DEFAULT 0,
    locked_until     timestamptz,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    deleted_at       timestamptz
);
CREATE UNIQUE INDEX users_email ON users (lower(email)) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX users_roll_number ON users (organisation_id, roll_number) WHERE deleted_at IS NULL;
CREATE INDEX users_role ON users (role, full_name, id) WHERE deleted_at IS NULL;

CREATE TABLE cameras (
    id                     uuid PRIMARY KEY,
    organisation_id        uuid NOT NULL REFERENCES organisations,
    name                   text NOT NULL,
    enabled                boolean NOT NULL,
    max_frames_per_second  integer NOT NULL CHECK (max_frames_per_second > 0),
    revision               bigint NOT NULL,
    created_at             timestamptz NOT NULL,
    deleted_at             timestamptz
);
CREATE UNIQUE INDEX cameras_name ON cameras (organisation_id, name) WHERE deleted_at IS NULL;

CREATE TABLE api_keys (
    id             uuid PRIMARY KEY,
    camera_id      uuid NOT NULL REFERENCES cameras,
    -- The secret itself is shown once and kept nowhere.
    secret_sha256  text NOT NULL,
    revision       bigint NOT NULL,
    created_at     timestamptz NOT NULL,
    expires_at     timestamptz,
    revoked_at     timestamptz
);
CREATE INDEX api_keys_camera ON api_keys (camera_id);
