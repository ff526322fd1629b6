-- What waits for a webhook that does not answer must not stand before everything else. Written by the attendance worker only.
CREATE INDEX deliveries_due_to_people ON deliveries (due_at) WHERE state = 'waiting' AND recipient_kind <> 'webhook';
CREATE INDEX deliveries_due_to_webhooks ON deliveries (recipient_id, due_at)
    WHERE state = 'waiting' AND recipient_kind = 'webhook';
DROP INDEX deliveries_due;
