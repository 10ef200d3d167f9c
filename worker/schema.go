package worker

import (
	"cmp"
	"context"
	"fmt"
	"strings"
)

// CheckSchema returns nil if the schema has the tables and functions of this version; an empty one is whatever
// search_path finds. Else the error, which is ErrSchema unless the database did not answer or the role may not
// look, says what to do.
func CheckSchema(ctx context.Context, db querier, schema string) error {
	version, err := version(ctx, db, schema)
	switch {
	case isMissing(err) && schema == "":
		return &schemaError{"nothing is installed in search_path (name the schema if it is in another)", schema, err}
	case isMissing(err):
		return &schemaError{fmt.Sprintf("schema %q is not installed", schema), schema, err}
	case isForbidden(err):
		return fmt.Errorf("check schema: %w (the role needs usage on the schema and execute on its functions)", err)
	case err != nil:
		return fmt.Errorf("check schema: %w", err)
	case IsNewer(version):
		return fmt.Errorf("%w: the functions are of version %s, newer than this program's %s: update the program", ErrSchema, version, Version)
	case version != Version:
		reason := fmt.Sprintf("the functions are of version %s, this program of %s", cmp.Or(version, "unknown"), Version)
		return &schemaError{reason, schema, nil}
	default:
		return nil
	}
}

// isMissing: the schema, table or function asked for does not exist.
func isMissing(err error) bool {
	switch sqlstate(err) {
	case "3F000", "42P01", "42883":
		return true
	default:
		return false
	}
}

// isForbidden: the role may not do what it asked for.
func isForbidden(err error) bool { return sqlstate(err) == "42501" }

// schemaError is an ErrSchema that says what to run instead.
type schemaError struct {
	reason string
	schema string
	cause  error // nil if the database answered
}

func (e *schemaError) Error() string {
	command := "procrastinate migrate"
	if e.schema != "" {
		command += " --schema " + shellWord(e.schema)
	}
	return fmt.Sprintf(`%s; run "%s"`, e.reason, command)
}

func (e *schemaError) Unwrap() []error {
	if e.cause == nil {
		return []error{ErrSchema}
	}
	return []error{ErrSchema, e.cause}
}

// shellWord quotes a word that a shell would not take as it is.
func shellWord(word string) string {
	isPlain := func(c rune) bool {
		return c == '_' || c == '-' || c == '.' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
	}
	if strings.IndexFunc(word, func(c rune) bool { return !isPlain(c) }) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
