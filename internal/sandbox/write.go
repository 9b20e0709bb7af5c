package sandbox

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	metering "github.com/yandex-cloud/go-genproto/yandex/cloud/marketplace/metering/v1"
	"google.golang.org/grpc/codes"
)

// The limits of WriteImageProductUsageRequest.
const (
	maxRecords = 25
	maxID      = 50 // characters of a product or SKU
	maxUUID    = 36 // characters
)

// The reasons why a record is rejected.
type reason = metering.RejectedUsageRecord_Reason

const (
	none             = metering.RejectedUsageRecord_REASON_UNSPECIFIED
	duplicate        = metering.RejectedUsageRecord_DUPLICATE
	expired          = metering.RejectedUsageRecord_EXPIRED
	invalidTimestamp = metering.RejectedUsageRecord_INVALID_TIMESTAMP
	invalidSKU       = metering.RejectedUsageRecord_INVALID_SKU_ID
	invalidProduct   = metering.RejectedUsageRecord_INVALID_PRODUCT_ID
	invalidQuantity  = metering.RejectedUsageRecord_INVALID_QUANTITY
	invalidID        = metering.RejectedUsageRecord_INVALID_ID
)

// writeRequest is a request to the write method, from either transport.
type writeRequest struct {
	validateOnly bool
	productID    string
	records      []usageRecord
}

type usageRecord struct {
	uuid, sku string
	quantity  int64
	timestamp time.Time // zero: missing
}

// answer is what the method says of the records of a request.
type answer struct {
	accepted []usageRecord
	rejected []rejection
}

type rejection struct {
	uuid   string
	reason string // the name of a reason, or something else
}

// apiError is the failure of a request as a whole.
type apiError struct {
	code       codes.Code
	status     int // of HTTP
	message    string
	retryAfter time.Duration
}

func invalid(format string, args ...any) *apiError {
	return &apiError{code: codes.InvalidArgument, status: http.StatusBadRequest, message: fmt.Sprintf(format, args...)}
}

// write stores the records of a request, and returns its answer. partial is
// the index of a record that a fault rejects, -1 for none.
func (s *Sandbox) write(r writeRequest, partial int) (answer, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note(r)
	if err := s.checkRequest(r); err != nil {
		return answer{}, err
	}
	var a answer
	now := s.now()
	inRequest := map[string]bool{}
	for i, record := range r.records {
		key := strings.ToLower(record.uuid)
		why := s.checkRecord(r.productID, record, now)
		if why == none && inRequest[key] {
			why = duplicate
		}
		inRequest[key] = true
		if why == none && i == partial {
			why = invalidSKU
		}
		if !r.validateOnly && (why == none || s.cfg.BurnRejected && registered(why)) {
			s.taken[key] = true
		}
		if why != none {
			a.rejected = append(a.rejected, rejection{record.uuid, why.String()})
			s.reject(r, record, why, now)
			continue
		}
		a.accepted = append(a.accepted, record)
		if !r.validateOnly {
			s.store(r.productID, record, now)
		}
	}
	return a, nil
}

// note keeps account of what a client sends, whatever becomes of it.
func (s *Sandbox) note(r writeRequest) {
	s.stats.LargestBatch = max(s.stats.LargestBatch, len(r.records))
	if r.validateOnly {
		s.stats.ValidateOnly++
	} else {
		s.stats.Writes++
	}
	if len(r.records) < 1 || len(r.records) > maxRecords {
		s.violation(fmt.Sprintf("a request of %d records", len(r.records)))
	}
	for _, record := range r.records {
		key := strings.ToLower(record.uuid)
		is := content{r.productID, record.sku, record.quantity, record.timestamp.UTC()}
		was, ok := s.seen[key]
		if !ok {
			s.seen[key] = is
		} else if was != is {
			s.conflicts = append(s.conflicts, fmt.Sprintf("uuid %s: first %v, then %v", key, was, is))
			s.cfg.Log.LogAttrs(context.Background(), slog.LevelError, "a uuid came with another content",
				slog.String("uuid", key), slog.Any("first", was), slog.Any("now", is))
		}
	}
}

