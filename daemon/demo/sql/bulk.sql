-- Rows :first to :last of the bulk table; what a row holds depends on its batch alone, not on how many there are.
SET ROLE shop_owner;
SET TimeZone = 'UTC';
SELECT setseed(1.0 / :batch);
INSERT INTO analytics.page_views
SELECT
    n,
    timestamptz '2024-06-01 00:00:00+00' + n * interval '1.7 seconds' + random() * interval '1.5 seconds',
    md5((n / 2)::text),
    CASE WHEN n % 3 > 0 THEN 1 + (random() * 1999)::int END,
    ('172.16.' || n % 64 || '.' || (random() * 255)::int)::inet,
    (ARRAY['/products/SKU-', '/basket/add/SKU-', '/search?near=SKU-', '/reviews/SKU-'])[1 + (random() * 3)::int]
        || lpad((1 + (random() * 299)::int)::text, 5, '0'),
    CASE WHEN n % 4 = 0 THEN 'https://search.example/?q=' || (ARRAY['oak+chair', 'tin+box', 'steel+lamp'])[1 + (random() * 2)::int] END,
    (ARRAY[
        'Firefox/128.0 (X11; Linux x86_64)',
        'Safari/605.1.15 (Macintosh; Intel Mac OS X 14_5)',
        'Chrome/126.0.0.0 (Windows NT 10.0; Win64; x64)',
        'Chrome/126.0.0.0 Mobile (Linux; Android 14; Pixel 8)'
    ])[1 + (random() * 3)::int],
    (ARRAY[200, 200, 200, 200, 200, 200, 304, 302, 404, 500])[1 + (random() * 9)::int],
    random() * 800,
    ('{"ab": ' || (random() * 3)::int || ', "trace": "' || md5((n * 7919)::text) || '", "span": "' || left(md5((n * 104729)::text), 16)
        || '", "scroll": ' || (random() * 100)::int || '}')::jsonb
FROM generate_series(:first::bigint, :last::bigint) AS n;
