-- Who did what: appended to, never changed, each line chained to the one before. Written by the api and by the command
-- line. See docs/adr/0012.

CREATE TABLE audit_entries (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at               timestamptz NOT NULL,
    actor_kind       text NOT NULL CHECK (actor_kind IN ('user', 'api_key', 'anonymous', 'system', 'cli')),
    actor_id         uuid,
    -- A noun and what was done to it, such as `camera.created`; the target is of that noun.
    action           text NOT NULL,
    outcome          text NOT NULL CHECK (outcome IN ('done', 'refused')),
    target_kind      text NOT NULL,
    target_id        text,
    -- Refusals of one caller on one route within a minute are one line.
    occurrences      integer NOT NULL CHECK (occurrences > 0),
    request_id       text,
    trace_id         text,
    -- SHA-256 of the salt and the text of the details: they can be erased and the chain still holds.
    details_sha256   bytea,
    -- The place in the chain, given once, after the commit.
    position         bigint,
    previous_sha256  bytea,
    sha256           bytea,
    CHECK ((actor_id IS NULL) = (actor_kind IN ('anonymous', 'system', 'cli'))),
    CHECK ((position IS NULL) = (sha256 IS NULL) AND (position IS NULL) = (previous_sha256 IS NULL))
);
CREATE UNIQUE INDEX audit_entries_chain ON audit_entries (position);
CREATE INDEX audit_entries_unchained ON audit_entries (id) WHERE position IS NULL;
CREATE INDEX audit_entries_at ON audit_entries (at, id);
CREATE INDEX audit_entries_actor ON audit_entries (actor_id, at, id);
CREATE INDEX audit_entries_action ON audit_entries (action, at, id);
CREATE INDEX audit_entries_target ON audit_entries (target_kind, target_id, at, id);

-- Where from, and what it was before and after. Personal values are here and nowhere else, so that they can be erased.
CREATE TABLE audit_details (
    entry_id  bigint PRIMARY KEY REFERENCES audit_entries,
    salt      bytea NOT NULL,
    details   text NOT NULL
);

CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END
$$;

CREATE FUNCTION allow_only_chaining() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.position IS NULL AND NEW.position IS NOT NULL
       AND to_jsonb(NEW) - ARRAY['position', 'previous_sha256', 'sha256']
           = to_jsonb(OLD) - ARRAY['position', 'previous_sha256', 'sha256'] THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'audit_entries is append-only' USING ERRCODE = 'restrict_violation';
END
$$;

CREATE TRIGGER audit_entries_chaining BEFORE UPDATE ON audit_entries
    FOR EACH ROW EXECUTE FUNCTION allow_only_chaining();
CREATE TRIGGER audit_entries_kept BEFORE DELETE ON audit_entries
    FOR EACH ROW EXECUTE FUNCTION refuse_audit_change();
CREATE TRIGGER audit_entries_not_emptied BEFORE TRUNCATE ON audit_entries
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();
-- Deleting details is how they are erased.
CREATE TRIGGER audit_details_unchanged BEFORE UPDATE ON audit_details
    FOR EACH ROW EXECUTE FUNCTION refuse_audit_change();
CREATE TRIGGER audit_details_not_emptied BEFORE TRUNCATE ON audit_details
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();

-- Every version of what an administrator configures at run time. The newest is the present one.
CREATE TABLE configurations (
    scope       text NOT NULL CHECK (scope IN ('organisation', 'system')),
    revision    bigint NOT NULL CHECK (revision > 0),
    settings    jsonb NOT NULL,
    valid_from  timestamptz NOT NULL,
    changed_by  uuid NOT NULL REFERENCES users,
    PRIMARY KEY (scope, revision)
);
