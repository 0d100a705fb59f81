package verdict

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tcpcopy-go/tcpcopy/cmd/tcpcopy-lab/web"
)

// side reads a log written as "connection:uri,uri connection:uri"; times rise.
func side(name, text string) Server {
	s := Server{Name: name}
	seq := map[uint64]int{}
	for c := range strings.FieldsSeq(text) {
		id, uris, _ := strings.Cut(c, ":")
		var e web.Entry
		fmt.Sscan(id, &e.Conn)
		for uri := range strings.SplitSeq(uris, ",") {
			seq[e.Conn]++
			e.URI, e.Seq, e.Time = uri, seq[e.Conn], float64(len(s.Log)+1)
			s.Log = append(s.Log, e)
		}
	}
	return s
}

func TestFaultsAreCounted(t *testing.T) {
	for name, c := range map[string]struct {
		online, target string
		rules          Rules
		want           Result
	}{
		"exact":                          {"1:a,b 2:c", "7:a,b 8:c", Rules{}, Result{Online: 3, Target: 3}},
		"reopened":                       {"1:a,b,c", "7:a 8:b,c", Rules{}, Result{Online: 3, Target: 3}},
		"missing":                        {"1:a,b,c", "7:a,c", Rules{}, Result{Online: 3, Target: 2, Missing: 1}},
		"duplicated":                     {"1:a,b", "7:a,b,b,b", Rules{}, Result{Online: 2, Target: 4, Duplicated: 2}},
		"out of order":                   {"1:a,b,c", "7:b,a,c", Rules{}, Result{Online: 3, Target: 3, OutOfOrder: 1}},
		"out of order, reopened":         {"1:a,b", "7:b 8:a", Rules{}, Result{Online: 2, Target: 2, OutOfOrder: 1}},
		"foreign":                        {"1:a", "7:a,x", Rules{}, Result{Online: 1, Target: 2, Foreign: 1}},
		"mixed":                          {"1:a 2:b", "7:a,b", Rules{}, Result{Online: 2, Target: 2, Mixed: 1}},
		"proxied":                        {"1:a,c 2:b", "7:a,b 8:c", Rules{Proxied: true}, Result{Online: 3, Target: 3}},
		"older than the copy":            {"1:a,b,c 2:d", "7:b,c", Rules{AfterFirst: true}, Result{Online: 2, Target: 2, Before: 2}},
		"gap, older than the copy":       {"1:a,b,c,d", "7:b,d", Rules{AfterFirst: true}, Result{Online: 3, Target: 2, Before: 1, Missing: 1}},
		"outside of the window":          {"1:a,b,c,d", "7:b,c", Rules{Window: [2]float64{2, 4}}, Result{Online: 2, Target: 2}},
		"nothing at production":          {"", "", Rules{}, Result{}},
		"everything lost, none foreign ": {"1:a,b", "", Rules{}, Result{Online: 2, Missing: 2}},
	} {
		t.Run(name, func(t *testing.T) {
			got := Compare([]Server{side("s", c.online)}, []Server{side("b", c.target)}, c.rules)
			examples := got.Examples
			got.Examples = nil
			if fmt.Sprint(*got) != fmt.Sprint(c.want) {
				t.Errorf("got  %+v %v\nwant %+v", *got, examples, c.want)
			}
		})
	}
}

func TestChangedBodiesAndLengthsAreAltered(t *testing.T) {
	a, b := side("s", "1:a,b,c"), side("b", "1:a,b,c")
	b.Log[1].SHA256, b.Log[2].Length = "ff", 3
	if r := Compare([]Server{a}, []Server{b}, Rules{}); r.Altered != 2 || r.Exact() {
		t.Errorf("altered %d, want 2", r.Altered)
	}
}

func TestSeveralServersAreOneSide(t *testing.T) {
	online := []Server{side("s1", "1:a,b"), side("s2", "1:c,d")}
	target := []Server{side("b1", "1:c"), side("b2", "1:a,b"), side("b3", "1:d")}
	target[2].Log[0].Time = 2 // d after c
	if r := Compare(online, target, Rules{}); !r.Exact() {
		t.Error(r)
	}
}
