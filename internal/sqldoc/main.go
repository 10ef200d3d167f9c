// Command sqldoc writes docs/sql.md, the reference of the SQL functions: what the catalog's comments say, in the order
// and with the prose of page.md, and an example of each function, run.
//
//	sqldoc ROOT
//
// ROOT is the folder of the repository. DATABASE_URL names a server, on which schemas are made and dropped again.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "sqldoc:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	url := os.Getenv("DATABASE_URL")
	if len(args) != 1 || url == "" {
		return errors.New("usage: DATABASE_URL=… sqldoc ROOT")
	}
	text, err := reference(ctx, url, args[0])
	if err != nil {
		return err
	}
	return os.WriteFile(pageFile(args[0]), []byte(text), 0o644)
}

func pageFile(root string) string { return filepath.Join(root, "docs", "sql.md") }
