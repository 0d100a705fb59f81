package conf

import (
	"strings"
	"testing"
)

func TestTransferIsReadInEverySpelling(t *testing.T) {
	for in, want := range map[string]string{
		"80-10.1.2.100-80":            "80-10.1.2.100:80",
		"80-10.1.2.100:80":            "80-10.1.2.100:80",
		"80-10.1.2.100":               "80-10.1.2.100:80",
		"10.0.0.1:80-10.1.2.100:8080": "10.0.0.1:80-10.1.2.100:8080",
		"0.0.0.0:80-10.1.2.100":       "80-10.1.2.100:80",
		"[::]:80-10.1.2.100":          "80-10.1.2.100:80",
		"80-[fd00::1]:80":             "80-[fd00::1]:80",
		"80-[fd00::1]-81":             "80-[fd00::1]:81",
		"80-[fd00::1]":                "80-[fd00::1]:80",
		"[fd00::5]:80-[fd00::1]:81":   "[fd00::5]:80-[fd00::1]:81",
		"80-fd00::1":                  "80-[fd00::1]:80",
		"80-fd00::1-81":               "80-[fd00::1]:81",
		"80-fd00::1:36524":            "80-[fd00::1]:36524",
		"80-1:2:3:4:5:6:7:8:90":       "80-[1:2:3:4:5:6:7:8]:90",
		"80-1:2:3:4:5:6:7:8":          "80-[1:2:3:4:5:6:7:8]:80",
		"fd00::5:36524-fd00::1":       "[fd00::5]:36524-[fd00::1]:36524",
		"80-::ffff:10.1.2.100":        "80-10.1.2.100:80",
		"80@02:00:00:00:00:01-10.1.2.100:8080@02:00:00:00:00:02":     "80@02:00:00:00:00:01-10.1.2.100:8080@02:00:00:00:00:02",
		"10.0.0.1:80@02:00:00:00:00:01-10.1.2.100@02:00:00:00:00:0A": "10.0.0.1:80@02:00:00:00:00:01-10.1.2.100:80@02:00:00:00:00:0a",
		"80@02:00:00:00:00:01-[fd00::1]:8080@02:00:00:00:00:02":      "80@02:00:00:00:00:01-[fd00::1]:8080@02:00:00:00:00:02",
		"[fd00::5]:80@02:00:00:00:00:01-fd00::1-1@02:00:00:00:00:02": "[fd00::5]:80@02:00:00:00:00:01-[fd00::1]:1@02:00:00:00:00:02",
	} {
		tr, err := ParseTransfer(in)
		if err != nil {
			t.Errorf("%s: %v", in, err)
		} else if tr.String() != want {
			t.Errorf("%s is read as %s, want %s", in, tr, want)
		}
	}
}

func TestBadTransferIsRefusedWithTheMend(t *testing.T) {
	for in, want := range map[string]string{
		"":                                "is not ONLINE-TARGET",
		"80":                              "is not ONLINE-TARGET",
		"-10.1.2.100":                     "is not ONLINE-TARGET",
		"80-":                             "is not ONLINE-TARGET",
		"0-10.1.2.100":                    "is not a port from 1 to 65535",
		"65536-10.1.2.100":                "is not a port from 1 to 65535",
		"http-10.1.2.100":                 "is not a port from 1 to 65535",
		"80-10.1.2.100:0":                 "is not a port from 1 to 65535",
		"80-10.1.2.100:":                  "ends without a port",
		"80-10.1.2.100-":                  "ends without a port",
		"80-[fd00::1]:":                   "has no port behind its address",
		"80-[fd00::1":                     "lacks the ]",
		"80-[10.1.2.100]:80":              "brackets hold nothing else",
		"80-10.1.2":                       "is not an IP address",
		"80-10.1.2.100-80-90":             "is not an IP address",
		"80-backend:80":                   "is not an IP address",
		"80-fd00::1:80":                   "can be read in two ways; write [fd00::1]:80 or [fd00::1:80]",
		"fd00::1:80-10.1.2.100":           "can be read in two ways",
		"10.0.0.1-10.1.2.100":             "has no port; write the port",
		"80-fe80::1%eth0":                 "has a zone",
		"80-0.0.0.0:80":                   "is no address of a host",
		"80-224.0.0.1:80":                 "is no address of a host",
		"80-255.255.255.255:80":           "is no address of a host",
		"80-127.0.0.1:8080":               "never reach an intercept",
		"80-[::1]:8080":                   "never reach an intercept",
		"239.0.0.1:80-10.1.2.100":         "is a multicast address",
		"80@02:00:00:00:00:01-10.1.2.100": "has one MAC address",
		"80@02:00:00:00:00-10.1.2.100@02:00:00:00:00:02":        "is not a MAC address",
		"80@02:00:00:00:00:01-10.1.2.100@02-00":                 "is not a MAC address",
		"80@02:00:00:00:00:01-10.1.2.100@02:00:00:00:00:00:0:1": "is not a MAC address",
	} {
		_, err := ParseTransfer(in)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want an error with %q", in, err, want)
		}
	}
}

func FuzzTransfer(f *testing.F) {
	for _, s := range []string{"80-10.1.2.100-80", "[fd00::5]:80-[fd00::1]:81", "80-1:2:3:4:5:6:7:8:90", "a-b", "80@02:00:00:00:00:01-10.1.2.100@02:00:00:00:00:02", "80-::ffff:1.2.3.4", "[::]:1-[1::]:1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseTransfer(s)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\r") {
				t.Fatalf("the error has lines: %q", err)
			}
			return
		}
		b, err := ParseTransfer(a.String())
		if err != nil || a.String() != b.String() || a.Online != b.Online || a.Target != b.Target {
			t.Fatalf("%q is read as %v, and that as %v, %v", s, a, b, err)
		}
	})
}
