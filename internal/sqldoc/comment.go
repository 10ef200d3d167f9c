package main

import (
	"fmt"
	"regexp"
	"strings"
)

// comment is what a comment in the catalog says. Its lines are, in this order:
//
//	What it does.
//	name: what that argument means; of an enum: that label.
//	Returns what it returns.
//	name: what that column of the result means.
//	Raises CODE (when), CODE (when).
//
// A line that begins otherwise goes on with the one above it.
type comment struct {
	does    string
	items   map[string]string
	returns string
	raises  []raised
}

type raised struct{ code, when string }

var (
	partBegins = regexp.MustCompile(`^(?:([a-z_]+):|Returns|Raises) `)
	raisedOne  = regexp.MustCompile(`^([0-9A-Z]{5}) \(([^()]+)\)(?:, |\.$)`)
)

func parseComment(text string) (comment, error) {
	var parts []string
	for i, line := range strings.Split(text, "\n") {
		if i == 0 || partBegins.MatchString(line) {
			parts = append(parts, line)
		} else {
			parts[len(parts)-1] += " " + line
		}
	}

	c := comment{does: parts[0], items: map[string]string{}}
	for _, part := range parts[1:] {
		begin := partBegins.FindStringSubmatch(part)
		rest := part[len(begin[0]):]
		switch name := begin[1]; {
		case name != "":
			c.items[name] = rest
		case begin[0] == "Returns ":
			c.returns = rest
		default:
			var err error
			if c.raises, err = parseRaises(rest); err != nil {
				return c, err
			}
		}
	}
	return c, nil
}

func parseRaises(text string) (all []raised, err error) {
	for text != "" {
		found := raisedOne.FindStringSubmatch(text)
		if found == nil {
			return nil, fmt.Errorf("it should raise CODE (when), CODE (when). and has %q", text)
		}
		all = append(all, raised{code: found[1], when: found[2]})
		text = text[len(found[0]):]
	}
	return all, nil
}
