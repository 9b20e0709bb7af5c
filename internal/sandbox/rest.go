package sandbox

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	metering "github.com/yandex-cloud/go-genproto/yandex/cloud/marketplace/metering/v1"
)

// restCodec speaks JSON as the API's gateway does: it reads either spelling of
// names, numbers and strings for an int64, and drops what it does not know.
type restCodec struct{ *Sandbox }

// object is a JSON object. Its fields are read in either spelling. The fields that
// remain in the end are unknown.
type object map[string]json.RawMessage

func (o object) take(camel, snake string) json.RawMessage {
	value, ok := o[camel]
	if !ok {
		camel = snake
		value = o[snake]
	}
	delete(o, camel)
	if string(value) == "null" {
		return nil
	}
	return value
}

func (o object) unknown() []string {
	names := make([]string, 0, len(o))
	for name := range o {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (c restCodec) read(body []byte) (r writeRequest, complaints []string, failed *apiError) {
	var top object
	if err := json.Unmarshal(body, &top); err != nil {
		return r, []string{"a body that is no JSON object"}, invalid("the body is no JSON object")
	}
	given := top.take("validateOnly", "validate_only")
	if given == nil && !c.cfg.AnyClient {
		complaints = append(complaints, "validate_only left out")
	} else if given != nil && json.Unmarshal(given, &r.validateOnly) != nil {
		return r, complaints, invalid("validate_only: it must be a boolean")
	}
	if failed := text(top.take("productId", "product_id"), &r.productID, "product_id"); failed != nil {
		return r, complaints, failed
	}
	var records []object
	if raw := top.take("usageRecords", "usage_records"); raw != nil && json.Unmarshal(raw, &records) != nil {
		return r, complaints, invalid("usage_records: it must be an array of objects")
	}
	unknown := top.unknown()
	for i, o := range records {
		record, failed := readRecord(o, fmt.Sprintf("usage_records[%d]", i))
		if failed != nil {
			return r, complaints, failed
		}
		r.records = append(r.records, record)
		unknown = append(unknown, o.unknown()...)
	}
	if len(unknown) > 0 {
		complaints = append(complaints, "unknown fields: "+strings.Join(unknown, ", "))
		if c.cfg.RefuseUnknownNames {
			return r, complaints, invalid("unknown field %q", unknown[0])
		}
	}
	return r, complaints, nil
}

func readRecord(o object, at string) (r usageRecord, failed *apiError) {
	if failed = text(o.take("uuid", "uuid"), &r.uuid, at+".uuid"); failed != nil {
		return r, failed
	}
	if failed = text(o.take("skuId", "sku_id"), &r.sku, at+".sku_id"); failed != nil {
		return r, failed
	}
	if raw := o.take("quantity", "quantity"); raw != nil {
		n, err := strconv.ParseInt(strings.Trim(string(raw), `"`), 10, 64)
		if err != nil {
			return r, invalid("%s.quantity: it must be an int64", at)
		}
		r.quantity = n
	}
	var stamp string
	if failed = text(o.take("timestamp", "timestamp"), &stamp, at+".timestamp"); failed != nil || stamp == "" {
		return r, failed
	}
	parsed, err := time.Parse(time.RFC3339Nano, stamp)
	if err != nil {
		return r, invalid("%s.timestamp: it must be a time by RFC 3339", at)
	}
	r.timestamp = parsed
	return r, nil
}

func text(raw json.RawMessage, to *string, name string) *apiError {
	if raw != nil && json.Unmarshal(raw, to) != nil {
		return invalid("%s: it must be a string", name)
	}
	return nil
}

func (c restCodec) encode(a answer, p plan) []byte {
	skuName := "skuId"
	if p.form[FaultSnake] {
		skuName = "sku_id"
	}
	accepted, rejected := []any{}, []any{}
	for _, r := range a.accepted {
		entry := map[string]any{"uuid": r.uuid}
		if r.sku != "" {
			entry[skuName], entry["quantity"], entry["timestamp"] = r.sku, strconv.FormatInt(r.quantity, 10), r.timestamp.UTC().Format(time.RFC3339Nano)
		}
		accepted = append(accepted, entry)
	}
	for _, r := range a.rejected {
		var reason any = r.reason
		if n, ok := metering.RejectedUsageRecord_Reason_value[r.reason]; ok && p.form[FaultNumbers] {
			reason = n
		}
		rejected = append(rejected, map[string]any{"uuid": r.uuid, "reason": reason})
	}
	body := map[string]any{}
	if len(accepted) > 0 || !p.form[FaultNoArrays] {
		body["accepted"] = accepted
	}
	if len(rejected) > 0 || !p.form[FaultNoArrays] {
		body["rejected"] = rejected
	}
	if p.form[FaultExtra] {
		body["billing"] = map[string]any{"note": "new in v2", "amounts": []int{1, 2}}
	}
	data, err := json.Marshal(body)
	if err != nil {
		panic(err) // of strings and numbers only
	}
	return data
}

func (c restCodec) answer(w http.ResponseWriter, a answer, p plan) { c.write(w, c.encode(a, p)) }

func (restCodec) write(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body) // the client may have gone
}

func (restCodec) refusal() []byte { return []byte(`{"code":7,"message":"a fault of the sandbox"}`) }

// fail writes the documented error body.
func (restCodec) fail(w http.ResponseWriter, e *apiError, requestID string) {
	body := map[string]any{"code": int(e.code), "message": e.message}
	if requestID != "" {
		body["details"] = []any{map[string]any{"@type": "type.googleapis.com/google.rpc.RequestInfo", "requestId": requestID}}
	}
	data, err := json.Marshal(body)
	if err != nil {
		panic(err) // of strings and numbers only
	}
	w.Header().Set("Content-Type", "application/json")
	if e.retryAfter > 0 {
		w.Header().Set("Retry-After", retryAfterSeconds(e.retryAfter))
	}
	w.WriteHeader(e.status)
	_, _ = w.Write(data)
}

func (s *Sandbox) serveJSON(of func() any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(of())
	}
}
