package main

import (
	"context"
	"crypto/rand"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"

	"github.com/jackc/pgx/v5"
)

// pageText is the page: its sections, their order and prose. What it calls is in the map of reference.
//
//go:embed page.md
var pageText string

// page is what a template puts together: the catalog of one schema, the examples of one repository.
type page struct {
	catalog   catalog
	examples  map[string]string // by the name of the file, without .sql
	sqlstates string
	used      map[string]bool
}

// reference is the text of docs/sql.md for the repository in root.
func reference(ctx context.Context, url, root string) (string, error) {
	p := page{examples: map[string]string{}, used: map[string]bool{}}
	schema := "sqldoc_" + strings.ToLower(rand.Text()[:10])
	err := installed(ctx, url, schema, func(conn *pgx.Conn) (err error) {
		p.catalog, err = readCatalog(ctx, conn)
		return err
	})
	if err != nil {
		return "", err
	}
	files, err := filepath.Glob(filepath.Join(root, "sql", "examples", "*.sql"))
	if err != nil {
		return "", err
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".sql")
		if p.examples[name], err = session(ctx, url, schema, file); err != nil {
			return "", err
		}
	}
	if p.sqlstates, err = readSQLSTATEs(filepath.Join(root, "docs", "ARCHITECTURE.md")); err != nil {
		return "", err
	}
	return p.render()
}

func (p *page) render() (string, error) {
	tmpl, err := template.New("page.md").Funcs(template.FuncMap{
		"function":  p.function,
		"example":   p.example,
		"relation":  p.relation,
		"sqlstates": func() string { return p.sqlstates },
	}).Parse(pageText)
	if err != nil {
		return "", err
	}
	var text strings.Builder
	if err := tmpl.Execute(&text, nil); err != nil {
		return "", err
	}
	for name := range p.catalog.functions {
		if !p.used[name] {
			return "", fmt.Errorf("page.md lacks %s", name)
		}
	}
	for name := range p.examples {
		if !p.used[name+".sql"] {
			return "", fmt.Errorf("page.md has no place for the example %s.sql", name)
		}
	}
	return strings.Replace(text.String(), "CONTENTS", contents(text.String()), 1), nil
}

// function is the entry of a function, by its name without the prefix.
func (p *page) function(short string) (string, error) {
	name := "procrastinate_" + short
	f := p.catalog.functions[name]
	if f == nil {
		return "", fmt.Errorf("%s is no public function", name)
	}
	p.used[name] = true

	var b strings.Builder
	fmt.Fprintf(&b, "### %s\n\n```sql\n%s\n```\n\n%s\n", name, f.signature(), p.prose(f.says.does, name))
	if len(f.params) > 0 {
		b.WriteString("\n| argument | type | default | meaning |\n|---|---|---|---|\n")
		for _, a := range f.params {
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", a.name, code(a.kind), code(a.fallback), p.prose(a.meaning, name))
		}
	}
	if f.says.returns != "" {
		fmt.Fprintf(&b, "\nReturns %s\n", p.prose(f.says.returns, name))
	}
	b.WriteString(p.columns("column", f.columns, name))
	if len(f.says.raises) > 0 {
		b.WriteString("\nRaises\n\n")
		for _, r := range f.says.raises {
			fmt.Fprintf(&b, "- `%s`: %s\n", r.code, p.prose(r.when, name))
		}
	}
	example, err := p.example(short)
	return b.String() + "\n" + example, err
}

func (p *page) example(name string) (string, error) {
	shown, ok := p.examples[name]
	if !ok {
		return "", fmt.Errorf("there is no sql/examples/%s.sql", name)
	}
	p.used[name+".sql"] = true
	return "```sql\n" + shown + "```", nil
}

// relation is the entry of a table, a view or a type, named as in table procrastinate_jobs.
func (p *page) relation(kind, name string) (string, error) {
	r := p.catalog.relations[kind+" "+name]
	if r == nil {
		return "", fmt.Errorf("there is no %s %s", kind, name)
	}
	if err := r.complete(); err != nil {
		return "", err
	}
	head := "column"
	if r.fields[0].kind == "" {
		head = "value"
	}
	return fmt.Sprintf("### %s%s %s\n\n%s\n", strings.ToUpper(kind[:1]), kind[1:], name, p.prose(r.does, "")) +
		strings.TrimSuffix(p.columns(head, r.fields, ""), "\n"), nil
}

