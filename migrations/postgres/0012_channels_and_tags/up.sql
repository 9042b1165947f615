-- a JSON list of strings
ALTER TABLE endpoints ADD COLUMN channels TEXT;

-- Channels and tags of events, which most events have none of.
CREATE TABLE event_labels (
    event_id BIGINT NOT NULL,
    -- 0: channel; 1: tag
    kind SMALLINT NOT NULL,
    -- in the order in which they were published
    place SMALLINT NOT NULL,
    organization_id BIGINT NOT NULL,
    label TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (event_id, kind, place)
);
-- events and deliveries with a tag; unique, so that they are read in order without sorting
CREATE UNIQUE INDEX event_labels_tag ON event_labels (organization_id, label, event_id) WHERE kind = 1;
