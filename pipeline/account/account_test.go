package account

import (
	"reflect"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/tcpcopy-go/tcpcopy/pipeline/histogram"
	"github.com/tcpcopy-go/tcpcopy/pipeline/packet"
)

// leaves calls f for every counter of c, with the name of its field.
func leaves(t *testing.T, v reflect.Value, name string, f func(name string, v reflect.Value)) {
	t.Helper()
	if _, ok := v.Addr().Interface().(*histogram.Histogram); ok {
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			leaves(t, v.Field(i), name+"."+v.Type().Field(i).Name, f)
		}
	case reflect.Array:
		for i := range v.Len() {
			leaves(t, v.Index(i), name, f)
		}
	case reflect.Uint64:
		f(name, v)
	default:
		t.Errorf("%s is a %v, which no sum can be made of: only uint64, arrays of it and histograms are possible", name, v.Type())
	}
}

// distinct has another number in each counter.
func distinct(t *testing.T) (c Counters, names map[uint64]string) {
	t.Helper()
	names = map[uint64]string{}
	leaves(t, reflect.ValueOf(&c).Elem(), "", func(name string, v reflect.Value) {
		n := uint64(1000 + len(names))
		v.SetUint(n)
		names[n] = name
	})
	return c, names
}

func TestEveryCounterIsInTheSum(t *testing.T) {
	c, _ := distinct(t)
	c.Lag.Observe(5)
	c.Session.Connect.Observe(7)
	var sum Counters
	sum.Add(&c)
	if sum != c {
		t.Error("the sum of one is not the same")
	}
	sum.Add(&c)
	leaves(t, reflect.ValueOf(&sum).Elem(), "", func(name string, v reflect.Value) {
		if v.Uint()%2 != 0 {
			t.Errorf("%s: %d is not twice a number", name, v.Uint())
		}
	})
	if sum.Lag.Count() != 2 || sum.Session.Connect.Count() != 2 {
		t.Errorf("%d and %d in the histograms", sum.Lag.Count(), sum.Session.Connect.Count())
	}
}

// Without a metric of their own are only these.
var untold = map[string]string{
	".TakenOver":       "the other end of HandedOver",
	".Replies":         "the sum of Session.Responses and RepliesNoSession",
	".Matched":         "for transfers that exist",
	".MatchedBytes":    "for transfers that exist",
	".Sessions":        "a session that is closed is gone at once",
	".Session.Dropped": "of a finished session nothing is left",
}

func TestEveryCounterIsExported(t *testing.T) {
	c, names := distinct(t)
	ch := make(chan prometheus.Metric, 10_000)
	Collect(ch, Totals{Counters: &c, Transfers: make([]string, MaxTransfers), Copies: 1})
	close(ch)
	told := map[uint64]bool{}
	for m := range ch {
		var out dto.Metric
		if err := m.Write(&out); err != nil {
			t.Fatal(err)
		}
		told[uint64(out.GetCounter().GetValue()+out.GetGauge().GetValue())] = true
	}
	for n, name := range names {
		if !told[n] && untold[name] == "" {
			t.Errorf("Counters%s is in no metric: add a line to the table", name)
		}
	}
}

func TestTheTableNamesNoMetricTwice(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range table {
		if text := r.desc.String(); seen[text] {
			t.Errorf("twice: %s", text)
		} else {
			seen[text] = true
		}
	}
}

func TestDropsHaveTheNamesOfWhatDecodeRefuses(t *testing.T) {
	for d := range NumPacketDrops {
		if PacketDrop(d).String() == "" {
			t.Errorf("drop %d has no name", d)
		}
	}
	for m := packet.NotIP; m <= packet.ShortHeader; m++ {
		if got := DropFor(m).String(); got != m.String() {
			t.Errorf("the drop of %v is called %s", m, got)
		}
	}
}
