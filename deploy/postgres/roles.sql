-- The roles, before the first `delivery migrate`:
--
--   delivery_owner    owns the database and its tables; `delivery migrate` is run as this one
--   delivery_worker   `delivery worker`: may add to the log, not change it
--   delivery_reader   `delivery serve`, `delivery history` and people: may look
--   delivery_announcer  `delivery announce`: only where ANNOUNCER_PASSWORD is set
--
-- What they may do is given by
-- `delivery migrate --worker-role delivery_worker --reader-role delivery_reader`, and for the announcer
-- `--announcer-role delivery_announcer`. The announcer can be added later: its two lines below.
--
-- compose.yaml has the postgres image run this once, on an empty volume. By hand, as a superuser:
--
--   export OWNER_PASSWORD=... WORKER_PASSWORD=... READER_PASSWORD=...
--   psql --dbname postgres --command 'CREATE DATABASE delivery'
--   psql --dbname delivery --set ON_ERROR_STOP=1 --file deploy/postgres/roles.sql
--
-- All or nothing: a password that is not set is a syntax error. psql 15 or newer knows \getenv. Run on a
-- real PostgreSQL 18 by tests/integration/test_deploy_roles.py; not in the postgres image, for want of a
-- Docker engine.

\getenv owner_password OWNER_PASSWORD
\getenv worker_password WORKER_PASSWORD
\getenv reader_password READER_PASSWORD
\getenv announcer_password ANNOUNCER_PASSWORD

BEGIN;
CREATE ROLE delivery_owner LOGIN PASSWORD :'owner_password';
CREATE ROLE delivery_worker LOGIN PASSWORD :'worker_password';
CREATE ROLE delivery_reader LOGIN PASSWORD :'reader_password';

ALTER DATABASE :"DBNAME" OWNER TO delivery_owner;
REVOKE CONNECT, TEMPORARY ON DATABASE :"DBNAME" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"DBNAME" TO delivery_worker, delivery_reader;

\if :{?announcer_password}
CREATE ROLE delivery_announcer LOGIN PASSWORD :'announcer_password';
GRANT CONNECT ON DATABASE :"DBNAME" TO delivery_announcer;
\endif

-- A database that came from PostgreSQL 14 or older lets everybody create functions there.
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT CREATE, USAGE ON SCHEMA public TO delivery_owner;
COMMIT;
