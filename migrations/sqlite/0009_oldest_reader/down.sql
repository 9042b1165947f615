DROP TABLE oldest_reader;
