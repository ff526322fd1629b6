-- Why a kept scan is in doubt, if it is: then it is no evidence, and what is asked about it follows from what is kept. Written by
-- the attendance worker only.
ALTER TABLE kept_scans ADD COLUMN doubt text;
