-- Signatures that an older version had: dropped, for there are no overloads.
drop function if exists procrastinate_fill_template(text, jsonb);
