package config

import _ "embed"

//go:embed schema.json
var schema []byte

// Schema returns the JSON Schema of a configuration, for editors: of draft-07, which
// the YAML language server knows best. It knows keys, kinds and ranges; what
// holds between the parts of a file, and what is in an expression, [Parse]
// alone can say. Whatever Parse takes, the schema takes.
func Schema() []byte { return schema }
