//go:build integration

package main

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/procrastinate-pg/procrastinate/internal/testdb"
)

// Also the test of all examples: they run anew, and must print what the page says.
func TestReferenceIsFresh(t *testing.T) {
	const root = "../.."
	text, err := reference(t.Context(), testdb.URL(t), root)
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(pageFile(root))
	if err != nil {
		t.Fatal(err)
	}
	got, want := strings.Split(string(page), "\n"), strings.Split(text, "\n")
	if slices.Equal(got, want) {
		return
	}
	i := 0
	for i < min(len(got), len(want))-1 && got[i] == want[i] {
		i++
	}
	t.Errorf("docs/sql.md is stale: run make docs (line %d: got %q, want %q)", i+1, got[i], want[i])
}
