// Command extension writes the files of the PostgreSQL extension procrastinate into a folder: make extension.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/procrastinate-pg/procrastinate/worker"
	"github.com/procrastinate-pg/procrastinate/worker/migrate"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "extension: %v\n", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return errors.New("want one argument, the folder")
	}
	control, script, err := migrate.Extension()
	if err != nil {
		return err
	}
	return errors.Join(
		write(args[0], "procrastinate.control", control),
		write(args[0], "procrastinate--"+worker.Version+".sql", script),
	)
}

func write(folder, name, text string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644)
}
