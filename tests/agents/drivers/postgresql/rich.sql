-- One of everything that a dump may hold.
CREATE EXTENSION pg_trgm;
CREATE EXTENSION hstore;
CREATE SCHEMA app;
CREATE SCHEMA "Odd ""schema";
CREATE TYPE app.state AS ENUM ('new', 'paid', 'shipped');
CREATE DOMAIN app.positive AS int CHECK (VALUE > 0);

CREATE TABLE app.customers (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    email text NOT NULL UNIQUE,
    tags hstore,
    joined timestamptz NOT NULL DEFAULT '2026-01-01T00:00:00Z'
);
INSERT INTO app.customers (email, tags)
SELECT 'person' || i || '@example.org', hstore('n', i::text) FROM generate_series(1, 500) i;
CREATE INDEX customers_email_trgm ON app.customers USING gin (email gin_trgm_ops);

CREATE TABLE app.orders (
    id bigserial PRIMARY KEY,
    customer int NOT NULL REFERENCES app.customers,
    state app.state NOT NULL DEFAULT 'new',
    amount app.positive,
    note text,
    picture bytea
);
INSERT INTO app.orders (customer, state, amount, note, picture)
SELECT 1 + i % 500, (ARRAY['new', 'paid', 'shipped'])[1 + i % 3]::app.state, i, 'ünïcödé "quoted" \back' || chr(10) || i,
       decode(md5(i::text), 'hex')
FROM generate_series(1, 3000) i;

CREATE TABLE "Odd ""schema"."Odd ""table" ("a column" int, "select" text);
INSERT INTO "Odd ""schema"."Odd ""table" VALUES (1, NULL), (2, ''), (3, E'\t\\N');

CREATE TABLE app.events (at date NOT NULL, what text) PARTITION BY RANGE (at);
CREATE TABLE app.events_2025 PARTITION OF app.events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE app.events_2026 PARTITION OF app.events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
INSERT INTO app.events VALUES ('2025-05-05', 'a'), ('2026-06-06', 'b'), ('2026-07-07', 'c');

CREATE SEQUENCE app.counter START 1000 INCREMENT 7;
SELECT nextval('app.counter'), nextval('app.counter'), nextval('app.counter');

CREATE VIEW app.paid AS SELECT * FROM app.orders WHERE state = 'paid';
CREATE MATERIALIZED VIEW app.totals AS
    SELECT customer, sum(amount::bigint) AS total FROM app.orders GROUP BY customer;
CREATE UNIQUE INDEX totals_customer ON app.totals (customer);

CREATE FUNCTION app.double(n int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $f$ BEGIN RETURN n * 2; END $f$;
CREATE FUNCTION app.touch() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN NEW.note := 'touched'; RETURN NEW; END $f$;
CREATE TRIGGER touch BEFORE UPDATE ON app.orders FOR EACH ROW EXECUTE FUNCTION app.touch();

CREATE TABLE app.secrets (owner text, value text);
INSERT INTO app.secrets VALUES ('a', 'x'), ('b', 'y');
ALTER TABLE app.secrets ENABLE ROW LEVEL SECURITY;
ALTER TABLE app.secrets FORCE ROW LEVEL SECURITY;
CREATE POLICY mine ON app.secrets USING (owner = current_user);

CREATE UNLOGGED TABLE app.cache (k text, v text);
INSERT INTO app.cache VALUES ('k', 'v');

SELECT lo_from_bytea(424242, decode(repeat('00ff10', 5000), 'hex'));
SELECT lo_from_bytea(424243, 'second');
COMMENT ON TABLE app.orders IS 'It''s the "orders"';
