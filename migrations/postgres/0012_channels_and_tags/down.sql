DROP TABLE event_labels;
ALTER TABLE endpoints DROP COLUMN channels;
