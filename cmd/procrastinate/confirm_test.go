package main

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestConfirm(t *testing.T) {
	for answer, want := range map[string]error{
		"y\n": nil, "YES\n": nil, " yes \n": nil, "yes": nil,
		"": errNotConfirmed, "\n": errNotConfirmed, "n\n": errNotConfirmed, "yesterday\n": errNotConfirmed,
	} {
		var out strings.Builder
		if err := confirm(t.Context(), strings.NewReader(answer), &out, "retry them?"); !errors.Is(err, want) {
			t.Errorf("%q: got %v, want %v", answer, err, want)
		}
		if !strings.HasPrefix(out.String(), "retry them? [y/N] ") {
			t.Errorf("%q: it asked %q", answer, out.String())
		}
	}
}

func TestAnInterruptAnswersTheQuestion(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	in, out := io.Pipe()
	defer out.Close()
	if err := confirm(ctx, in, io.Discard, "retry them?"); !errors.Is(err, errNotConfirmed) {
		t.Errorf("got %v", err)
	}
}
