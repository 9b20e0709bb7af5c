// Package sender delivers sealed usage records to the Metering API and says
// what became of each.
package sender
