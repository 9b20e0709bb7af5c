package meter

import "time"

// MaxRecords is the most usage records that one request of the Metering API
// may hold (WriteImageProductUsageRequest.usage_records).
const MaxRecords = 25

// State is where a record is in its life. The names are published: they stand
// in the ledger, in `status` and in `records`.
type State string

const (
	Open     State = "open"     // its window has not passed; its quantity may grow
	Sealed   State = "sealed"   // its window has passed; immutable from now on, and to be delivered
	Accepted State = "accepted" // the API has it
	Refused  State = "refused"  // the API will not have it; Reason says why
	Expired  State = "expired"  // the API found it older than an hour, and never had it
	InDoubt  State = "in_doubt" // an answer was lost, and no later one tells whether the API has it
	Foreign  State = "foreign"  // counted on another machine, before the disk was cloned; never sent from here
)

// States lists every state in the order of a record's life.
var States = []State{Open, Sealed, InDoubt, Accepted, Refused, Expired, Foreign}

// Settled reports whether nothing more is to be done for a record in s.
func (s State) Settled() bool { return s != Open && s != Sealed }

// Record is one usage record. UUID, ProductID, SKU, Quantity, Window and
// Timestamp never change once it is sealed.
type Record struct {
	UUID        string // lower case, 36 characters
	ProductID   string
	SKU         string
	Window      Window
	Timestamp   time.Time // UTC: what the API gets as the record's time
	Quantity    int64     // units, > 0 once sealed
	State       State
	Reason      string // why it was refused or expired, in the API's word or ours; may be ""
	Attempts    int    // deliveries that have begun
	MaybeStored bool   // an earlier attempt may have reached the API: its answer was lost or said nothing of the record
	// MaybeRefused says that the API may have refused such an attempt for the
	// record's time. The uuid may be taken then although nothing is stored.
	MaybeRefused bool
	Refusable    bool      // the attempt that begins now may be refused for the record's time
	OpenedAt     time.Time // UTC
	SettledAt    time.Time // UTC; zero while unsettled
	ReissuedAs   string    // the uuids of the records that replaced it, with commas; may be ""
}

// Result is what one attempt to deliver came to for one record.
type Result struct {
	UUID        string
	State       State  // Accepted, Refused, Expired or InDoubt; Sealed where the record is to be sent again as it is
	Reason      string // the API's reason, verbatim, or a short error
	MaybeStored bool   // with Sealed: the API may have stored the record although it did not say so
	// MaybeRefused says with MaybeStored that the API may have refused it for its time.
	MaybeRefused bool
	Reissue      bool // with Refused: certainly not counted and worth another try under a new uuid
}
