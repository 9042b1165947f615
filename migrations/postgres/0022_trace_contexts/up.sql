-- The trace that a publisher sent with the event (W3C): its `traceparent`, and after a space its `tracestate`.
ALTER TABLE events ADD COLUMN trace TEXT COLLATE "C";
