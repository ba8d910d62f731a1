-- Made by the server, and the same every time: the random generator is seeded, and no value comes from the clock.
SET ROLE shop_owner;
SET TimeZone = 'UTC';
SELECT setseed(0.42);

INSERT INTO shop.customers (name, email, birthday, address, phones, preferences, photo, last_ip, token, balance, created_at, updated_at)
SELECT
    (ARRAY['Ada', 'Bjørn', 'Chloë', 'Дмитрий', 'Elif', 'Fatima', 'Grzegorz', 'Hélène', '陽子', 'José'])[1 + (random() * 9)::int]
        || ' ' || (ARRAY['Novák', 'Müller', 'O''Brien', 'Ørsted', 'García', 'Smith', '佐藤', 'Ivanova'])[1 + (random() * 7)::int],
    'customer' || n || '@example.' || (ARRAY['com', 'org', 'net'])[1 + n % 3],
    CASE WHEN n % 5 > 0 THEN date '1940-01-01' + (random() * 25000)::int END,
    CASE WHEN n % 7 > 0 THEN
        ROW('Road ' || (random() * 300)::int, lpad((random() * 99999)::int::text, 5, '0'), 'Town, "the ' || n % 90 || 'th"', 'DE')::shop.address
    END,
    array_fill('+49 30 ' || (random() * 9999999)::int::text, ARRAY[n % 3]),
    CASE WHEN n % 4 > 0 THEN jsonb_build_object('newsletter', n % 2 = 0, 'theme', NULL, 'seen', jsonb_build_array(n, n / 7.0, 'ü')) END,
    CASE WHEN n % 10 = 0 THEN decode(repeat(md5(random()::text), 40 + n % 50), 'hex') END,
    ('10.' || n % 200 || '.' || (random() * 255)::int || '.' || (random() * 255)::int)::inet,
    md5(random()::text)::uuid,
    CASE WHEN n % 6 > 0 THEN (random() * 20000 - 5000)::numeric(14, 4) END,
    timestamptz '2019-03-31 00:30:00+00' + n * interval '23 minutes 17.123456 seconds',
    timestamptz '2024-01-01 00:00:00+00' + n * interval '1 minute'
FROM generate_series(1, 2000) AS n;

INSERT INTO shop.products (sku, name, description, price, usual, attributes, dimensions_mm, weight_kg)
SELECT
    'SKU-' || lpad(n::text, 5, '0'),
    (ARRAY['Steel', 'Oak', 'Linen', 'Tin', 'Glass'])[1 + (random() * 4)::int] || ' '
        || (ARRAY['lamp', 'chair', 'kettle', 'box', 'clock', 'bench'])[1 + (random() * 5)::int] || ' ' || n,
    CASE WHEN n % 3 > 0 THEN repeat('Made to last, and mended for free. ', 1 + n % 9) END,
    (random() * 900 + 1)::numeric(12, 2),
    CASE WHEN n % 4 > 0 THEN shop.price_range((n % 50)::numeric, (n % 50 + random() * 100)::numeric(8, 2), '[)') END,
    jsonb_build_object('colour', (ARRAY['red', 'green', 'grey'])[1 + n % 3], 'stock', (random() * 500)::int),
    ARRAY[ARRAY[n, n * 2], ARRAY[n * 3, n * 4]],
    random() * 30
FROM generate_series(1, 300) AS n;

INSERT INTO shop.orders (customer_id, status, history, placed_at, promised, delivery, remark)
SELECT
    1 + (random() * 1999)::int,
    (enum_range(NULL::shop.order_status))[1 + n % 5],
    (enum_range(NULL::shop.order_status))[1:1 + n % 5],
    timestamp '2024-01-01 00:00:00' + n * interval '71 minutes 3.5 seconds',
    CASE WHEN n % 3 > 0 THEN make_interval(days => n % 20, secs => random() * 86400) END,
    CASE WHEN n % 4 = 0 THEN tstzrange(timestamptz '2024-01-02 08:00:00+00' + n * interval '1 hour', NULL, '[)') END,
    CASE WHEN n % 11 = 0 THEN E'ring twice;\tthen\nleave at the door \\ thanks' END
FROM generate_series(1, 6000) AS n;

INSERT INTO shop.order_lines (order_id, line_no, sku, quantity, unit_price)
SELECT 10000 + o, l, 'SKU-' || lpad((1 + (random() * 299)::int)::text, 5, '0'), 1 + (random() * 9)::int, (random() * 900)::numeric(12, 2)
FROM generate_series(1, 6000) AS o, generate_series(1, 1 + o % 4) AS l;

INSERT INTO shop.employees
SELECT n, 'Employee ' || n, CASE WHEN n > 1 THEN n / 2 END, date '2001-02-03' + n * 31 FROM generate_series(1, 40) AS n;

INSERT INTO "ware house"."Größe & 価格"
SELECT 'Fach ' || n, nullif(n % 9, 0), 'say "' || n || '"', 'a column named like an alias' FROM generate_series(1, 120) AS n;
INSERT INTO "ware house".pallets (label, during)
SELECT 'pallet ' || n, tsrange(timestamp '2024-05-01' + n * interval '1 day', timestamp '2024-05-01 12:00' + n * interval '1 day')
FROM generate_series(1, 60) AS n;
INSERT INTO "ware house".cold_pallets (label, kept_at_celsius) SELECT 'cold ' || n, -20 + n / 10.0 FROM generate_series(1, 25) AS n;

