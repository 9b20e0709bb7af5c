// Package sender delivers sealed usage records to the Metering API, over REST
// or gRPC, and says what became of each.
//
// # Promises
//
// [Sender.Send] makes one delivery and returns one result for each record it
// was given, in their order, whatever happens. A record is Accepted, Refused,
// Expired or InDoubt only by the API's own word on its uuid, or, for a record
// that no API would take, before anything is sent; otherwise it stays Sealed
// and is to be sent again as it is. With it comes whether the API may have
// stored it all the same, for what the API says of a record later can be read
// only with that knowledge:
//
//   - DUPLICATE is a success where the record had been sent before, unless that
//     attempt may have been refused for the record's time: then the record is
//     in doubt. Where it had not been sent it is a collision of identifiers;
//   - EXPIRED leaves in doubt a record that may have been stored earlier, and
//     is final otherwise.
//
// A request counts as certainly not stored only where it never reached a
// connection, or where the answer leaves no doubt: 400, 401, 403, 404, 429,
// 501 and what else speaks of the request rather than of its execution. Lost
// and garbled answers, timeouts and the other 5xx leave the question open.
//
// A batch that is answered 400 is split until the bad record stands alone, so
// that the others go through. It is refused when that has happened several
// times while others were taken. Where no request at all is read any more a
// record that was certainly not stored becomes Expired when the API's hour is
// well over: the one case in which our clock decides, for nobody else will. A
// token that is answered 401 or 403 is renewed
// once and the request sent again. Redirects are never followed. Beyond that
// nothing is retried here: when to try again is the caller's decision, helped
// by [Error].
//
// No error and no log line holds a token, a key or a part of either.
//
// # Ownership and concurrency
//
// A Sender keeps nothing that must survive it. All methods may be called
// concurrently, but a record must not be part of two calls at a time. New
// starts nothing; the only goroutine besides the callers' is a token source's
// while it renews a token, and Close waits for it.
//
// # Caveats
//
// The caller must pass, in Record.Attempts and Record.MaybeStored, deliveries
// that were begun and whose results it never saw, as after a crash, as
// attempts that may have been stored.
package sender
