-- The role that Tidy's processes log in as: it owns nothing, reads and changes rows, and can change
-- no table. Run before each migration, as the owner, by `roles` of docker-compose.yml. It may run any
-- number of times.

\set ON_ERROR_STOP on
\set password `cat /run/secrets/database_password`

-- The password stays out of the server's log, whatever it logs.
SET log_statement = 'none';
SET log_min_duration_statement = -1;
SET log_min_error_statement = 'panic';

SELECT 'CREATE ROLE tidy_app' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'tidy_app') \gexec
ALTER ROLE tidy_app WITH LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS
    PASSWORD :'password';

GRANT USAGE ON SCHEMA public TO tidy_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO tidy_app;
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO tidy_app;
-- And what migrations create from now on.
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO tidy_app;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO tidy_app;
