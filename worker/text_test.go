package worker

import (
	"errors"
	"math"
	"strings"
	"testing"
)

func TestCleanJSON(t *testing.T) {
	huge := "1" + strings.Repeat("0", 200_000)
	tests := []struct {
		name, in, want string
		cleaned        bool
	}{
		{"plain is left alone", `{"a": [1, 2.5e3, "ü <b>"]}`, `{"a": [1, 2.5e3, "ü <b>"]}`, false},
		{"NUL", `{"a\u0000b": "\u0000"}`, `{"a�b":"�"}`, true},
		{"escaped backslash before u0000", `"\\u0000"`, `"\\u0000"`, true},
		{"lone surrogate", `["\ud800", "\uDC00x"]`, `["�","�x"]`, true},
		{"surrogate pair", `"\ud83d\ude00"`, `"😀"`, true},
		{"invalid UTF-8", "\"a\xffb\"", `"a�b"`, true},
		{"exponent out of range", `[1e999999, -1E+200000, 1e-20000, 1.5e10]`, `[null,null,null,1.5e10]`, true},
		{"exponent that does not fit an int", `1e99999999999999999999`, `null`, true},
		{"largest exponent", `1e131071`, `1e131071`, true},
		{"too many digits", `{"a": ` + huge + `}`, `{"a":null}`, true},
		{"digits in a string", `"e123456 1e99999"`, `"e123456 1e99999"`, true},
	}
	for _, test := range tests {
		got, cleaned, err := cleanJSON([]byte(test.in))
		if err != nil || string(got) != test.want || cleaned != test.cleaned {
			t.Errorf("%s: got %s, %v, %v; want %s, %v", test.name, got, cleaned, err, test.want, test.cleaned)
		}
	}
}

func TestErrorText(t *testing.T) {
	if got, want := errorText(errors.New("a\x00b\xffc")), "a�b�c"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, letter := range []string{"e", "é"} {
		if got, want := errorText(errors.New(strings.Repeat(letter, maxErrorLength+1))), strings.Repeat(letter, maxErrorLength); got != want {
			t.Errorf("got %d bytes of %s, want %d", len(got), letter, len(want))
		}
	}
	if odd := cutText("aé", 2); odd != "a" {
		t.Errorf("got %q, want the whole characters only", odd)
	}
}

func TestEncodeResult(t *testing.T) {
	if got, _, err := encodeResult(nil); got != nil || err != nil {
		t.Errorf("nil: got %v, %v; want nothing to store", got, err)
	}
	if got, _, err := encodeResult(map[string]int{"n": 8}); err != nil || *got != `{"n":8}` {
		t.Errorf("got %v, %v", got, err)
	}
	for _, value := range []any{make(chan int), math.Inf(1), func() {}} {
		if _, _, err := encodeResult(value); err == nil || !strings.HasPrefix(err.Error(), "encode result: ") {
			t.Errorf("%T: got %v, want an error that says so", value, err)
		}
	}
}
