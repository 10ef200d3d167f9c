package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5"
)

// function is a public function, field a parameter of it, a column of its result or of a table, or a label of an enum.
type function struct {
	name    string
	result  string
	says    comment
	params  []field
	columns []field
}

type field struct {
	name, kind, meaning string
	fallback            string // the default; empty: none
}

// relation is a table, a view or a type.
type relation struct {
	name, does string
	fields     []field
}

type catalog struct {
	functions map[string]*function
	relations map[string]*relation // by "table name", "view name" or "type name"
}

func readCatalog(ctx context.Context, conn *pgx.Conn) (catalog, error) {
	functions, err := readFunctions(ctx, conn)
	if err != nil {
		return catalog{}, fmt.Errorf("read functions: %w", err)
	}
	relations, err := readRelations(ctx, conn)
	if err != nil {
		return catalog{}, fmt.Errorf("read tables, views and types: %w", err)
	}
	return catalog{functions, relations}, nil
}

// Public is what runs with its owner's rights and is no trigger of a table of ours; sql/tests/conventions.sql holds that against a list.
const functionsSQL = `
select
    p.proname, coalesce(obj_description(p.oid, 'pg_proc'), ''), pg_get_function_result(p.oid),
    coalesce(a.name, ''), coalesce(a.mode, 'i'), coalesce(format_type(a.type, null), ''),
    coalesce(pg_get_function_arg_default(p.oid, a.n::integer), '')
from pg_proc p
left join lateral unnest(p.proargnames, p.proargmodes::text[], coalesce(p.proallargtypes, p.proargtypes::oid[]))
    with ordinality a(name, mode, type, n) on true
where p.pronamespace = quote_ident(current_schema())::regnamespace and p.prosecdef and not exists (select from pg_trigger t where t.tgfoid = p.oid)
order by p.proname, a.n`

func readFunctions(ctx context.Context, conn *pgx.Conn) (map[string]*function, error) {
	functions := map[string]*function{}
	var name, text, result, arg, mode, kind, fallback string
	rows, err := conn.Query(ctx, functionsSQL)
	if err != nil {
		return nil, err
	}
	_, err = pgx.ForEachRow(rows, []any{&name, &text, &result, &arg, &mode, &kind, &fallback}, func() error {
		f := functions[name]
		if f == nil {
			f = &function{name: name, result: plainType(result)}
			functions[name] = f
			var err error
			if f.says, err = parseComment(text); err != nil {
				return fmt.Errorf("comment of %s: %w", name, err)
			}
		}
		if arg == "" {
			return nil
		}
		a := field{name: arg, kind: plainType(kind), meaning: f.says.items[arg], fallback: plainDefault(fallback)}
		if a.meaning == "" {
			return fmt.Errorf("comment of %s: it does not describe %s", name, arg)
		}
		if mode == "i" {
			f.params = append(f.params, a)
		} else {
			f.columns = append(f.columns, a)
		}
		return nil
	})
	return functions, err
}

// Tables, views, composite types and enums, a row for each column or label.
const relationsSQL = `
select
    case c.relkind when 'c' then 'type ' when 'v' then 'view ' else 'table ' end || c.relname,
    coalesce(obj_description(case c.relkind when 'c' then c.reltype else c.oid end,
                             case c.relkind when 'c' then 'pg_type' else 'pg_class' end), ''),
    a.attname, format_type(a.atttypid, a.atttypmod), coalesce(col_description(c.oid, a.attnum), ''), a.attnum::real as n
from pg_class c
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where c.relnamespace = quote_ident(current_schema())::regnamespace and c.relkind in ('r', 'v', 'c')
union all
select 'type ' || t.typname, coalesce(obj_description(t.oid, 'pg_type'), ''), e.enumlabel, '', '', e.enumsortorder
from pg_type t
join pg_enum e on e.enumtypid = t.oid
where t.typnamespace = quote_ident(current_schema())::regnamespace
order by 1, n`

func readRelations(ctx context.Context, conn *pgx.Conn) (map[string]*relation, error) {
	relations := map[string]*relation{}
	var name, text, column, kind, meaning string
	var n float32
	rows, err := conn.Query(ctx, relationsSQL)
	if err != nil {
		return nil, err
	}
	_, err = pgx.ForEachRow(rows, []any{&name, &text, &column, &kind, &meaning, &n}, func() error {
		says, err := parseComment(text)
		if err != nil {
			return fmt.Errorf("comment of %s: %w", name, err)
		}
		r := relations[name]
		if r == nil {
			r = &relation{name: strings.Fields(name)[1], does: says.does}
			relations[name] = r
		}
		if kind == "" {
			meaning = says.items[column]
		}
		r.fields = append(r.fields, field{name: column, kind: plainType(kind), meaning: meaning})
		return nil
	})
	return relations, err
}

func (r *relation) complete() error {
	for _, f := range r.fields {
		if f.meaning == "" {
			return errors.New(r.name + "." + f.name + " has no comment")
		}
	}
	return nil
}

var (
	castEnd   = regexp.MustCompile(`::[a-z_ ]+(\[\])?$`)
	typeWords = strings.NewReplacer("timestamp with time zone", "timestamptz", "SETOF ", "setof ", "TABLE(", "table(")
)

func plainType(kind string) string { return typeWords.Replace(kind) }

func plainDefault(expression string) string { return castEnd.ReplaceAllString(expression, "") }
