// Package sql carries the SQL of Procrastinate inside the program, for migrate.
package sql

import (
	"embed"
	"io/fs"
)

//go:embed migrations/*.sql functions/*.sql
var files embed.FS

// Migrations are the numbered tern migrations: tables, types, indexes.
func Migrations() fs.FS { return sub("migrations") }

// Functions are a tern code package; install.sql is its table of contents.
func Functions() fs.FS { return sub("functions") }

func sub(folder string) fs.FS {
	fsys, err := fs.Sub(files, folder)
	if err != nil {
		panic(err) // only a folder name that is no valid path
	}
	return fsys
}
