-- What of a keyed call is committed, and the sign-ins that ended. Written by the api only.

-- Set in the transaction of the call's effect: whoever died before the answer was kept has had the effect all the same.
ALTER TABLE keyed_calls ADD COLUMN is_carried_out boolean NOT NULL DEFAULT false;
UPDATE keyed_calls SET is_carried_out = true WHERE status IS NOT NULL;

-- A log that was lost is told of them again.
CREATE INDEX sign_ins_ended ON sign_ins (ended_at) WHERE ended_at IS NOT NULL;
