package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

// show prints the rows of a query and counts them: a table for people, or with --json an array of objects, with the
// columns' names and in their order.
func (d *database) show(ctx context.Context, out io.Writer, options *options, sql string, args ...any) (count int, err error) {
	if options.json {
		return d.showJSON(ctx, out, `select coalesce(json_agg(row_to_json(q)), '[]')::text as rows, count(*) from (`+sql+`) q`, args)
	}
	rows, err := d.conn.Query(ctx, d.qualified(sql), append([]any{pgx.QueryResultFormats{pgx.TextFormatCode}}, args...)...)
	if err != nil {
		return 0, told(err)
	}
	defer rows.Close()
	var lines strings.Builder // a refusal comes with the rows: nothing is printed before
	table := tabwriter.NewWriter(&lines, 0, 0, 2, ' ', 0)
	fields := rows.FieldDescriptions()
	cells := make([]string, len(fields))
	for i, field := range fields {
		cells[i] = strings.ToUpper(strings.ReplaceAll(field.Name, "_", " "))
	}
	fmt.Fprintln(table, strings.Join(cells, "\t"))
	for ; rows.Next(); count++ {
		for i, raw := range rows.RawValues() {
			cells[i] = cell(fields[i], string(raw))
		}
		fmt.Fprintln(table, strings.Join(cells, "\t"))
	}
	if rows.Err() != nil || count == 0 {
		return 0, told(rows.Err())
	}
	if err := table.Flush(); err != nil {
		return 0, err
	}
	_, err = io.WriteString(out, lines.String())
	return count, err
}

// showOne prints the one row of a query: a line for each column, or with --json one object.
func (d *database) showOne(ctx context.Context, out io.Writer, options *options, sql string, args ...any) error {
	if options.json {
		_, err := d.showJSON(ctx, out, `select row_to_json(q)::text, 1 from (`+sql+`) q`, args)
		return err
	}
	rows, err := d.conn.Query(ctx, d.qualified(sql), append([]any{pgx.QueryResultFormats{pgx.TextFormatCode}}, args...)...)
	if err != nil {
		return told(err)
	}
	lines, err := pgx.CollectExactlyOneRow(rows, func(row pgx.CollectableRow) (string, error) {
		var lines strings.Builder
		table := tabwriter.NewWriter(&lines, 0, 0, 2, ' ', 0)
		fields := row.FieldDescriptions()
		for i, raw := range row.RawValues() {
			if raw != nil {
				fmt.Fprintf(table, "%s\t%s\n", strings.ReplaceAll(fields[i].Name, "_", " "), readable(fields[i], string(raw)))
			}
		}
		err := table.Flush()
		return lines.String(), err
	})
	if err != nil {
		return told(err)
	}
	_, err = io.WriteString(out, lines)
	return err
}

func (d *database) showJSON(ctx context.Context, out io.Writer, sql string, args []any) (count int, err error) {
	rows, err := d.conn.Query(ctx, d.qualified(sql), args...)
	if err != nil {
		return 0, told(err)
	}
	answer, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[struct {
		Text  string
		Count int
	}])
	if err != nil {
		return 0, told(err)
	}
	_, err = fmt.Fprintln(out, answer.Text)
	return answer.Count, err
}

// maxCell is how many characters of a value a table shows.
const maxCell = 60

// cell is a value in a table: one line, and not too long.
func cell(field pgconn.FieldDescription, text string) string {
	text = strings.Join(strings.Fields(readable(field, text)), " ")
	if runes := []rune(text); len(runes) > maxCell {
		text = string(runes[:maxCell-1]) + "…"
	}
	return text
}

// readable is a value for a person: a time to the second, and nothing that would command a terminal.
func readable(field pgconn.FieldDescription, text string) string {
	if field.DataTypeOID == pgtype.TimestamptzOID {
		if point := strings.IndexByte(text, '.'); point > 0 {
			rest := strings.TrimLeft(text[point+1:], "0123456789")
			text = text[:point] + rest
		}
	}
	return strings.Map(func(c rune) rune {
		if unicode.IsControl(c) && c != '\n' {
			return ' '
		}
		return c
	}, text)
}
