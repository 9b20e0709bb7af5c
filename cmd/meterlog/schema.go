package main

import (
	"fmt"

	"github.com/meterlog/meterlog/internal/config"
	"github.com/spf13/cobra"
)

func newSchemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of the configuration, for editors",
		Long: `schema prints the JSON Schema (draft-07) of the configuration. An editor with
the YAML language server completes and checks keys and values by it, where the
configuration begins with the line
  # yaml-language-server: $schema=rules.schema.json`,
		Example:           "  meterlog schema > rules.schema.json",
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			if _, err := c.OutOrStdout().Write(config.Schema()); err != nil {
				return fmt.Errorf("meterlog: %w", err)
			}
			return nil
		},
	}
}
