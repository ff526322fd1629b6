-- A class that does not say what it wants to see goes by what the organisation says, as of the event. Nobody could tell those
-- classes apart before: those with what every class began with are taken to have said nothing. Written by the api only.
ALTER TABLE class_settings
    ALTER COLUMN evidence_rule DROP NOT NULL,
    ALTER COLUMN evidence_rule DROP DEFAULT;
UPDATE class_settings SET evidence_rule = NULL WHERE evidence_rule = 'either';
