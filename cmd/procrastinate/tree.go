package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// usageTemplate is cobra's, without the blank lines that keep the list of commands off one screen, and with the names only
// of the flags that every command has.
const usageTemplate = `Usage:
  {{if .HasAvailableSubCommands}}{{.CommandPath}} [command]{{else}}{{.UseLine}}{{end}}{{if .HasExample}}

Examples:
{{.Example}}{{end}}{{if .HasAvailableSubCommands}}{{$commands := .Commands}}
{{if not .Groups}}
Commands:{{range $commands}}{{if .IsAvailableCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{else}}{{range $group := .Groups}}
{{$group.Title}}{{range $commands}}{{if and (eq .GroupID $group.ID) .IsAvailableCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{end}}{{end}}{{end}}{{if .HasAvailableLocalFlags}}

Flags:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}{{if .HasAvailableInheritedFlags}}

Global flags: GLOBAL; see {{.Root.CommandPath}} --help{{end}}{{if .HasAvailableSubCommands}}

More about a command: {{.CommandPath}} [command] --help{{end}}
`

// flagNames are the flags of a set.
func flagNames(flags *pflag.FlagSet) string {
	var names []string
	flags.VisitAll(func(flag *pflag.Flag) { names = append(names, "--"+flag.Name) })
	return strings.Join(names, " ")
}

// finishTree gives all commands, also cobra's own, the same manners: what goes wrong before a command begins is wrong
// use, an unknown command names the nearest, and Tab offers what there is.
func finishTree(root *cobra.Command, options *options) {
	root.SetUsageTemplate(strings.Replace(usageTemplate, "GLOBAL", flagNames(root.PersistentFlags()), 1))
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{plain(err)} })
	root.SetHelpCommand(helpCommand())
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	finishCommand(root, options)
}

func finishCommand(cmd *cobra.Command, options *options) {
	if cmd.HasSubCommands() && !cmd.Runnable() {
		cmd.Args, cmd.RunE = noArgs, needsCommand
	}
	check := cmd.Args
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		var err error
		if check != nil {
			err = check(cmd, args)
		}
		err = errors.Join(err, cmd.ValidateRequiredFlags(), cmd.ValidateFlagGroups())
		if err != nil {
			return usageError{err}
		}
		return nil
	}
	if cmd.ValidArgsFunction == nil {
		cmd.ValidArgsFunction = cobra.NoFileCompletions
	}
	for flag, sql := range map[string]string{"queue": queueNames, "task": taskNames} {
		if cmd.LocalNonPersistentFlags().Lookup(flag) != nil {
			_ = cmd.RegisterFlagCompletionFunc(flag, complete(options, sql)) // one that the command has set itself stays
		}
	}
	for _, child := range cmd.Commands() {
		finishCommand(child, options)
	}
}

func needsCommand(cmd *cobra.Command, _ []string) error {
	return usageError{fmt.Errorf("which command? See: %s --help", cmd.CommandPath())}
}

// noArgs refuses arguments, unknown commands among them.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	cmd.SuggestionsMinimumDistance = 2
	if names := cmd.SuggestionsFor(args[0]); len(names) > 0 {
		return usageError{fmt.Errorf("%s knows no %q; did you mean %s? See: %[1]s --help", cmd.CommandPath(), args[0], names[0])}
	}
	return usageError{fmt.Errorf("%s knows no %q; see: %[1]s --help", cmd.CommandPath(), args[0])}
}

// helpCommand is cobra's, save that it refuses a command that does not exist.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "help [command]",
		Short:  "Tell more about a command",
		Hidden: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			about, rest, err := cmd.Root().Find(args)
			if err != nil {
				return usageError{err}
			}
			if err := noArgs(about, rest); err != nil {
				return err
			}
			about.InitDefaultHelpFlag()
			return about.Help()
		},
	}
}
