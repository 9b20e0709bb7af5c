package journal

import (
	"time"
	"unsafe"
)

// moved returns now as it would be if somebody had set the clock: with another wall
// time and the same monotonic reading. A time without one gets one.
func moved(now time.Time, by time.Duration) time.Time {
	const monotonic, year1885 = 1 << 63, 2682288000
	type raw struct {
		wall uint64
		ext  int64
		loc  *time.Location
	}
	elapsed := now.Sub(noon)
	if has := (*raw)(unsafe.Pointer(&now)); has.wall&monotonic != 0 {
		elapsed = time.Duration(has.ext)
	}
	wall := now.Round(0).Add(by)
	return *(*time.Time)(unsafe.Pointer(&raw{
		monotonic | uint64(wall.Unix()+year1885)<<30 | uint64(wall.Nanosecond()),
		int64(elapsed), time.Local,
	}))
}