INSERT INTO analytics.edge_cases (what, number, float8, float4, moment, span, bytes, bits, verbatim, words, network, machine, place) VALUES
    ('nothing at all', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
    ('', 0, '-0', '-0', 'epoch', '0', '', '', '""', '{}', '::/0', '00:00:00:00:00:00', '(0,0)'),
    ('not numbers', 'NaN', 'NaN', 'NaN', 'infinity', '-178000000 years', '\x00', B'0', 'null', '{NULL,"NULL",""}', '10.0.0.0/8', 'ff:ff:ff:ff:ff:ff', '(-0,1e-300)'),
    ('endless', '123456789012345678901234567890.123456789012345678901234567890', 'Infinity', '-Infinity', '-infinity', '1 mon -1 day 00:00:00.000001', decode(repeat('00ff0a0d5c', 50), 'hex'), B'1010101', '{"a":1,  "a":2}', ARRAY['a,b', '{x}', E'\\', '"'], 'fe80::/10', '08:00:2b:01:02:03', '(1e300,-1e300)'),
    ('small', '0.0000000000000000000000000000000001', 5e-324, 1e-45, '4713-01-01 00:00:00+00 BC', '-00:00:00.000001', '\x5c2e0a', repeat('10', 35)::bit(70), '[9007199254740993, 1.10]', ARRAY[E'\n', E'\t', E'\r'], '192.0.2.1/32', '00:00:5e:00:53:01', '(3.14,2.72)'),
    ('large', '-99999999999999999999999999999999999999', 1.7976931348623157e308, 3.4e38, '294276-12-31 23:59:59.999999+00', '178000000 years', sha256('x'), B'1', '"\u00e9\ud83d\ude00"', ARRAY['ß', 'ẞ'], '2001:db8::/32', '00:00:5e:00:53:ff', '(0.1,0.2)'),
    (E'\\.', 1, 0.1, 0.1, '2024-03-31 01:59:59.999999+01', '24:00:00', '\x5c', NULL, '{}', ARRAY[E'\\N', '\N'], NULL, NULL, NULL);
INSERT INTO analytics.edge_cases (what, words)
SELECT 'every character of Latin-1 but NUL', array_agg(chr(n)) FROM generate_series(1, 255) AS n;
INSERT INTO analytics.edge_cases (what, bytes)
SELECT 'every byte', decode(string_agg(lpad(to_hex(n), 2, '0'), ''), 'hex') FROM generate_series(0, 255) AS n;
INSERT INTO analytics.edge_cases (what) VALUES (repeat('a long one; ', 20000));

INSERT INTO analytics.writing VALUES
    (1, 'emoji', '🔐💾📦', 'ok'),
    (2, 'emoji, joined and coloured', '👩🏽‍🚀👨‍👩‍👧‍👦🏳️‍🌈🇪🇺', NULL),
    (3, 'right to left', 'النسخ الاحتياطي — גיבוי', ' pad  '),
    (4, 'composed', U&'\00e9\00f1\1ec7', 'é'),
    (5, 'decomposed, which looks the same', U&'e\0301n\0303e\0323\0302', 'é'),
    (6, 'stacked', U&'Z\0351\036b\0343a\0321\030a\033al\0334\0308\031cg\0337\0311\031eo\0321\0304\033b', ''),
    (7, 'Han, Kana, Hangul', '備份 バックアップ 백업 𠜎𠜱𠝹', '備份'),
    (8, 'invisible', U&'a\200bb\200cc\200dd\00ade\feff', U&'\00a0'),
    (9, 'direction marks', U&'\202eesrever\202c \2066isolated\2069', NULL),
    (10, 'beyond the first plane, and at the ends', U&'\+01d54f\+010000\+10fffd\e000\fffd', NULL),
    (11, 'casing', 'İIıi ẞß ﬁ Ǆǅǆ Σσς', NULL),
    (12, 'Indic and Thai', 'बैकअप ব্যাকআপ การสำรองข้อมูล', NULL);

INSERT INTO analytics.without_columns DEFAULT VALUES;
INSERT INTO analytics.without_columns DEFAULT VALUES;
INSERT INTO analytics.twins SELECT n % 3, CASE WHEN n % 2 = 0 THEN 'same' END FROM generate_series(1, 30) AS n;
INSERT INTO analytics.cache SELECT 'page ' || n, repeat(md5(n::text), 10) FROM generate_series(1, 100) AS n;

SELECT setval('shop.invoice_number', 1777, true);
SELECT nextval('shop.countdown'), nextval('shop.countdown');

-- Large objects, under numbers of our choice, from empty to several pages.
SELECT lo_from_bytea(700000 + n, decode(repeat(md5('large object ' || n), n * n * 300), 'hex')) FROM generate_series(0, 7) AS n;
COMMENT ON LARGE OBJECT 700003 IS 'The scanned contract';
GRANT SELECT ON LARGE OBJECT 700003, 700004 TO shop_reader;
