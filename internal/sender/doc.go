// Package sender delivers sealed usage records to the Metering API, over REST
// or gRPC, and says what became of each.
//
// # Promises
//
// [Sender.Send] makes one delivery and returns one result for each record it
// was given, in their order, whatever happens. A record is Accepted, Refused,
// Expired or InDoubt only by the API's own word on its uuid, or, for a record
// that no API would take, before anything is sent; otherwise it stays Sealed
// and is to be sent again as it is. The result also says whether the API may have
// stored it anyway. Only with that knowledge can a later answer be read:
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
// If the API answers a batch with 400, the sender splits it until the bad record is
// alone, and the others go through. It refuses the bad record when that has happened
// several times while the API took others. If the API reads no request at all any
// more, a record that was certainly not stored becomes Expired when the API's hour
// is well over. Only in this case our clock decides, as nobody else will. After a 401
// or 403 the sender renews the token once and sends the request again. It never
// follows redirects. It tries nothing else again: that is the caller's decision,
// helped by [Error].
//
// No error and no log line holds a token, a key or a part of either.
//
// # Ownership and concurrency
//
// A Sender keeps nothing that must survive it. All methods may be called
// concurrently, but a record must not be part of two calls at a time. New
// starts nothing. A token source runs one goroutine while it renews a token, and
// Close waits for it.
//
// # Caveats
//
// After a crash the caller does not know the results of the last deliveries. It must
// count them in Record.Attempts and set Record.MaybeStored.
package sender
