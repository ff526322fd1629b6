-- How people sign in and stay signed in. Written by the api only. Of every token only the SHA-256 is kept.

-- A sign-in: one device of one person, from signing in to signing out. Access tokens carry its id.
CREATE TABLE sign_ins (
    id          uuid PRIMARY KEY,
    user_id     uuid NOT NULL REFERENCES users,
    created_at  timestamptz NOT NULL,
    -- When the last token of it has ended by itself, and the row may go.
    expires_at  timestamptz NOT NULL,
    ended_at    timestamptz
);
CREATE INDEX sign_ins_user ON sign_ins (user_id) WHERE ended_at IS NULL;
CREATE INDEX sign_ins_expired ON sign_ins (expires_at);

-- The refresh tokens of a sign-in: one that is good, and those that were used before it, so that a stolen one shows.
CREATE TABLE refresh_tokens (
    token_sha256  bytea PRIMARY KEY,
    sign_in_id    uuid NOT NULL REFERENCES sign_ins ON DELETE CASCADE,
    expires_at    timestamptz NOT NULL,
    used_at       timestamptz
);
CREATE INDEX refresh_tokens_sign_in ON refresh_tokens (sign_in_id);

-- Failed sign-ins in a row. By account, by address where there is no account, and by device where it is known: the key
-- is a hash of which.
CREATE TABLE sign_in_failures (
    key           bytea PRIMARY KEY,
    failures      integer NOT NULL,
    counted_at    timestamptz NOT NULL,
    locked_until  timestamptz
);
CREATE INDEX sign_in_failures_counted ON sign_in_failures (counted_at);
ALTER TABLE users DROP COLUMN failed_logins, DROP COLUMN locked_until;

-- Devices that somebody has signed in from: failures elsewhere do not lock them out.
CREATE TABLE known_devices (
    token_sha256  bytea NOT NULL,
    user_id       uuid NOT NULL REFERENCES users,
    last_used_at  timestamptz NOT NULL,
    PRIMARY KEY (user_id, token_sha256)
);
CREATE INDEX known_devices_used ON known_devices (last_used_at);

-- Who may register with which role. Used once.
CREATE TABLE invitations (
    token_sha256  bytea PRIMARY KEY,
    role          text NOT NULL CHECK (role IN ('admin', 'operator', 'teacher', 'student')),
    -- Absent where whoever holds it may use it.
    email         text,
    invited_by    uuid NOT NULL REFERENCES users,
    created_at    timestamptz NOT NULL,
    expires_at    timestamptz NOT NULL,
    used_by       uuid REFERENCES users
);
CREATE INDEX invitations_expired ON invitations (expires_at);

-- Whether somebody we trust said that the address is this person's: staff, or an identity provider.
ALTER TABLE users ADD COLUMN email_confirmed boolean NOT NULL DEFAULT true;

-- Accounts at identity providers (OpenID Connect). The pair names a person for ever, whatever becomes of the address.
CREATE TABLE identities (
    issuer     text NOT NULL,
    subject    text NOT NULL,
    user_id    uuid NOT NULL REFERENCES users,
    linked_at  timestamptz NOT NULL,
    PRIMARY KEY (issuer, subject)
);
CREATE INDEX identities_user ON identities (user_id);

-- Browsers that are at an identity provider just now.
CREATE TABLE provider_visits (
    state_sha256    bytea PRIMARY KEY,
    -- Of the secret that the browser's cookie holds.
    browser_sha256  bytea NOT NULL,
    provider        text NOT NULL,
    nonce           text NOT NULL,
    pkce_verifier   text NOT NULL,
    expires_at      timestamptz NOT NULL
);
CREATE INDEX provider_visits_expired ON provider_visits (expires_at);