func (p *page) columns(head string, fields []field, inside string) string {
	if len(fields) == 0 {
		return ""
	}
	var b strings.Builder
	if fields[0].kind == "" {
		fmt.Fprintf(&b, "\n| %s | meaning |\n|---|---|\n", head)
		for _, f := range fields {
			fmt.Fprintf(&b, "| `%s` | %s |\n", f.name, p.prose(f.meaning, inside))
		}
		return b.String()
	}
	fmt.Fprintf(&b, "\n| %s | type | meaning |\n|---|---|---|\n", head)
	for _, f := range fields {
		kind := code(f.kind)
		if p.catalog.relations["type "+f.kind] != nil {
			kind = fmt.Sprintf("[%s](#type-%s)", kind, f.kind)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", f.name, kind, p.prose(f.meaning, inside))
	}
	return b.String()
}

// signature is one line, or one for each parameter when it would be long.
func (f *function) signature() string {
	var all []string
	width := 0
	for _, a := range f.params {
		width = max(width, len(a.name))
	}
	for _, pad := range []int{0, width} {
		all = all[:0]
		for _, a := range f.params {
			text := fmt.Sprintf("%-*s %s", pad, a.name, a.kind)
			if a.fallback != "" {
				text += " = " + a.fallback
			}
			all = append(all, text)
		}
		if line := f.name + "(" + strings.Join(all, ", ") + ") → " + f.result; pad == 0 && len(line) <= 110 {
			return line
		}
	}
	return f.name + "(\n    " + strings.Join(all, ",\n    ") + "\n) → " + f.result
}

var (
	markup = strings.NewReplacer(`*`, `\*`, `<`, `&lt;`, `|`, `\|`)
	ours   = regexp.MustCompile(`\bprocrastinate_[a-z0-9_]+\b`)
	value  = regexp.MustCompile(`(^|[.;] )([a-z_]+|NULL): `) // as in: retry: todo again; NULL: none
)

// prose is a comment's text as Markdown, other functions, tables and views in it as links.
func (p *page) prose(text, inside string) string {
	text = value.ReplaceAllString(markup.Replace(text), "$1`$2`: ")
	return ours.ReplaceAllStringFunc(text, func(name string) string {
		switch {
		case name == inside:
			return "`" + name + "`"
		case p.catalog.functions[name] != nil:
			return fmt.Sprintf("[`%s`](#%s)", name, name)
		}
		for _, kind := range []string{"table", "view", "type"} {
			if p.catalog.relations[kind+" "+name] != nil {
				return fmt.Sprintf("[`%s`](#%s-%s)", name, kind, name)
			}
		}
		return "`" + name + "`"
	})
}

func code(text string) string {
	if text == "" {
		return ""
	}
	return "`" + text + "`"
}

// contents lists the sections, each with what is in it.
func contents(text string) string {
	var b strings.Builder
	inCode, separator := false, ""
	for _, line := range strings.Split(text, "\n") {
		if strings.HasPrefix(line, "```") {
			inCode = !inCode
		}
		if inCode {
			continue
		}
		if title, ok := strings.CutPrefix(line, "## "); ok {
			fmt.Fprintf(&b, "\n- [%s](#%s)", title, anchor(title))
			separator = ": "
		} else if title, ok := strings.CutPrefix(line, "### "); ok {
			words := strings.Fields(title)
			short := strings.TrimPrefix(words[len(words)-1], "procrastinate_")
			fmt.Fprintf(&b, "%s[%s](#%s)", separator, short, anchor(title))
			separator = ",\n  "
		}
	}
	return strings.TrimPrefix(b.String(), "\n")
}

// anchor is what GitHub makes of a heading of letters, blanks and commas.
func anchor(title string) string {
	return strings.NewReplacer(" ", "-", ",", "").Replace(strings.ToLower(title))
}

// readSQLSTATEs takes the table of the errors from the one place that has it.
func readSQLSTATEs(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	var rows []string
	inside := false
	for _, line := range strings.Split(string(text), "\n") {
		if strings.HasPrefix(line, "## ") {
			inside = line == "## SQLSTATEs"
		}
		if inside && strings.HasPrefix(line, "|") {
			rows = append(rows, line)
		}
	}
	if len(rows) < 3 {
		return "", fmt.Errorf("%s has no table of SQLSTATEs", file)
	}
	return strings.Join(rows, "\n"), nil
}
