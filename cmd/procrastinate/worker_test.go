package main

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// The pool that handlers' functions run in must find out that a connection is gone: their attempts are not made again.
func TestOnlyTheWorkersOwnCallsDoWithoutAskingForTheirConnection(t *testing.T) {
	config, err := pgxpool.ParseConfig("postgres://localhost/x")
	if err != nil {
		t.Fatal(err)
	}
	quiet := quietPool(config)
	for idle, want := range map[time.Duration]bool{5 * time.Second: false, time.Minute: true} {
		if got := quiet.ShouldPing(t.Context(), pgxpool.ShouldPingParams{IdleDuration: idle}); got != want {
			t.Errorf("after %s: asks %v, want %v", idle, got, want)
		}
	}
	if config.ShouldPing != nil {
		t.Error("the other pool's settings are changed")
	}
}
