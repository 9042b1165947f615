DROP TABLE svix_notices;
