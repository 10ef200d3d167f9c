package sql

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/jackc/pgx/v5"
)

// ErrFunction: a function is not there, or is not one that a handler can call.
var ErrFunction = errors.New("function cannot be called")

// asker is the part of *pgxpool.Pool that Check needs.
type asker interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// Check asks the database whether each function is there and can be called. It returns ErrFunction for those that cannot,
// all of them named; any other error means that the database was not asked.
func Check(ctx context.Context, db asker, names ...string) error {
	var signatures []string
	var faults []error
	for _, name := range names {
		identifier, err := parseName(name)
		if err != nil {
			faults = append(faults, fmt.Errorf("%w: %w", ErrFunction, err))
			continue
		}
		signatures = append(signatures, identifier.Sanitize()+"(jsonb)")
	}
	rows, err := db.Query(ctx, `
		select s.signature, case
			when p.oid is null then 'does not exist with search_path ' || current_setting('search_path')
			when p.prokind <> 'f' then 'is no plain function'
			when p.proretset then 'returns a set'
			when not has_function_privilege(p.oid, 'execute') then 'may not be executed by ' || current_user
		end
		from unnest($1::text[]) with ordinality as s (signature, place)
		left join pg_proc p on p.oid = to_regprocedure(s.signature)
		order by s.place`, signatures)
	if err != nil {
		return fmt.Errorf("check functions: %w", err)
	}
	var signature string
	var fault *string
	_, err = pgx.ForEachRow(rows, []any{&signature, &fault}, func() error {
		if fault != nil {
			faults = append(faults, fmt.Errorf("%w: %s %s", ErrFunction, signature, *fault))
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("check functions: %w", err)
	}
	return errors.Join(faults...)
}

// parseName reads a name as SQL does: without quotes in lower case, with quotes as it is. The type of the argument may
// follow it.
func parseName(text string) (pgx.Identifier, error) {
	fault := fmt.Errorf("%q is not the name of a function, as in bill or app.bill", text)
	rest := strings.TrimSuffix(strings.TrimSpace(text), "(jsonb)")
	var name pgx.Identifier
	for {
		part, after, ok := cutPart(rest)
		if !ok {
			return nil, fault
		}
		name = append(name, part)
		if after == "" {
			break
		}
		if rest, ok = strings.CutPrefix(after, "."); !ok || len(name) == 2 {
			return nil, fault
		}
	}
	return name, nil
}

// cutPart takes one identifier from the front.
func cutPart(text string) (part, rest string, ok bool) {
	if quoted, isQuoted := strings.CutPrefix(text, `"`); isQuoted {
		for {
			before, after, found := strings.Cut(quoted, `"`)
			if part += before; !found {
				return "", "", false
			}
			if quoted, found = strings.CutPrefix(after, `"`); !found {
				return part, after, part != "" && !strings.Contains(part, "\x00")
			}
			part += `"`
		}
	}
	end := strings.IndexFunc(text, func(c rune) bool { return !isWord(c) })
	if end < 0 {
		end = len(text)
	}
	part = text[:end]
	if part == "" || part[0] == '$' || part[0] >= '0' && part[0] <= '9' {
		return "", "", false
	}
	return strings.Map(lower, part), text[end:], true
}

func isWord(c rune) bool {
	return c == '_' || c == '$' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c > unicode.MaxASCII
}

// lower leaves other letters than those of ASCII alone, as PostgreSQL does.
func lower(c rune) rune {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
