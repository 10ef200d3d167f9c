//go:build integration

package main

import (
	"net/url"
	"os"
	"testing"

	"github.com/procrastinate-pg/procrastinate/internal/testdb"
)

func TestServerRefusesTheLogin(t *testing.T) {
	server, err := url.Parse(testdb.URL(t))
	if err != nil || server.Scheme == "" {
		t.Skip("DATABASE_URL is no URL to change")
	}
	server.Path = "/no_such_database"
	eachCommandFails(t, server.String(), `database "no_such_database" does not exist`)
	withPassword := os.Getenv("DATABASE_URL_TCP")
	if withPassword == "" {
		t.Skip("no server that is known to want a password")
	}
	if server, err = url.Parse(withPassword); err != nil {
		t.Fatal(err)
	}
	server.User = url.UserPassword(server.User.Username(), "geheim")
	eachCommandFails(t, server.String(), server.Host, "password authentication failed")
}
