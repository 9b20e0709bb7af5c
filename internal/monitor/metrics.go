package monitor

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/meterlog/meterlog/internal/journal"
	"github.com/meterlog/meterlog/internal/ledger"
	"github.com/meterlog/meterlog/internal/meter"
)

// scrapeTimeout bounds how long a scrape reads the ledger and the files.
const scrapeTimeout = 10 * time.Second

// description is one metric that is read from the status at each scrape.
func description(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("meterlog_"+name, help, labels, nil)
}

var (
	buildInfo = description("build_info", "1, with the version.", "version")
	records   = description("records", "Usage records in the ledger, by state.", "state")
	units     = description("units_total", "Units of records that were settled, by product, SKU and what became of them.", "product_id", "sku_id", "state")
	oldest    = description("oldest_unsettled_seconds", "Age of the oldest usage that is not settled; 0 where there is none.")
	timeLeft  = description("time_left_seconds", "Time until the API takes the oldest unsettled usage no longer.")
	files     = description("followed_files", "Files that are followed, by source.", "source")
	lag       = description("lag_bytes", "Bytes of followed files that are not read yet, by source.", "source")
	anomalies = description("anomalies_total", "Input that could not be counted as it should be, and repeated lines, since the ledger was made; of rules and sources with their name.", "kind", "subject")
	missed    = description("missed_bytes_total", "Bytes concerned by anomalies of files, where known, since the ledger was made.", "kind")
	problems  = description("problems", "Things that are wrong at present, by code.", "code")
	size      = description("ledger_size_bytes", "Size of the ledger on disk, with its journal.")
)

// collector reads the status at each scrape.
type collector struct{ of Subject }

func (c collector) Describe(descriptions chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{buildInfo, records, units, oldest, timeLeft, files, lag, anomalies, missed, problems, size} {
		descriptions <- d
	}
}

func (c collector) Collect(metrics chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	if err := c.collect(ctx, metrics); err != nil {
		metrics <- prometheus.NewInvalidMetric(records, err)
	}
}

func (c collector) collect(ctx context.Context, metrics chan<- prometheus.Metric) error {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	counter := func(d *prometheus.Desc, value float64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, value, labels...)
	}
	st, err := c.of.Status(ctx, time.Now())
	if err != nil {
		return err
	}
	gauge(buildInfo, 1, st.Version)
	for state, n := range st.Records {
		gauge(records, float64(n), string(state))
	}
	gauge(oldest, float64(st.OldestUnsettled))
	gauge(timeLeft, float64(st.TimeLeft))
	for _, s := range st.Sources {
		behind := int64(0)
		for _, f := range s.Files {
			behind += f.Lag
		}
		gauge(files, float64(len(s.Files)), s.Name)
		gauge(lag, float64(behind), s.Name)
	}
	byCode := make(map[string]int)
	for _, p := range st.Problems {
		byCode[p.Code]++
	}
	for code, n := range byCode {
		gauge(problems, float64(n), code)
	}
	gauge(size, float64(ledgerSize(c.of.Dir)))
	return c.collectLedger(ctx, counter)
}

// collectLedger reads the counters of the ledger. The series that the configuration
// can produce exist from the start with 0: Prometheus sees no increase in a series that
// begins above 0.
func (c collector) collectLedger(ctx context.Context, counter func(*prometheus.Desc, float64, ...string)) error {
	reader, err := ledger.OpenReader(c.of.Dir)
	if err != nil {
		return err
	}
	defer reader.Close()
	totals, err := reader.Totals(ctx)
	if err != nil {
		return err
	}
	type series struct{ product, sku, state string }
	settled := make(map[series]float64)
	for _, rule := range c.of.Config.Rules {
		for _, state := range meter.States {
			if state.Settled() && rule.Table == nil {
				settled[series{rule.ProductID, rule.SKU, string(state)}] = 0
			}
		}
	}
	for _, t := range totals {
		if t.State.Settled() {
			settled[series{t.ProductID, t.SKU, string(t.State)}] += float64(t.Units) + float64(t.Pruned)
		}
	}
	for s, n := range settled {
		counter(units, n, s.product, s.sku, s.state)
	}
	list, err := reader.Anomalies(ctx)
	if err != nil {
		return err
	}
	counts, bytes := c.nothingWrong()
	for _, a := range list {
		key := a.AnomalyKey
		if key.Kind == meter.BytesMissed || key.Kind == meter.LineTooLong {
			if key.Kind == meter.LineTooLong || !journal.IsJournal(key.Subject) { // a journal's gap is counted in entries
				bytes[key.Kind] += a.Bytes
			}
			key.Subject = "" // a file: over the years the names grow without end
		}
		counts[key] += a.Count
	}
	for key, n := range counts {
		counter(anomalies, float64(n), string(key.Kind), key.Subject)
	}
	for kind, n := range bytes {
		counter(missed, float64(n), string(kind))
	}
	return nil
}

// nothingWrong returns the anomalies, and the bytes of those of files, before any.
func (c collector) nothingWrong() (map[meter.AnomalyKey]int64, map[meter.AnomalyKind]int64) {
	counts := map[meter.AnomalyKey]int64{{Kind: meter.BytesMissed}: 0, {Kind: meter.LineTooLong}: 0}
	for _, rule := range c.of.Config.Rules {
		counts[meter.AnomalyKey{Kind: meter.RuleError, Subject: rule.Name}] = 0
		counts[meter.AnomalyKey{Kind: meter.StaleRemainder, Subject: rule.Name}] = 0
		if rule.Once != nil {
			counts[meter.AnomalyKey{Kind: meter.Repeated, Subject: rule.Name}] = 0
		}
		if rule.Peak != nil {
			counts[meter.AnomalyKey{Kind: meter.LatePeak, Subject: rule.Name}] = 0
		}
	}
	for _, source := range c.of.Config.Sources {
		counts[meter.AnomalyKey{Kind: meter.BadTimestamp, Subject: source.Name}] = 0
		counts[meter.AnomalyKey{Kind: meter.NotParsed, Subject: source.Name}] = 0
	}
	return counts, map[meter.AnomalyKind]int64{meter.BytesMissed: 0, meter.LineTooLong: 0}
}

func ledgerSize(dir string) (bytes int64) {
	for _, suffix := range []string{"", "-wal"} {
		if info, err := os.Stat(filepath.Join(dir, ledger.FileName+suffix)); err == nil {
			bytes += info.Size()
		}
	}
	return bytes
}

// registry holds all metrics of the agent in this process.
func (s Subject) registry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collector{s}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	r.MustRegister(s.Health.collectors()...)
	return r
}
