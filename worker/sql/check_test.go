package sql

import (
	"reflect"
	"testing"

	"github.com/jackc/pgx/v5"
)

func TestParseName(t *testing.T) {
	tests := []struct {
		text string
		want pgx.Identifier
	}{
		{"bill", pgx.Identifier{"bill"}},
		{" App.Bill_2$(jsonb) ", pgx.Identifier{"app", "bill_2$"}},
		{`"App"."Bill it"`, pgx.Identifier{"App", "Bill it"}},
		{`app."a.b""c"`, pgx.Identifier{"app", `a.b"c`}},
		{"Übung", pgx.Identifier{"Übung"}},
		{"", nil},
		{"app.", nil},
		{".bill", nil},
		{"a.b.c", nil},
		{"app bill", nil},
		{"1st", nil},
		{`""`, nil},
		{`"bill`, nil},
		{`"a"b`, nil},
		{"bill(); drop table x", nil},
		{"bill(text)", nil},
	}
	for _, test := range tests {
		got, err := parseName(test.text)
		if !reflect.DeepEqual(got, test.want) || (err == nil) != (test.want != nil) {
			t.Errorf("%q: got %q, %v; want %q", test.text, got, err, test.want)
		}
	}
}