// checkRequest finds what fails a request as a whole.
func (s *Sandbox) checkRequest(r writeRequest) *apiError {
	switch n := len(r.records); {
	case r.productID == "":
		return invalid("product_id: Field is required")
	case utf8.RuneCountInString(r.productID) > maxID:
		return invalid("product_id: Field value must have at most %d characters", maxID)
	case n < 1 || n > maxRecords:
		return invalid("usage_records: Number of elements must be in the range 1-%d", maxRecords)
	}
	for i, record := range r.records {
		field := func(name string) string { return fmt.Sprintf("usage_records[%d].%s", i, name) }
		switch {
		case record.uuid == "":
			return invalid("%s: Field is required", field("uuid"))
		case utf8.RuneCountInString(record.uuid) > maxUUID:
			return invalid("%s: Field value must have at most %d characters", field("uuid"), maxUUID)
		case record.sku == "":
			return invalid("%s: Field is required", field("sku_id"))
		case utf8.RuneCountInString(record.sku) > maxID:
			return invalid("%s: Field value must have at most %d characters", field("sku_id"), maxID)
		case record.timestamp.IsZero():
			return invalid("%s: Field is required", field("timestamp"))
		case s.cfg.MalformedFailsAll && !isUUID(record.uuid):
			return invalid("%s: Field value must be a UUID", field("uuid"))
		case s.cfg.MalformedFailsAll && record.quantity <= 0:
			return invalid("%s: Field value must be greater than 0", field("quantity"))
		}
	}
	return nil
}

// checkRecord finds what is wrong with one record.
func (s *Sandbox) checkRecord(productID string, r usageRecord, now time.Time) reason {
	taken := s.taken[strings.ToLower(r.uuid)]
	skus, known := s.cfg.Products[productID]
	switch {
	case !isUUID(r.uuid):
		return invalidID
	case taken && !s.cfg.DuplicateLast && !s.cfg.BurnRejected:
		return duplicate
	case s.cfg.Products != nil && !known:
		return invalidProduct
	case s.cfg.Products != nil && !slices.Contains(skus, r.sku):
		return invalidSKU
	case taken && !s.cfg.DuplicateLast:
		return duplicate
	case r.quantity <= 0:
		return invalidQuantity
	case r.timestamp.After(now.Add(s.cfg.Ahead)):
		return invalidTimestamp
	case r.timestamp.Before(now.Add(-s.cfg.MaxAge)):
		return expired
	case taken:
		return duplicate
	}
	return none
}

// registered reports whether a record that is rejected for this reason had its
// uuid registered before, where the model does that: after the SKU was found
// right, before the timestamp and the quantity are looked at.
func registered(why reason) bool {
	return why == expired || why == invalidTimestamp || why == invalidQuantity
}

func isUUID(text string) bool { return len(text) == maxUUID && uuid.Validate(text) == nil }

// reject keeps what was rejected, for people to see. s.mu is held.
func (s *Sandbox) reject(r writeRequest, record usageRecord, why reason, now time.Time) {
	s.rejected = append(s.rejected, Rejected{
		UUID: record.uuid, ProductID: r.productID, SKU: record.sku, Quantity: record.quantity,
		Timestamp: record.timestamp.UTC(), At: now.UTC(), Reason: why.String(), ValidateOnly: r.validateOnly,
	})
	if len(s.rejected) > kept {
		s.rejected = slices.Delete(s.rejected, 0, 1)
	}
}

func (s *Sandbox) store(productID string, r usageRecord, now time.Time) {
	stored := Stored{
		UUID: strings.ToLower(r.uuid), ProductID: productID, SKU: r.sku,
		Quantity: r.quantity, Timestamp: r.timestamp.UTC(), At: now.UTC(),
	}
	s.stored = append(s.stored, stored)
	if s.cfg.Accepted != nil {
		s.cfg.Accepted(stored)
	}
}
