// Package check is `meterlog check`: it shows what is in a configuration, what is
// likely a mistake in it, and whether its tests hold. It changes nothing.
//
// It asks the API only if it is told to, and then with validate_only.
package check
