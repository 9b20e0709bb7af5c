// Package trial is `meterlog test`: it applies rules to files and shows what they
// come to. It bills nothing and remembers nothing.
//
// It reads lines exactly as the agent does. Only a last line without a newline
// counts here as well.
package trial
