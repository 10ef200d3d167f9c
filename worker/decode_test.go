package worker

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

// wireRow is a row as it comes from the server.
type wireRow struct {
	pgx.CollectableRow
	types  *pgtype.Map
	fields []pgconn.FieldDescription
	values [][]byte
	scans  int
}

// newWireRow encodes the values, as text or each in the format that pgx asks for.
func newWireRow(tb testing.TB, text bool, values ...any) *wireRow {
	tb.Helper()
	row := &wireRow{types: pgtype.NewMap()}
	for i, name := range strings.Split(jobColumns, ", ") {
		field := pgconn.FieldDescription{Name: name, DataTypeOID: jobTypes[i], Format: row.types.FormatCodeForOID(jobTypes[i])}
		if text {
			field.Format = pgx.TextFormatCode
		}
		var value []byte
		if values[i] != nil {
			var err error
			if value, err = row.types.Encode(field.DataTypeOID, field.Format, values[i], nil); err != nil {
				tb.Fatal(err)
			}
		}
		row.fields, row.values = append(row.fields, field), append(row.values, value)
	}
	return row
}

func (r *wireRow) FieldDescriptions() []pgconn.FieldDescription { return r.fields }

func (r *wireRow) RawValues() [][]byte { return r.values }

func (r *wireRow) Scan(into ...any) error {
	r.scans++
	return pgx.ScanRow(r.types, r.fields, r.values, into...)
}

var (
	fullValues = []any{
		7, "sum", "default", `{"a": 3}`, 5, "l", 2, 4, pgtype.Interval{Months: 1, Days: 2, Microseconds: 3, Valid: true},
		time.UnixMicro(1_800_000_000_123_456), time.UnixMicro(-1), `{"x": 1}`, nil,
	}
	plainValues   = []any{7, "sum", "default", `{}`, 0, nil, 1, nil, nil, nil, time.Unix(50, 0), nil, nil}
	outcomeValues = []any{7, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, "busy"}
)

// Scan is what pgx makes of it, whatever the format.
func TestDecodingIsThatOfScan(t *testing.T) {
	infinite := slices.Clone(fullValues)
	infinite[9], infinite[10] = pgtype.Timestamptz{InfinityModifier: pgtype.Infinity, Valid: true},
		pgtype.Timestamptz{InfinityModifier: pgtype.NegativeInfinity, Valid: true}
	for name, values := range map[string][]any{
		"a full row": fullValues, "one with NULLs": plainValues, "an outcome": outcomeValues, "the infinite": infinite,
	} {
		for _, text := range []bool{false, true} {
			row := newWireRow(t, text, values...)
			var d decoder
			got, err := d.claimed(row)
			if scanned := row.scans > 0; scanned != text {
				t.Errorf("%s, as text %v: Scan was asked %v", name, text, scanned)
			}
			want, wantErr := scanClaimed(row)
			if err != nil || wantErr != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%s, as text %v: got %+v, %v; want %+v, %v", name, text, got.job, err, want.job, wantErr)
			}
		}
	}
}

func TestDecodingKeepsNothingOfTheMessage(t *testing.T) {
	row, other := newWireRow(t, false, fullValues...), newWireRow(t, false, plainValues...)
	var d decoder
	got, _ := d.claimed(row)
	for _, value := range row.values {
		clear(value) // pgx reads the next row into the same memory
	}
	again, _ := d.claimed(other)
	want, err := scanClaimed(newWireRow(t, false, fullValues...))
	if err != nil || !reflect.DeepEqual(got, want) || again.job.Task != "sum" {
		t.Errorf("got %+v, want %+v (%v)", got.job, want.job, err)
	}
}

func TestOtherColumnsAreLeftToScan(t *testing.T) {
	row := newWireRow(t, false, fullValues...)
	for name, fields := range map[string][]pgconn.FieldDescription{
		"none": nil, "fewer": row.fields[:12], "JSON in binary": changed(row.fields, func(f *pgconn.FieldDescription) {
			f.Format = pgx.BinaryFormatCode
		}), "another type": changed(row.fields, func(f *pgconn.FieldDescription) { f.DataTypeOID = pgtype.JSONOID }),
	} {
		if isRaw(fields) {
			t.Errorf("%s: taken for what is expected", name)
		}
	}
}

// changed is a copy of the fields with the args changed.
func changed(fields []pgconn.FieldDescription, change func(*pgconn.FieldDescription)) []pgconn.FieldDescription {
	fields = slices.Clone(fields)
	change(&fields[3])
	return fields
}

func BenchmarkDecode(b *testing.B) {
	b.ReportAllocs()
	row := newWireRow(b, false, plainValues...)
	var d decoder
	for b.Loop() {
		if _, err := d.claimed(row); err != nil {
			b.Fatal(err)
		}
	}
}
