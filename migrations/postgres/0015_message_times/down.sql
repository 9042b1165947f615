DROP INDEX event_labels_erase_at;
DELETE FROM event_labels WHERE kind IN (3, 4);
