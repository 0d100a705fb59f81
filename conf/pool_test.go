package conf

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestPoolHoldsTheAddressesOfHosts(t *testing.T) {
	for _, tt := range []struct {
		items       string
		n4, n6      int
		first, last string
		prefixes    string
	}{
		{"10.1.3.x", 254, 0, "10.1.3.1", "10.1.3.254", "10.1.3.0/24"},
		{"10.1.3.0/24", 254, 0, "10.1.3.1", "10.1.3.254", "10.1.3.0/24"},
		{"10.1.3.7", 1, 0, "10.1.3.7", "10.1.3.7", "10.1.3.7/32"},
		{"10.1.3.0/31", 2, 0, "10.1.3.0", "10.1.3.1", "10.1.3.0/31"},
		{"10.1.0.0/16", 65534, 0, "10.1.0.1", "10.1.255.254", "10.1.0.0/16"},
		{"10.1.3.7,10.1.4.9", 2, 0, "10.1.3.7", "10.1.4.9", "10.1.3.7/32 10.1.4.9/32"},
		{"10.1.3.7,10.1.3.x,10.1.3.7", 254, 0, "10.1.3.1", "10.1.3.254", "10.1.3.0/24"},
		{"fd00:3::/120", 0, 255, "fd00:3::1", "fd00:3::ff", "fd00:3::/120"},
		{"fd00:3::/127", 0, 2, "fd00:3::", "fd00:3::1", "fd00:3::/127"},
		{"fd00:3::/64", 0, 65535, "fd00:3::1", "fd00:3::ffff", "fd00:3::/112"},
		{"fd00:3::7,10.1.3.0/30", 2, 1, "10.1.3.1", "fd00:3::7", "fd00:3::7/128 10.1.3.0/30"},
		{"[fd00:3::7]", 0, 1, "fd00:3::7", "fd00:3::7", "fd00:3::7/128"},
	} {
		p, err := ParsePool(strings.Split(tt.items, ","))
		if err != nil {
			t.Errorf("%s: %v", tt.items, err)
			continue
		}
		a4, a6 := p.Addrs4(), p.Addrs6()
		all := append(slices.Clone(a4), a6...)
		var prefixes []string
		for _, q := range p.Prefixes() {
			prefixes = append(prefixes, q.String())
		}
		if len(a4) != tt.n4 || len(a6) != tt.n6 {
			t.Errorf("%s: %d and %d addresses, want %d and %d", tt.items, len(a4), len(a6), tt.n4, tt.n6)
		}
		if all[0].String() != tt.first || all[len(all)-1].String() != tt.last {
			t.Errorf("%s: %v to %v, want %s to %s", tt.items, all[0], all[len(all)-1], tt.first, tt.last)
		}
		if got := strings.Join(prefixes, " "); got != tt.prefixes {
			t.Errorf("%s claims %s, want %s", tt.items, got, tt.prefixes)
		}
	}
}

func TestBadPoolIsRefusedWithTheMend(t *testing.T) {
	for in, want := range map[string]string{
		"10.1.x":               "is neither an address, nor 10.1.3.x",
		"10.1.3.x.x":           "is neither an address",
		"clients":              "is neither an address",
		"10.1.3.0/33":          "is neither an address",
		"10.1.3.7/24":          "write 10.1.3.0/24 or 10.1.3.7",
		"10.0.0.0/8":           "the largest IPv4 prefix is a /16",
		"10.1.0.0/16,10.2.x.":  "is neither an address",
		"10.1.0.0/16,10.2.3.x": "at most 65536 of a family",
		"fd00::/64,fd01::/64":  "at most 65536 of a family",
		"127.0.0.1":            "which no client can have",
		"0.0.0.0":              "which no client can have",
		"224.0.0.x":            "which no client can have",
		"255.255.255.255":      "which no client can have",
		"169.254.1.x":          "which no client can have",
		"::1":                  "which no client can have",
		"::/0":                 "which no client can have",
		"fe80::/64":            "which no client can have",
		"ff02::/112":           "which no client can have",
		"::ffff:10.1.3.0/120":  "write them as IPv4",
		"":                     "is neither an address",
	} {
		_, err := ParsePool(strings.Split(in, ","))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want an error with %q", in, err, want)
		}
	}
	if _, err := ParsePool(nil); err == nil {
		t.Error("an empty pool was taken")
	}
}

func TestExcludedAddressLeavesThePool(t *testing.T) {
	p, err := ParsePool([]string{"10.1.3.0/29", "fd00::/126"})
	if err != nil {
		t.Fatal(err)
	}
	for in, want := range map[string]bool{
		"10.1.3.2": true, "::ffff:10.1.3.3": true, "fd00::2": true,
		"10.1.3.0": false, "10.1.3.7": false, "10.1.4.1": false, "fd00::": false, "fd00::4": false,
	} {
		if got := p.Exclude(netip.MustParseAddr(in)); got != want {
			t.Errorf("%s was in the pool: %v, want %v", in, got, want)
		}
		if p.Exclude(netip.MustParseAddr(in)) {
			t.Errorf("%s was excluded twice", in)
		}
	}
	if got := p.Addrs4(); len(got) != 4 {
		t.Errorf("%v remain", got)
	}
	if got := p.Addrs6(); len(got) != 2 {
		t.Errorf("%v remain", got)
	}
}

func FuzzPool(f *testing.F) {
	for _, s := range []string{"10.1.3.x", "10.1.3.0/24,10.1.3.9", "fd00::/64", "fd00::1,10.0.0.1", "::/0", "10.0.0.0/15", "1.2.3.4/31"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePool(strings.Split(s, ","))
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\r") {
				t.Fatalf("the error has lines: %q", err)
			}
			return
		}
		q, err := ParsePool(strings.Split(p.String(), ","))
		if err != nil || !slices.Equal(p.prefixes, q.prefixes) {
			t.Fatalf("%q is read as %v, and that as %v, %v", s, p, q, err)
		}
		prefixes := p.Prefixes()
		seen := make(map[netip.Addr]bool)
		for _, a := range append(p.Addrs4(), p.Addrs6()...) {
			if seen[a] {
				t.Fatalf("%v is there twice", a)
			}
			seen[a] = true
			if !slices.ContainsFunc(prefixes, func(q netip.Prefix) bool { return q.Contains(a) }) {
				t.Fatalf("%v is not within the claims %v", a, prefixes)
			}
		}
	})
}
