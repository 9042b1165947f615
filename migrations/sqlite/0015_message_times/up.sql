-- Kind 3 of a label: when the event's first attempts are due; kind 4: when its payload is forgotten. Each a number of
-- milliseconds with 13 digits, and only for events that were published with such a time.
CREATE INDEX event_labels_erase_at ON event_labels (label, event_id) WHERE kind = 4;
