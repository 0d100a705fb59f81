package filter

import "testing"

const production = "tcp and ((dst port 80 and dst host 10.1.2.3) or (dst port 81)) and not (dst host 10.1.2.100 and dst port 80) and not src net 10.1.3.0/24"

func BenchmarkCompile(b *testing.B) {
	for name, text := range map[string]string{"production": production, "400hosts": "tcp and (" + hosts(400) + ")", "400hostsNotTCP": "not (" + hosts(400) + ")"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Compile(text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkMatch(b *testing.B) {
	ip := segment("10.1.4.7", "10.1.2.3", 4000, 80)
	for name, text := range map[string]string{"port": "tcp port 80", "production": production, "numeric": tcpdump(b, production)} {
		f := compile(b, text)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !f.Match(ip) {
					b.Fatal("not accepted")
				}
			}
		})
	}
}
