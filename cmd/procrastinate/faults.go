package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
	"github.com/spf13/pflag"
)

const prefix = "PROCRASTINATE_"

// invalid names the flag or variable and its value. What is wanted goes by the type, as pflag and env name it.
func invalid(name, value, kind string) error {
	const aboveZero = ": want a span above 0, as in 90s, 12h or 30d"
	wanted := map[string]string{
		"int": ": want a whole number above 0", "int32": ": want a whole number", "bool": ": want true or false",
		"span": ": want a span, as in 90s, 12h or 30d", "duration": aboveZero, "time.Duration": aboveZero,
	}[kind]
	return fmt.Errorf("invalid value %q for %s%s", value, name, wanted)
}

// plain tells a flag's fault without the words of strconv.
func plain(err error) error {
	if fault := new(pflag.InvalidValueError); errors.As(err, &fault) {
		return invalid("--"+fault.GetFlag().Name, fault.GetValue(), fault.GetFlag().Value.Type())
	}
	return err
}

// checkPositive reports the flags that were given as zero or less: their zero is the library's default, not a value
// to ask for. It resets them, so that nobody complains twice.
func checkPositive(flags *pflag.FlagSet) error {
	var faults []error
	flags.Visit(func(flag *pflag.Flag) {
		count, countErr := flags.GetInt(flag.Name)
		span, spanErr := flags.GetDuration(flag.Name)
		if countErr == nil && count <= 0 || spanErr == nil && span <= 0 {
			faults = append(faults, invalid("--"+flag.Name, flag.Value.String(), flag.Value.Type()))
			_ = flag.Value.Set("0") // every number and span takes it
		}
	})
	return errors.Join(faults...)
}

// positive refuses a variable's zero, for the same reason.
func positive[T int | time.Duration](parse func(string) (T, error)) env.ParserFunc {
	return func(text string) (any, error) {
		value, err := parse(text)
		if err == nil && value <= 0 {
			err = errors.New("not positive")
		}
		return value, err
	}
}

// fill sets the fields of a struct from their variables, and names all variables that do not fit.
func fill(target any, values map[string]string) error {
	err := env.ParseWithOptions(target, env.Options{
		Environment: values,
		Prefix:      prefix,
		FuncMap: map[reflect.Type]env.ParserFunc{
			reflect.TypeFor[int]():           positive(strconv.Atoi),
			reflect.TypeFor[time.Duration](): positive(parseDuration),
		},
	})
	var all env.AggregateError
	if !errors.As(err, &all) {
		return err
	}
	var faults []error
	for _, err := range all.Errors {
		if fault := (env.ParseError{}); errors.As(err, &fault) {
			field, _ := reflect.TypeOf(target).Elem().FieldByName(fault.Name)
			name := prefix + field.Tag.Get("env")
			err = invalid(name, values[name], fault.Type.String())
		}
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

// checkQueues cleans the names. An empty one is a shell's unset variable: without it the others would be left, or,
// with no other, all queues there are.
func checkQueues(queues []string) ([]string, error) {
	names := nonEmpty(queues)
	if len(names) < len(queues) {
		return names, fmt.Errorf("empty queue name in --queue or %sQUEUES", prefix)
	}
	return names, nil
}

// textFlag is pflag's String, and remembers whether it was given.
type textFlag struct {
	text  *string
	given *bool
}

func (f textFlag) Type() string { return "string" }

func (f textFlag) String() string { return *f.text }

func (f textFlag) Set(text string) error {
	*f.text, *f.given = text, true
	return nil
}

// queueFlag is pflag's StringSlice, save that it keeps an empty value as an empty name.
type queueFlag struct {
	names *[]string
	given bool
}

func (f *queueFlag) Type() string { return "strings" }

func (f *queueFlag) String() string {
	return strings.Join(*f.names, ",")
}

func (f *queueFlag) Set(text string) error {
	names := []string{""}
	if text != "" {
		var err error
		if names, err = csv.NewReader(strings.NewReader(text)).Read(); err != nil {
			return err
		}
	}
	if f.given {
		names = append(*f.names, names...)
	}
	*f.names, f.given = names, true
	return nil
}
