package meter

import "time"

// Problem is something that is wrong at present, for the operator. The codes
// are published: they stand in `status` and in the metrics.
type Problem struct {
	Code    string    // what kind of trouble it is, in lower case with underscores
	Subject string    // path, SKU or the like that it is about; "" where it needs none
	Message string    // what is wrong
	Hint    string    // what to do about it
	Since   time.Time // UTC; zero where unknown
}
