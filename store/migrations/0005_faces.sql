-- Faces people were enrolled with. Written by the attendance worker only.

CREATE TABLE face_photos (
    id                 uuid PRIMARY KEY,
    user_id            uuid NOT NULL REFERENCES users,
    sha256             text NOT NULL,
    -- A JPEG of the face with some margin: enough to embed again under another pack, and no more.
    crop               bytea NOT NULL,
    quality            jsonb NOT NULL,
    added_by           uuid NOT NULL,
    -- When it was last handed in: an erasure takes what was received before it.
    received_at        timestamptz NOT NULL,
    added_at           timestamptz NOT NULL,
    UNIQUE (user_id, sha256)
);

CREATE TABLE face_embeddings (
    photo_id   uuid NOT NULL REFERENCES face_photos ON DELETE CASCADE,
    pack       text NOT NULL,
    -- Little-endian 32-bit floats of unit length.
    embedding  bytea NOT NULL,
    PRIMARY KEY (photo_id, pack)
);

-- One template per person and pack: the re-normalised mean of the person's embeddings.
CREATE TABLE face_templates (
    user_id    uuid NOT NULL REFERENCES users,
    pack       text NOT NULL,
    template   bytea,
    photos     integer NOT NULL,
    revision   bigint NOT NULL,
    PRIMARY KEY (user_id, pack)
);

-- Every message of the log that holds an enrolled face, so that erasure can be complete.
CREATE TABLE face_messages (
    stream       text NOT NULL,
    sequence     bigint NOT NULL,
    user_id      uuid NOT NULL REFERENCES users,
    received_at  timestamptz NOT NULL,
    PRIMARY KEY (stream, sequence)
);
CREATE INDEX face_messages_user ON face_messages (user_id, received_at);

-- Photographs received before this are erased, also those that are handled after it.
CREATE TABLE face_erasures (
    user_id        uuid PRIMARY KEY REFERENCES users,
    erased_before  timestamptz NOT NULL
);
