package sender

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	metering "github.com/yandex-cloud/go-genproto/yandex/cloud/marketplace/metering/v1"
)

// The API's reasons that change what becomes of a record. The others are all
// alike: the record is refused.
const (
	duplicate        = "DUPLICATE"
	expired          = "EXPIRED"
	invalidTimestamp = "INVALID_TIMESTAMP"
	unspecified      = "REASON_UNSPECIFIED"
)

// answer is what the API says of the records of one request.
type answer struct {
	accepted []string // uuids
	rejected []rejection

	dated
	sends   int    // how often the transport sent the request
	message string // what the answer says in place of verdicts; may be ""
}

type rejection struct {
	uuid   string
	reason string // the API's word; may be unspecified
}

// parseAnswer reads the body of a successful REST answer. It is as tolerant
// as is safe: arrays may be missing or null, reasons be names or numbers,
// names be spelt in any case, entries and fields be unknown. Of an entry that
// it cannot read it says nothing, so that the record counts as unanswered.
func parseAnswer(body []byte) (answer, error) {
	var a answer
	var lists struct {
		Accepted, Rejected []json.RawMessage
	}
	if !bytes.HasPrefix(bytes.TrimSpace(body), []byte("{")) {
		return a, errors.New("the answer is no JSON object")
	}
	if err := json.Unmarshal(body, &lists); err != nil {
		return a, fmt.Errorf("the answer cannot be read: %w", err)
	}
	for _, raw := range lists.Accepted {
		var entry struct{ UUID string }
		if json.Unmarshal(raw, &entry) == nil && entry.UUID != "" {
			a.accepted = append(a.accepted, entry.UUID)
		}
	}
	for _, raw := range lists.Rejected {
		var entry struct {
			UUID   string
			Reason json.RawMessage
		}
		if json.Unmarshal(raw, &entry) == nil && entry.UUID != "" {
			a.rejected = append(a.rejected, rejection{entry.UUID, parseReason(entry.Reason)})
		}
	}
	return a, nil
}

// parseReason reads an enumeration's value: its name or its number.
func parseReason(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) != nil {
		text = string(raw)
	}
	text = strings.TrimSpace(text)
	if text == "" || text == "null" {
		return unspecified
	}
	if n, err := strconv.ParseInt(text, 10, 32); err == nil {
		return metering.RejectedUsageRecord_Reason(n).String()
	}
	if upper := strings.ToUpper(text); knownReason(upper) {
		return upper
	}
	return excerpt(text, 200)
}

func knownReason(name string) bool {
	_, ok := metering.RejectedUsageRecord_Reason_value[name]
	return ok
}

// verdict is what an answer says of one uuid.
type verdict struct {
	accepted bool
	rejected bool
	reason   string // with rejected
}

// verdicts sorts an answer by uuid, in lower case.
func (a answer) verdicts() map[string]verdict {
	byUUID := make(map[string]verdict, len(a.accepted)+len(a.rejected))
	for _, uuid := range a.accepted {
		uuid = strings.ToLower(uuid)
		v := byUUID[uuid]
		v.accepted = true
		byUUID[uuid] = v
	}
	for _, r := range a.rejected {
		uuid := strings.ToLower(r.uuid)
		v := byUUID[uuid]
		if v.rejected {
			v.reason = strongest(v.reason, r.reason)
		} else {
			v.rejected, v.reason = true, r.reason
		}
		byUUID[uuid] = v
	}
	return byUUID
}

// strongest joins two reasons given for one uuid. DUPLICATE comes first, for
// it says that a record of this uuid is stored; a record that is EXPIRED will
// never be stored, whatever else ails it; one with two faults is not helped by
// mending one of them.
func strongest(a, b string) string {
	switch {
	case a == b:
		return a
	case a == duplicate || b == duplicate:
		return duplicate
	case a == expired || b == expired:
		return expired
	default:
		return a + ", " + b
	}
}
