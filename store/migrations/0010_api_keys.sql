-- API keys of integrations beside those of cameras: named, scoped, and with the minute of their last use. Written by the
-- api only.

ALTER TABLE api_keys
    -- Absent for an integration.
    ALTER COLUMN camera_id DROP NOT NULL,
    -- What people call an integration; a camera's key goes by its camera.
    ADD COLUMN name text,
    -- The keys there are so far are those of cameras.
    ADD COLUMN scopes text[] NOT NULL DEFAULT '{frames:push}',
    -- The key that rotation put in its place.
    ADD COLUMN replaced_by uuid REFERENCES api_keys,
    -- To the minute, and a few minutes late: never written call by call.
    ADD COLUMN last_used_at timestamptz,
    ADD CONSTRAINT api_keys_holder CHECK ((camera_id IS NULL) = (name IS NOT NULL)),
    ADD CONSTRAINT api_keys_scopes CHECK ((camera_id IS NULL) = NOT ('frames:push' = ANY (scopes)));
ALTER TABLE api_keys ALTER COLUMN scopes DROP DEFAULT;

DROP INDEX api_keys_camera;
CREATE INDEX api_keys_camera ON api_keys (camera_id, created_at, id);
CREATE INDEX api_keys_integrations ON api_keys (created_at, id) WHERE camera_id IS NULL AND revoked_at IS NULL;
