with o as (insert into app.orders (customer_id, total) select 'c' || (1 + i % 40), i + 0.5 from generate_series(1, 300) i returning id),
p as (insert into app.people (id, team) select i, 1 + i % 5 from generate_series(1, 25) i),
r as (insert into app.readings (id, device, value) select md5($1 || 'r' || i)::uuid::text, md5($1 || (1 + i % 20))::uuid, i from generate_series(1, 100) i)
insert into app.a_lines (order_id, line, day, note) select id, l, date '2024-12-25' + l, null from o, generate_series(1, 12) l
