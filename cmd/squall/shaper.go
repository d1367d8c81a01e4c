package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/squallhq/squall/injectors/network"
)

// shaperCommand is the name under which squall starts itself to hold a network
// fault in user space.
const shaperCommand = "shaper"

// shaperArguments are the arguments of that start, the program's name included.
func shaperArguments() []string { return []string{os.Args[0], shaperCommand} }

// newShaper is the process that delays, loses and reorders packets on kernels without
// netem, for as long as squall lives. squall starts it; a person has no use for it.
func newShaper() *cobra.Command {
	return &cobra.Command{
		Use:    shaperCommand,
		Short:  "Hold a network fault in user space (started by squall itself)",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return network.HoldShaper(cmd.Context(), os.Stdin, cmd.OutOrStdout())
		},
	}
}
