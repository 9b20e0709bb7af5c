package sender

import (
	"fmt"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/meterlog/meterlog/internal/meter"
)

// judge says what the API's verdict on a record makes of it. passed is
// whether the API's clock has ever been seen past the record's timestamp.
func judge(r meter.Record, v verdict, validateOnly, passed bool) meter.Result {
	result := meter.Result{UUID: r.UUID, State: meter.Refused, Reason: v.reason, MaybeStored: r.MaybeStored}
	switch {
	case v.accepted && (!v.rejected || v.reason == duplicate):
		result.State, result.Reason, result.MaybeStored = meter.Accepted, "", false

	case v.accepted: // and rejected as well: the same uuid again will show which
		result.State, result.MaybeStored = meter.Sealed, r.MaybeStored || !validateOnly
		result.Reason = "the API's answer lists it as accepted and as rejected: " + v.reason

	case !v.rejected:
		result.State, result.MaybeStored = meter.Sealed, r.MaybeStored || !validateOnly
		result.Reason = "the API's answer does not mention it"

	case v.reason == duplicate && !validateOnly && (r.Attempts > 0 || r.MaybeStored):
		result.State, result.Reason, result.MaybeStored = meter.Accepted, "", false

	case v.reason == expired && r.MaybeStored && !validateOnly:
		result.State = meter.InDoubt

	case v.reason == expired:
		result.State = meter.Expired

	case v.reason == invalidTimestamp && r.MaybeStored && passed:
		// The API's clock has gone back. When the record may have been stored,
		// its timestamp may not have been in the future.
		result.State = meter.Sealed

	case v.reason == invalidTimestamp:
		// In the future now, so it was at every attempt before: never stored.
		result.Reissue, result.MaybeStored = true, false
	}
	return result
}

// The limits of WriteImageProductUsageRequest, in characters.
const (
	maxProductID = 50
	maxSKU       = 50
)

// defect says why a record must not be sent, for one malformed record can fail
// a whole request; "" where nothing is wrong with it.
func defect(r meter.Record) string {
	switch {
	case len(r.UUID) != 36 || uuid.Validate(r.UUID) != nil:
		return "not sent: its uuid is none"
	case r.SKU == "" || !utf8.ValidString(r.SKU) || utf8.RuneCountInString(r.SKU) > maxSKU:
		return fmt.Sprintf("not sent: an sku_id has 1 to %d characters", maxSKU)
	case r.Quantity <= 0:
		return "not sent: a quantity must be above 0"
	case r.Window.Start <= 0:
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
