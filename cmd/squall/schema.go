package main

import (
	"github.com/spf13/cobra"

	"github.com/squallhq/squall/experiments"
	"github.com/squallhq/squall/experiments/engine"
)

func newSchema() *cobra.Command {
	var reference bool
	command := &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of the documents, for editors",
		Long: `schema prints the JSON Schema of squall's documents, made from the types that
the loader itself uses. With it an editor completes and checks while you write:

  squall schema > squall.schema.json
  # then, as the first line of a document:
  # yaml-language-server: $schema=squall.schema.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			registry, _ := newRegistry()
			vocabulary := engine.Vocabulary(registry)
			if reference {
				_, err := cmd.OutOrStdout().Write(experiments.Reference(vocabulary))
				return err
			}
			text, err := experiments.Schema(vocabulary)
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(text)
			return err
		},
	}
	command.Flags().BoolVar(&reference, "reference", false, "print the reference of the language as Markdown instead")
	return command
}
