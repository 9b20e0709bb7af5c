package sender

import (
	"fmt"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/meterlog/meterlog/internal/meter"
)

// judge says what the API's verdict on a record makes of it. passed reports
// whether the API's clock may ever have been past the record's timestamp.
func judge(r meter.Record, v verdict, validateOnly, passed bool) meter.Result {
	result := meter.Result{UUID: r.UUID, State: meter.Refused, Reason: v.reason, MaybeStored: r.MaybeStored, MaybeRefused: r.MaybeRefused}
	accepted := meter.Result{UUID: r.UUID, State: meter.Accepted}
	switch {
	case v.accepted && (!v.rejected || v.reason == duplicate):
		return accepted

	case v.accepted: // and rejected as well: the same uuid again will show which
		result.State, result.MaybeStored = meter.Sealed, r.MaybeStored || !validateOnly
		result.Reason = "the API's answer lists it as accepted and as rejected: " + v.reason

	case !v.rejected:
		result.State = meter.Sealed
		result.Reason = "the API's answer does not mention it"

	case v.reason == duplicate && !validateOnly && r.MaybeRefused:
		// A refusal for the record's time, whose answer was lost, may have used up the uuid.
		result.State = meter.InDoubt

	case v.reason == duplicate && !validateOnly && (r.Attempts > 0 || r.MaybeStored):
		return accepted

	case v.reason == expired && r.MaybeStored && !validateOnly:
		result.State = meter.InDoubt

	case v.reason == expired:
		result.State = meter.Expired

	case v.reason == invalidTimestamp && r.MaybeStored && passed && !validateOnly:
		// By what we know, the API's clock is past the timestamp. Its clocks may
		// differ, so an attempt before may have been stored. If the next answer is
		// DUPLICATE, this refusal or that attempt may be the cause.
		result.State, result.MaybeRefused = meter.Sealed, true

	case v.reason == invalidTimestamp:
		// The API's clock has never reached the timestamp: nothing is stored.
		result.Reissue, result.MaybeStored, result.MaybeRefused = true, false, false
	}
	return result
}

// The limits of WriteImageProductUsageRequest, in characters.
const (
	maxProductID = 50
	maxSKU       = 50
)

// defect returns why a record must not be sent, or "". One malformed record can make
// a whole request fail.
func defect(r meter.Record) string {
	switch {
	case len(r.UUID) != 36 || uuid.Validate(r.UUID) != nil:
		return "not sent: its uuid is not valid"
	case r.SKU == "" || !utf8.ValidString(r.SKU) || utf8.RuneCountInString(r.SKU) > maxSKU:
		return fmt.Sprintf("not sent: an sku_id has 1 to %d characters", maxSKU)
	case r.Quantity <= 0:
		return "not sent: a quantity must be above 0"
	case r.Timestamp.Unix() <= 0:
		return "not sent: it has no timestamp"
	}
	return ""
}

// misuse says why records cannot be one request; nil where they can.
func misuse(records []meter.Record) error {
	if len(records) > meter.MaxRecords {
		return fmt.Errorf("%d records in one delivery; the API takes %d", len(records), meter.MaxRecords)
	}
	product := records[0].ProductID
	if product == "" || !utf8.ValidString(product) || utf8.RuneCountInString(product) > maxProductID {
		return fmt.Errorf("product_id %q: it must have 1 to %d characters", product, maxProductID)
	}
	seen := make(map[string]bool, len(records))
	for _, r := range records {
		if r.ProductID != product {
			return fmt.Errorf("records of products %q and %q in one delivery", product, r.ProductID)
		}
		if seen[r.UUID] {
			return fmt.Errorf("record %s twice in one delivery", r.UUID)
		}
		seen[r.UUID] = true
	}
	return nil
}
