-- Why the questions were put that a person has answered with no: what they looked at is not put before them again. Written by the
-- attendance worker only.
ALTER TABLE reviews ADD COLUMN rejected text[] NOT NULL DEFAULT '{}';
UPDATE reviews SET rejected = ARRAY[reason] WHERE resolution IN ('rejected', 'reassigned');
