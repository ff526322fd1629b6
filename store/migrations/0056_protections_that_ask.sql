-- What becomes of a scan from elsewhere or from far away is for the class to say, as it is of the other doubts: it counts, a
-- person decides, or it is refused, which is what was done so far. Written by the api only.
ALTER TABLE class_protections
    ADD COLUMN outside_networks text NOT NULL DEFAULT 'refuse' CHECK (outside_networks IN ('accept', 'review', 'refuse')),
    ADD COLUMN too_far text NOT NULL DEFAULT 'refuse' CHECK (too_far IN ('accept', 'review', 'refuse'));
