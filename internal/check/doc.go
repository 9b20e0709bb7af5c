// Package check is `meterlog check`: it shows what is in a configuration, what is
// likely a mistake in it, and whether its tests hold. It changes nothing.
//
// Only if it is told to does it ask the API, and then with validate_only alone.
package check
