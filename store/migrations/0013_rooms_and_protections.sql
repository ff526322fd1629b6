-- Rooms, sessions that may not overlap, sessions that are cancelled or opened again, and what a class does against codes
-- that are passed on. Of this, `classes` and `class_protections` are written by the api only, the rest by the attendance
-- worker only.

-- Where a class usually meets: its sessions do, unless they say otherwise.
ALTER TABLE classes ADD COLUMN room text CHECK (room <> '');
-- A class is archived from `deleted_at` on: its history stays, and it can be taken back.
CREATE INDEX classes_archived ON classes (name, id) WHERE deleted_at IS NOT NULL;

ALTER TABLE sessions
    ADD COLUMN room text CHECK (room <> ''),
    -- Sessions that were planned before there was a rule may overlap.
    ADD COLUMN allow_overlap boolean NOT NULL DEFAULT true,
    -- How long a code of this session is valid, where it is not what the class says.
    ADD COLUMN qr_ttl_seconds integer CHECK (qr_ttl_seconds > 0),
    -- When it was opened again last.
    ADD COLUMN reopened_at timestamptz,
    DROP CONSTRAINT sessions_state_check,
    ADD CONSTRAINT sessions_state_check
        CHECK (state IN ('scheduled', 'pending', 'active', 'completed', 'cancelled'));
ALTER TABLE sessions ALTER COLUMN allow_overlap SET DEFAULT false;

-- Two sessions of one class, or in one room, do not overlap, unless one of them says that it may. A session takes its
-- planned time; once it is over, no longer than it lasted.
CREATE EXTENSION IF NOT EXISTS btree_gist;
ALTER TABLE sessions
    ADD CONSTRAINT sessions_one_of_a_class EXCLUDE USING gist (
        class_id WITH =,
        tstzrange(starts_at, greatest(starts_at, coalesce(ended_at, ends_at))) WITH &&
    ) WHERE (NOT allow_overlap AND state <> 'cancelled'),
    ADD CONSTRAINT sessions_one_in_a_room EXCLUDE USING gist (
        lower(room) WITH =,
        tstzrange(starts_at, greatest(starts_at, coalesce(ended_at, ends_at))) WITH &&
    ) WHERE (NOT allow_overlap AND state <> 'cancelled' AND room IS NOT NULL);

-- From when to when a session was closed that was opened again: what happened in between does not count.
CREATE TABLE session_pauses (
    -- The request that opened it again.
    request_id   uuid PRIMARY KEY,
    session_id   uuid NOT NULL REFERENCES sessions,
    closed_at    timestamptz NOT NULL,
    reopened_at  timestamptz NOT NULL,
    reopened_by  uuid NOT NULL REFERENCES users,
    reason       text NOT NULL,
    CHECK (reopened_at >= closed_at)
);
CREATE INDEX session_pauses_session ON session_pauses (session_id, closed_at);

-- An absence that is taken back because its session is opened again leaves its history and no record.
ALTER TABLE attendance_history DROP CONSTRAINT attendance_history_attendance_id_fkey;

-- What a class does against codes that are passed on, by validity. Without a row it does nothing.
CREATE TABLE class_protections (
    class_id          uuid NOT NULL REFERENCES classes,
    valid_from        timestamptz NOT NULL,
    valid_to          timestamptz,
    -- Where scans must come from; empty means anywhere.
    allowed_networks  cidr[] NOT NULL,
    -- Where the room is (WGS 84, degrees), and how far from there a phone may be.
    room_latitude     double precision CHECK (room_latitude BETWEEN -90 AND 90),
    room_longitude    double precision CHECK (room_longitude BETWEEN -180 AND 180),
    room_radius_m     integer CHECK (room_radius_m > 0),
    -- What becomes of a scan without a usable position where there is a room to be near to.
    without_position  text NOT NULL CHECK (without_position IN ('accept', 'refuse', 'review')),
    -- What becomes of the scan of a second student from one device.
    shared_device     text NOT NULL CHECK (shared_device IN ('accept', 'refuse', 'review')),
    PRIMARY KEY (class_id, valid_from),
    CHECK (valid_to > valid_from),
    CHECK (num_nonnulls(room_latitude, room_longitude, room_radius_m) IN (0, 3))
);
CREATE UNIQUE INDEX class_protections_current ON class_protections (class_id) WHERE valid_to IS NULL;

-- What was found when scans were held against those rules, where their class has any, whether or not they counted.
CREATE TABLE scan_checks (
    session_id  uuid NOT NULL REFERENCES sessions,
    scan_id     uuid NOT NULL,
    student_id  uuid NOT NULL REFERENCES users,
    -- The device that the scan came from, if that is known.
    device_id   uuid,
    -- Whether the scan was not refused.
    counts      boolean NOT NULL,
    found       jsonb NOT NULL,
    PRIMARY KEY (session_id, scan_id)
);
CREATE INDEX scan_checks_device ON scan_checks (session_id, device_id, student_id) WHERE counts;
