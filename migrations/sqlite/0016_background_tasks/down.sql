ALTER TABLE organizations DROP COLUMN tokens_end_at;
ALTER TABLE organizations DROP COLUMN tokens_ending_before;
DROP TABLE svix_tasks;
